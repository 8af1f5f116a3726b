"""The command line in a process of its own."""

import os
import subprocess
import sys


def lambdazoom(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lambdazoom", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LAMBDAZOOM_")}
    return subprocess.run(command, env={**clean, **(environment or {})}, capture_output=True, text=True, check=False, timeout=60)
