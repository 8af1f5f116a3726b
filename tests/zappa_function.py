"""The deployed function, but for AWS: Zappa's own LambdaHandler over our zappa_settings.json, in a process of its own.

Run as a program it is the runtime: one event a line comes in, one answer a line goes out, as Lambda freezes a process between two
invocations. `ZappaFunction` is the other end of the pipe.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

PROJECT = Path(__file__).parents[1]
STAGE = "live"

PASSWORD = "correct horse battery"
ACCESS = {  # as `python -m lambdazoom password` printed them for this password
    "LAMBDAZOOM_PASSWORD_HASH": "scrypt.32768.8.1.zB9bEtn6_pvdqxdb0G8hnw.5GDt3ZeMwT-VAxQbXUf-5kiVdmcWSIj3rdLl_LqRs1k",
    "LAMBDAZOOM_SESSION_SECRET": "Lea0BqyyOCWNB1yjkDLfI4tK4ehjYIJyXIvH1H0uXaI",
}


def stage_settings() -> dict[str, Any]:
    """The stage of zappa_settings.json."""
    settings: dict[str, Any] = json.loads((PROJECT / "zappa_settings.json").read_text("utf-8"))[STAGE]
    return settings


def write_python_settings(folder: Path) -> Path:
    """What Zappa's own loader makes of zappa_settings.json: the module that its handler reads in the zip."""
    path = folder / "zappa_settings.py"
    command = [sys.executable, "-m", "zappa.cli", "save-python-settings-file", STAGE, "--output_path", str(path)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    return path


class ZappaFunction:
    """The function, started with an environment, as long as its context lasts. `log` is the file that it writes its log to.

    It has the password PASSWORD, unless the environment says otherwise.
    """

    def __init__(self, settings: Path, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._settings = settings
        self._environment = environment

    def __enter__(self) -> Self:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LAMBDAZOOM_")}
        self._log = self.log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(self._settings.parent)],
            env={**clean, **ACCESS, **self._environment},
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)
        self._log.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def invoke(self, event: dict[str, Any]) -> Any:
        """What the function answers; FunctionError if it raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise FunctionError(answer["error"], answer["message"])
        return answer["result"]


class FunctionError(Exception):
    """What Lambda would call a failed invocation: the error's type and its message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def serve(settings_folder: str) -> None:
    """The runtime: answer events until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Zappa prints to stdout; here that is the log, as on Lambda
    sys.path[:0] = [settings_folder, str(PROJECT)]
    from zappa.handler import LambdaHandler

    for line in sys.stdin:
        try:
            answer = {"result": LambdaHandler.lambda_handler(json.loads(line), None)}
        except Exception as error:  # noqa: BLE001 (as Lambda does)
            answer = {"error": type(error).__name__, "message": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
