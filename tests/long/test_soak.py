"""Two thousand small images by events in eight processes: each published once, and memory flat after the first hundred."""

import queue
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog
from lambdazoom.publishing.reconciling import Finding, survey
from lambdazoom.publishing.repairing import repair
from lambdazoom.publishing.workspace import open_workspace
from tests.conftest import encoded
from tests.places import Buckets, object_event
from tests.zappa_function import ZappaFunction, write_python_settings

pytestmark = pytest.mark.long

IMAGES, WORKERS, DUPLICATES = 2000, 8, 100
WARM = 100 // WORKERS  # of each process: the first hundred of all
GROWTH = 5 * 2**20  # bytes of a process, from then on


def memory(pid: int) -> int:
    """What a process holds, in bytes (proc_pid_status(5))."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def test_two_thousand_images_are_each_published_once_in_flat_memory(
    moto_process: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = Buckets(moto_process)
    data = [encoded(60 + seed, 48, seed=seed) for seed in range(40)]
    keys = [f"soak/{number % 13}/{number:04d}.jpg" for number in range(IMAGES)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda number: places.put(keys[number], data[number % 40]), range(IMAGES)))
    events = [object_event(places, key) for key in keys]
    events += random.Random(1).sample(events, DUPLICATES)  # S3 delivers at least once
    random.Random(2).shuffle(events)
    settings = write_python_settings(tmp_path)
    functions = [ZappaFunction(settings, places.environment, tmp_path / f"{number}.log") for number in range(WORKERS)]
    waiting: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
    for event in events:
        waiting.put(event)

    def work(function: ZappaFunction) -> list[int]:
        seen: list[int] = []
        while True:
            try:
                event = waiting.get_nowait()
            except queue.Empty:
                return seen
            function.invoke({"Records": [event]})
            seen.append(memory(function.pid))

    started = time.monotonic()
    with ExitStack() as stack:
        running = [stack.enter_context(function) for function in functions]
        with ThreadPoolExecutor(WORKERS) as pool:
            held = list(pool.map(work, running))
    seconds = time.monotonic() - started

    growth = [max(seen[-WARM:]) - max(seen[:WARM]) for seen in held]
    with capsys.disabled():
        each = ", ".join(f"{size / 2**20:+.1f}" for size in growth)
        largest = max(max(seen) for seen in held) / 2**20
        print(f"\n{IMAGES:,} images in {seconds:.0f} s; the largest process held {largest:.0f} MiB; growth in MiB: {each}")  # noqa: T201
    lines = [line for function in functions for line in function.log.read_text().splitlines() if "state=published" in line]
    published = Counter(re.search(r'key="([^"]*)"', line)[1] for line in lines)  # type: ignore[index]
    assert published == Counter(keys), "each once"
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        generations = {name.split("/")[2] for name in workspace.zoom.list("_tiles/")}
        assert len(generations) == IMAGES
        assert catalog.count("newest", workspace.metadata, limit=10_000) == IMAGES
        assert catalog.count("active", workspace.metadata) == 0
        with survey(workspace) as found:
            assert (found.images, found.known, found.counts.total()) == (IMAGES, IMAGES, 0)
            assert repair(found.of(Finding), workspace).states == {}
    assert max(growth) < GROWTH
