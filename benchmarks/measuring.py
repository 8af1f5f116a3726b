"""One program measured from outside, and the statistics of several runs; what the programs are is not known here.

The operating system counts: wall and processor time of the whole process, its start and whatever it waits for included,
and the most memory that one process held. The process that measures must stay small, without numpy or libvips: a child's
peak memory is never less than its parent's at its start.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss in bytes
_MESSAGE_CHARACTERS = 2000


class Used(NamedTuple):
    """Of a process that has ended: `cpu` in seconds, `peak_memory` in bytes."""

    cpu: float
    peak_memory: float


@dataclass(frozen=True)
class Measured:
    """One run: `wall` and `cpu` in seconds, `peak_memory` in bytes; `beside` is the `cpu` of a server that it spoke to."""

    wall: float
    cpu: float
    peak_memory: float
    beside: float = 0.0


@dataclass(frozen=True)
class Summary:
    """The medians of several runs, and the fastest and slowest of them: seconds, and bytes."""

    wall: float
    cpu: float
    peak_memory: float
    beside: float
    fastest: float
    slowest: float
    rounds: int


class Kept(Protocol):
    """Where runs are kept, by case and program."""

    def runs(self, case: str, program: str) -> list[Measured]:
        """Those that are there."""

    def add(self, case: str, program: str, run: Measured) -> None:
        """One more."""


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measured:
    """Run the command to its end; SystemExit with its last words if it fails."""
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment) as process:
            used = wait_for(process)
            wall = time.perf_counter() - started
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace")[-_MESSAGE_CHARACTERS:]
            raise SystemExit(f"{' '.join(map(str, command))}\nfailed with {process.returncode}: {said}")
    return Measured(wall, used.cpu, used.peak_memory)


def wait_for(process: subprocess.Popen[bytes]) -> Used:
    """Wait for its end: what it has used by then."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _KIBIBYTE)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_named(cores: int) -> str:
    """Their number, as text."""
    return "1 core" if cores == 1 else f"{cores} cores"


@contextmanager
def only(cores: int) -> Iterator[None]:
    """Let what is started in here use so many cores; SystemExit where there are fewer, or where that can't be had."""
    if cores == available_cores():
        yield
        return
    if cores > available_cores() or not hasattr(os, "sched_setaffinity"):
        raise SystemExit(f"{cores_named(cores)} can't be had here.")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])  # a child inherits it, and libvips and we both ask for it
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def in_turns(case: str, programs: Mapping[str, Callable[[], Measured]], rounds: int, kept: Kept) -> None:
    """Run each so often, in turns, so that whatever else the machine does falls on all; runs that are kept are not run again."""
    for number in range(rounds):
        for name, run in programs.items():
            if len(kept.runs(case, name)) > number:
                continue
            if hasattr(os, "sync"):
                os.sync()  # nobody shall wait for the disk that the one before has filled
            measured = run()
            kept.add(case, name, measured)
            print(f"{case} · {name} · {number + 1} of {rounds}: {measured.wall:.2f} s", file=sys.stderr)


def summary(runs: Sequence[Measured]) -> Summary:
    """Medians, fastest and slowest; at least one run is needed."""
    walls = [run.wall for run in runs]
    return Summary(
        wall=median(walls),
        cpu=median(run.cpu for run in runs),
        peak_memory=median(run.peak_memory for run in runs),
        beside=median(run.beside for run in runs),
        fastest=min(walls),
        slowest=max(walls),
        rounds=len(runs),
    )
