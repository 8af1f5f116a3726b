"""Which process a run belongs to, as a text that fits into a record, and whether that process is known to be gone.

A hint that saves waiting for a heartbeat to run out after a kill -9. Where the system tells nothing (no /proc, another machine, another
container), the heartbeat alone counts.
"""

import os
from pathlib import Path

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19  # of the words after the name in /proc/<pid>/stat (proc_pid_stat(5)): fields 3 and 22
_ENDED = ("Z", "X")


def this_process() -> str:
    """The machine's start, the process and when it began; "" where the system does not tell."""
    here = _here()
    start = start_of(os.getpid())
    return f"{here} {os.getpid()} {start}" if here and start else ""


def start_of(process: int) -> str:
    """When it began, in the machine's ticks, by which it is told from a later one of its number; "" if it is gone, or nothing tells."""
    status = _status(process)
    return status[_STARTED] if status else ""


def is_gone(owner: str) -> bool:
    """Whether the process ran here, as far as this one can see, and runs no more."""
    here, _, process = owner.rpartition(" ")[0].rpartition(" ")
    if not here or here != _here() or not process.isdecimal():
        return False
    status = _status(int(process))
    return status is None or status[_STATE] in _ENDED or status[_STARTED] != owner.rpartition(" ")[2]


def _here() -> str:
    """This start of this machine, and the processes that can be seen: a container has its own."""
    try:
        return f"{(_PROC / 'sys/kernel/random/boot_id').read_text('ascii').strip()} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _status(process: int) -> list[str] | None:
    """What /proc tells of a process, from its state on; None if there is no such process."""
    try:
        text = (_PROC / str(process) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(") ")[2].split()  # the name before may hold anything
