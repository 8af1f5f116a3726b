"""Many events at once, and many in a row, on moto's server: nothing lost, nothing twice, nothing left behind."""

import queue
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.workspace import open_workspace
from lambdazoom.storage.base import Store
from tests.conftest import encoded
from tests.places import BUCKETS, Buckets, object_event
from tests.zappa_function import ZappaFunction, write_python_settings

pytestmark = pytest.mark.long

IMAGES, WORKERS = 200, 8


def test_two_hundred_images_at_once_are_each_published_once(moto_process: str, tmp_path: Path) -> None:
    places = Buckets(moto_process)
    settings = write_python_settings(tmp_path)
    keys = [f"batch/{number % 7}/{number}.jpg" for number in range(IMAGES)]
    for number, key in enumerate(keys):
        places.put(key, encoded(300 + number, 400, seed=number))
    events = [object_event(places, key) for key in keys]
    events += random.Random(1).sample(events, 60)  # S3 delivers at least once
    random.Random(2).shuffle(events)

    functions = [ZappaFunction(settings, places.environment, tmp_path / f"{number}.log") for number in range(WORKERS)]
    free: queue.SimpleQueue[ZappaFunction] = queue.SimpleQueue()
    for function in functions:
        free.put(function.__enter__())

    def deliver(event: dict[str, object]) -> None:
        function = free.get()
        try:
            function.invoke({"Records": [event]})
        finally:
            free.put(function)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(deliver, events))
    for function in functions:
        function.__exit__()

    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        records = list(all_records(workspace.metadata))
        assert Counter(record.key for record in records) == Counter(keys), "no record is lost, none is listed twice"
        shown = [generations.published(ImageKey(key), workspace.zoom) for key in keys]
        assert [found.pyramid.width for found in shown if found] == [300 + number for number in range(IMAGES)]
        used = [found.generation.id for found in shown if found]
        assert len(set(used)) == IMAGES
        generations_there = {name.split("/")[2] for name in workspace.zoom.list("_tiles/")}
        notes = {name.rpartition("/")[2].removesuffix(".json") for name in workspace.metadata.list("_lambdazoom/generations/")}
        assert generations_there - set(used) <= notes, "what lost a race has a note for the sweep"
        assert catalog.count("active", workspace.metadata) == 0
        assert catalog.count("failed", workspace.metadata) == 0
    # each generation belongs to one image: its log line stands once in all logs
    lines = [line for function in functions for line in function.log.read_text().splitlines() if "state=published" in line]
    assert {re.search(r'key="([^"]*)"', line)[1] for line in lines} == set(keys)  # type: ignore[index]


def all_records(store: Store) -> Iterator[ImageRecord]:
    cursor = ""
    while True:
        page = catalog.newest(store, after=cursor)
        yield from page.records
        cursor = page.cursor
        if not cursor:
            return


def test_five_hundred_images_in_one_process_leave_memory_and_descriptors_as_they_were(moto_process: str, tmp_path: Path) -> None:
    places = Buckets(moto_process)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    data = [encoded(700, 500, seed=seed) for seed in range(5)]
    with ZappaFunction(write_python_settings(tmp_path), {**places.environment, "TMPDIR": str(temporary)}, tmp_path / "log") as function:
        seen = []
        for number in range(500):
            key = f"{number}.jpg"
            places.put(key, data[number % 5] if number % 10 else data[0][:3000])  # one in ten is cut off
            function.invoke({"Records": [object_event(places, key)]})
            if number % 100 == 99:
                seen.append(usage(function.pid))
    assert list(temporary.iterdir()) == []
    memory, descriptors, threads = zip(*seen, strict=True)
    assert memory[-1] < memory[0] * 1.1, seen
    assert descriptors[-1] <= descriptors[0], seen
    assert threads[-1] <= threads[0], seen


def usage(pid: int) -> tuple[int, int, int]:
    """Resident KiB, descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads")}  # type: ignore[index]
    return numbers["VmRSS"], len(list(Path(f"/proc/{pid}/fd").iterdir())), numbers["Threads"]


def test_no_object_is_written_by_more_than_one_image(moto_process: str, tmp_path: Path) -> None:
    """moto keeps every version of a bucket with versioning: an object with two writers would have two."""
    places = Buckets(moto_process)
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKETS["LAMBDAZOOM_ZOOM"], VersioningConfiguration={"Status": "Enabled"})
    settings = write_python_settings(tmp_path)
    keys = [f"{number}.jpg" for number in range(24)]
    for number, key in enumerate(keys):
        places.put(key, encoded(500 + number, 400, seed=number))
    with (
        ZappaFunction(settings, places.environment, tmp_path / "1.log") as one,
        ZappaFunction(settings, places.environment, tmp_path / "2.log") as other,
    ):
        # both get every event, at the same time
        threads = [
            threading.Thread(target=lambda function=function: [function.invoke({"Records": [object_event(places, key)]}) for key in keys])
            for function in (one, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    versions: Counter[str] = Counter()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKETS["LAMBDAZOOM_ZOOM"]):
        versions.update(entry["Key"] for entry in page.get("Versions", ()))
    assert max(count for name, count in versions.items() if name.startswith("_tiles/")) == 1
    pointers = {name: count for name, count in versions.items() if name.endswith(".dzi") and not name.startswith("_tiles/")}
    assert set(pointers) == {f"{key}.dzi" for key in keys}
