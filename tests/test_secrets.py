"""What stands in exiftool's place finds no secret of ours, by whichever door we came in: it tries, as a taken-over parser would.

Linux alone has /proc. Root may read everything there, so its right to do so is taken from the processes of these tests (setpriv);
for another user /proc is stricter still, since what can't be dumped belongs to root.
"""

import os
import secrets
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Outcome
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import open_workspace
from tests.conftest import Draw, free_port, picture

PROJECT = Path(__file__).parents[1]
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")


@pytest.fixture
def secret() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def spy(exiftool_bundle: Path, tmp_path: Path) -> Path:
    """An exiftool that first writes what it can find of others into `found`, and what is refused to it into `refused`."""
    program, found, refused = tmp_path / "exiftool", shlex.quote(str(tmp_path / "found")), shlex.quote(str(tmp_path / "refused"))
    lines = (
        "#!/bin/sh",
        f"cat /proc/[0-9]*/environ >>{found} 2>/dev/null",
        f"for each in environ mem maps; do head -c 1 /proc/$PPID/$each; done 2>>{refused} >/dev/null",
        f'exec {shlex.quote(str(exiftool_bundle))} "$@"',
    )
    program.write_text("\n".join(lines))
    program.chmod(0o755)
    return program


def run(*command: str | Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    told = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run([*UNPRIVILEGED, *command], cwd=PROJECT, env=told, capture_output=True, text=True, check=False, timeout=60)


def test_the_parents_environment_and_memory_are_refused_to_exiftool(spy: Path, secret: str, tmp_path: Path) -> None:
    picture(60, 40).save(tmp_path / "picture.jpg")
    program = """
import subprocess, sys
from pathlib import Path
from lambdazoom.metadata.exiftool import ExifTool
spy, picture, found, refused = map(Path, sys.argv[1:])
subprocess.run([spy, "-ver"], env={"PATH": "/usr/bin:/bin"}, check=True)
found.rename(f"{found}-before")
refused.rename(f"{refused}-before")
with ExifTool(spy) as exiftool:
    print(exiftool.read(picture).tags["File:FileType"]["text"])
"""
    names = [tmp_path / name for name in ("picture.jpg", "found", "refused")]
    done = run(sys.executable, "-c", program, spy, *names, environment={"AWS_SECRET_ACCESS_KEY": secret})
    assert done.stdout.endswith("JPEG\n"), done.stderr
    assert secret in (tmp_path / "found-before").read_text(errors="replace"), "the attack works on a process that is not hidden"
    assert secret not in (tmp_path / "found").read_text(errors="replace")
    refused = (tmp_path / "refused").read_text()
    assert refused.count("Permission denied") == 3, refused


def test_process_hides_its_secrets_from_its_exiftool(
    spy: Path, secret: str, environment: dict[str, str], draw: Draw, tmp_path: Path
) -> None:
    draw("cat.jpg")
    told = {**environment, "LAMBDAZOOM_EXIFTOOL": str(spy), "AWS_SECRET_ACCESS_KEY": secret}
    done = run(sys.executable, "-m", "lambdazoom", "process", "cat.jpg", environment=told)
    assert done.returncode == 0, done.stderr
    with open_workspace(Settings.from_env(environment)).closing() as workspace:
        record = catalog.find(ImageKey("cat.jpg"), workspace.metadata)
    assert record is not None
    assert record.metadata is not None
    assert record.metadata.outcome == Outcome.DONE
    assert (tmp_path / "found").exists()
    assert secret not in (tmp_path / "found").read_text(errors="replace")


def test_serve_hides_its_secrets_before_any_work_comes(secret: str, environment: dict[str, str]) -> None:
    port = str(free_port())
    told = {"PATH": "/usr/bin:/bin", **environment, "AWS_SECRET_ACCESS_KEY": secret}
    command = [*UNPRIVILEGED, sys.executable, "-m", "lambdazoom", "serve", "--port", port]
    with subprocess.Popen(command, cwd=PROJECT, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            done = run("cat", f"/proc/{server.pid}/environ", environment={})
        finally:
            server.terminate()
            server.communicate(timeout=20)
    assert "Permission denied" in done.stderr
    assert done.stdout == ""


def wait_for(address: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_hidden_process_still_measures_its_memory_anew() -> None:
    """As another user than root, as on Lambda: what is hidden belongs to root, and /proc/self/clear_refs can't be opened any more."""
    program = """
import ctypes, os
from lambdazoom.imaging.memory import forget_peak, peak_memory, resident_memory
from lambdazoom.metadata.process import hide_environment
peak_memory()  # whatever is loaded on first use, before another user may read it
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
forget_peak()
assert hide_environment()
try:
    os.open("/proc/self/clear_refs", os.O_WRONLY)
except PermissionError:
    print("closed")
held = b"x" * (100 << 20)
most = peak_memory()
del held
forget_peak()
assert resident_memory() > 0
print(most - peak_memory() > 50 << 20)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["closed", "True"], done.stderr
