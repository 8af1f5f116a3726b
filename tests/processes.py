"""The processes of this machine, as tests see them."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def is_running(process: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent to notice doesn't."""
    try:
        os.kill(process, 0)
        return sys.platform != "linux" or Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def descendants(process: int) -> Iterator[int]:
    """All that a process has started, and these in turn."""
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text("ascii").split()):
                yield child
                yield from descendants(child)


def command_of(process: int) -> str:
    """Its words, each followed by a zero; nothing when it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
