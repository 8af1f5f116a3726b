"""How long something takes by the processor's time, told in another piece of work's that is done in turns with it.

A slow or busy machine does both more slowly; seconds alone would say more about the machine than about us.
"""

import json
import statistics
import time
from collections.abc import Callable

MILLISECONDS = 8  # that the yardstick takes on a machine of 2026: what may take 50 milliseconds there may take six yardsticks anywhere

_YARDSTICK = json.dumps(
    [{"key": f"archive/{number}.tif", "sizes": [number, 2000], "remarks": ["so", "and so"]} for number in range(10_000)]
)


def yardstick() -> None:
    """Plain work of the interpreter's."""
    json.loads(_YARDSTICK)


def milliseconds(work: Callable[[], object]) -> float:
    """What the work takes by its median, as if the machine were one where the yardstick takes its MILLISECONDS."""
    return MILLISECONDS * ratio(work, yardstick)


def ratio(work: Callable[[], object], other: Callable[[], object], rounds: int = 11) -> float:
    """How much longer the work takes than the other, by their medians."""
    ours, others = [], []
    for _ in range(rounds):
        ours.append(processor_seconds(work))
        others.append(processor_seconds(other))
    return statistics.median(ours) / statistics.median(others)


def processor_seconds(work: Callable[[], object]) -> float:
    """What the work takes, on all threads: what else runs on the machine counts only as far as it slows the processor."""
    started = time.process_time()
    work()
    return time.process_time() - started
