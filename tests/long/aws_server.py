"""An AWS for the deployment test: moto's server, in which a function is really run from the zip that was uploaded.

    python aws_server.py PORT PYTHON BOTO3_FOLDER CALLS

Each invocation is a fresh, isolated PYTHON process with nothing beside it but boto3 from BOTO3_FOLDER, as in Lambda's runtime, and
neither exiftool nor perl on its PATH. S3's notifications reach it as events. Every request is written to the file CALLS, a line
of JSON each, with its status and the access key that signed it: the function's own is "role". What moto lacks is
added.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from moto.awslambda import models
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

from tests import moto_gaps

BOOT = Path(__file__).with_name("lambda_boot.py")
_KEY = re.compile(r"Credential=([^/]+)/")


class Runtime:
    """Runs functions: the zips are unpacked once, each into a folder of its own."""

    def __init__(self, port: int, python: str, boto3_folder: str) -> None:
        self._port = port
        self._python = python
        self._boto3_folder = boto3_folder
        self._root = Path(tempfile.mkdtemp(prefix="aws-server-"))
        self._lock = threading.Lock()

    def invoke(self, function: Any, event: Any) -> tuple[str, bool, str]:
        """The last line that the function printed, whether it failed, and its log: what moto's LambdaFunction expects."""
        function.logs_backend.ensure_log_group(function.logs_group_name)
        environment = {**self._environment(function), **function.environment_vars}
        command = [self._python, "-I", "-S", str(BOOT), environment["LAMBDA_TASK_ROOT"], self._boto3_folder, function.handler]
        with tempfile.TemporaryDirectory(dir=self._root) as own:  # as each sandbox has one, which the function clears
            environment["TMPDIR"] = own
            done = subprocess.run(
                command, input=json.dumps(event or {}).encode(), capture_output=True, env=environment, timeout=function.timeout
            )
        output = done.stdout.decode("utf-8", "replace").rstrip("\n").splitlines() or ["{}"]
        log = done.stderr.decode("utf-8", "replace") + "\n".join(output[:-1])
        function.save_logs(log)
        sys.stderr.write(f"INVOKED {function.function_name} exit {done.returncode}\n{log}\n")
        return output[-1], done.returncode != 0, log

    def _environment(self, function: Any) -> dict[str, str]:
        return {
            "PATH": "/no/programs/here",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "LAMBDA_TASK_ROOT": str(self._unpacked(function.code_bytes)),
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_ACCESS_KEY_ID": "role",
            "AWS_SECRET_ACCESS_KEY": "role-secret",
            "AWS_SESSION_TOKEN": "role-token",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
        }

    def _unpacked(self, zipped: bytes) -> Path:
        folder = self._root / hashlib.sha256(zipped).hexdigest()[:16]
        with self._lock:
            if not folder.is_dir():
                with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
                    archive.extractall(folder)
                    for entry in archive.infolist():
                        if mode := entry.external_attr >> 16 & 0o777:
                            (folder / entry.filename).chmod(mode)
        return folder


def teach_moto(runtime: Runtime) -> None:
    """Let moto run functions, and answer what it lacks."""
    setattr(models.LambdaFunction, "_invoke_lambda", lambda self, event=None: runtime.invoke(self, event))  # noqa: B010
    moto_gaps.fill()
    update = models.LambdaFunction.update_configuration

    def update_configuration(self: Any, settings: dict[str, Any]) -> Any:
        if settings.get("EphemeralStorage"):
            self.ephemeral_storage = settings["EphemeralStorage"]["Size"]
        return update(self, settings)

    setattr(models.LambdaFunction, "update_configuration", update_configuration)  # noqa: B010


class Recorder:
    """WSGI: writes down who asked for what."""

    def __init__(self, application: Callable[..., Iterable[bytes]], path: str) -> None:
        self._application = application
        self._calls = Path(path).open("a", buffering=1)  # noqa: SIM115 (as long as the server runs)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found = _KEY.search(environ.get("HTTP_AUTHORIZATION", "")) or _KEY.search(unquote(environ["QUERY_STRING"]))
        raw_path = environ.get("RAW_URI", environ.get("REQUEST_URI", environ["PATH_INFO"])).split("?")[0]
        call = [found[1] if found else "", environ["REQUEST_METHOD"], unquote(raw_path), environ["QUERY_STRING"]]

        def start(status: str, headers: Any, *more: Any) -> Any:
            self._calls.write(json.dumps([*call, int(status[:3])]) + "\n")
            return start_response(status, headers, *more)

        return self._application(environ, start)


def main() -> None:
    port, python, boto3_folder, calls = sys.argv[1:]
    os.environ["MOTO_PORT"] = port
    teach_moto(Runtime(int(port), python, boto3_folder))
    run_simple("127.0.0.1", int(port), Recorder(DomainDispatcherApplication(create_backend_app), calls), threaded=True)


if __name__ == "__main__":
    main()
