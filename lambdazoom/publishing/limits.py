"""What one image may take in a process of its own: memory, time, open files. Who enforces it, the process or its parent, calls here.

The kernel's limits are on addresses, not on memory: a picture that streams maps all its pixels and fills few of them at a time
(imaging/memory.py). So they stop what runs away, and the parent looks at the memory that is really taken.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path

from lambdazoom.model.settings import Settings

SHARE = 0.8  # of the machine's memory, that one image may take if no limit is set
BYTES_A_PIXEL = 4 + 4 * 4 / 3  # that are mapped: as the file has them, as they are shown, and all levels below
BESIDE = 1 << 30  # bytes that the stacks of threads and Python itself may map
OPEN_FILES = 512
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
CPU_MARGIN_SECONDS = 5  # between the signal that can be caught and the one that can't
FIRST_TO_GO = 500  # of -1000 to 1000: when the machine has no memory left, the kernel ends this before who serves (proc(5))


def memory(settings: Settings) -> int:
    """How many bytes one image may take; 0 if there is no telling."""
    if settings.memory_limit:
        return settings.memory_limit * 10**6
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
    with suppress(OSError, ValueError):  # not in a container of its own, or one without a limit
        there = min(there, int(_CONTAINER.read_text(encoding="ascii")))
    return int(SHARE * there)


def confine(settings: Settings) -> None:
    """Set this process's limits, and those of what it starts: no core dumps, the time, mapped memory, open files."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_CPU, settings.time_limit * (os.cpu_count() or 1), CPU_MARGIN_SECONDS)
    allowed = memory(settings)
    if allowed:
        _limit(resource.RLIMIT_DATA, allowed + int(BYTES_A_PIXEL * settings.max_pixels) + BESIDE)
    with suppress(OSError):  # no such file but on Linux
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")


def memory_taken(process: int) -> int:
    """The bytes that a process has filled, files apart; 0 where the system doesn't tell, or when it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def _limit(which: int, most: int, margin: int = 0) -> None:
    """Never more than is allowed now."""
    hard = resource.getrlimit(which)[1]
    allowed = [most, most + margin] if hard == resource.RLIM_INFINITY else [min(most, hard), min(most + margin, hard)]
    resource.setrlimit(which, (allowed[0], allowed[1]))
