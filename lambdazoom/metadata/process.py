"""exiftool's process: started with nothing of our environment and limits of its own, asked, and ended; what it says is not read here."""

import contextlib
import ctypes
import os
import resource
import secrets
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import exiftool as pyexiftool

from lambdazoom.model.errors import ExifToolFailed

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
"""All that exiftool sees of our environment: what parses strangers' files must not hold our keys."""

MAX_REPLY_BYTES = 64 * 2**20
"""More than any honest file has to say, and than the preview in a raw camera file takes."""

MEMORY_BYTES = 2**30
"""Of address space: honest files need a tenth; a text of a few megabytes may claim to inflate to any number of gigabytes."""

PR_SET_DUMPABLE = 4  # linux/prctl.h


def hide_environment() -> bool:
    """Make this process undumpable on Linux, so that no other of the same user can read /proc/<our pid>/environ, where the AWS keys stand.

    A child may read that file whatever its own environment holds; a parser that was taken over would. A process that is not
    dumpable keeps its /proc files and its memory from it (prctl(2), PR_SET_DUMPABLE; ptrace(2), "access mode checking"). Only the
    start of another program undoes it, so children themselves are as usual. The price: no core dumps of this process, and no debugger or
    profiler attaches to it without root. Ourselves we may read all but `environ` as before, and write to what is open.
    False if the system refuses; where it has nothing of the kind, there is no /proc either.
    """
    if sys.platform != "linux":
        return True
    return int(ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))) == 0


class Process(pyexiftool.ExifTool):  # type: ignore[misc] # PyExifTool has no types
    """PyExifTool's process, with a start and a wait of our own.

    PyExifTool 0.5.6 can't give the child another environment; it runs Python between fork and exec, unsafe in threads, to have
    the child killed when the *thread* that started it ends; and its execute() has no time limit, is stuck when the child fills
    stderr, and spins for ever when the child dies.
    """

    _process: Any

    def __init__(self, executable: Path, seconds: float) -> None:
        super().__init__(executable=str(executable), common_args=[], config_file="", encoding="utf-8")
        self._seconds = seconds
        self.has_answered = False

    def __del__(self) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether it runs; PyExifTool's `running` warns if it doesn't."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def run(self) -> None:
        """Launch it, in a session of its own so that kill() reaches its children; `-config ""` first, or ~/.ExifTool_config would be run.

        It is not waited for: `greet` does that.
        """
        command = [self.executable, "-config", self.config_file, "-stay_open", "True", "-@", "-"]
        self._process = subprocess.Popen(  # noqa: S603 - the program that the operator chose
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
        )
        _limit(self._process.pid)
        self._running = True

    def greet(self) -> None:
        """Wait until it is up. Raises as `execute` does."""
        self._ver = self.execute("-ver").decode("ascii", errors="replace").strip()
        self.has_answered = True

    def execute(self, *params: str) -> bytearray:
        """What exiftool prints for these arguments. Raises TimeoutError, ExifToolFailed, and EOFError or OSError if it died."""
        number = secrets.randbelow(10**9)  # a file can't guess it and so can't forge the end of the reply
        mark = f"{{ready{number}}}\n"
        lines = (*params, "-echo4", mark.strip(), f"-execute{number}\n")
        # the last reply was read to its end, so the pipe is empty and takes these few hundred bytes at once
        self._process.stdin.write(b"\n".join(map(os.fsencode, lines)))
        return _reply(self._process, mark.encode(), self._seconds)

    def kill(self) -> None:
        """End it and its children, and give back its pipes. exiftool only reads, so nothing is lost."""
        if self._process is None:
            return
        if self._process.poll() is None:
            # macOS says PermissionError of a group that has just ended
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with self._process:
            self._flag_running_false()


def _limit(pid: int) -> None:
    """Bound the memory of a process that was just started, where the system can do that to another (Linux), and let it leave no core."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it has just ended, or is not ours to limit; the limit of time holds all the same
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def _reply(process: subprocess.Popen[bytes], mark: bytes, seconds: float) -> bytearray:
    """What stands on stdout before the mark; stderr is read up to the same mark, so that neither pipe fills."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        replies: dict[Any, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
        for pipe in replies:
            selector.register(pipe, selectors.EVENT_READ)
        while not all(reply.endswith(mark) for reply in replies.values()):
            _wait(selector, replies, deadline - time.monotonic())
    reply = replies[process.stdout]
    del reply[-len(mark) :]  # it may be a large picture: no second copy
    return reply


def _wait(selector: selectors.BaseSelector, replies: dict[Any, bytearray], seconds: float) -> None:
    """Take what comes next on either pipe."""
    if seconds <= 0:
        raise TimeoutError
    for key, _ in selector.select(seconds):
        chunk = os.read(key.fd, 2**16)
        if not chunk:
            raise EOFError
        replies[key.fileobj] += chunk
    if sum(map(len, replies.values())) > MAX_REPLY_BYTES:
        raise ExifToolFailed(f"exiftool says more than {MAX_REPLY_BYTES:,} bytes about this file.")
