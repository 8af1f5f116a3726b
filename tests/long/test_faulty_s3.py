"""Fifty images over an S3 of which every fifth answer is wrong: all end published, whole, and nothing is left behind."""

import queue
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.prices import Requests
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.reconciling import survey
from lambdazoom.publishing.workspace import open_workspace
from tests.conftest import encoded
from tests.faulty_s3 import FAULTS, faulty_s3
from tests.places import BUCKETS, Buckets, object_event
from tests.zappa_function import FunctionError, ZappaFunction, write_python_settings

pytestmark = pytest.mark.long

IMAGES, WORKERS, SHARE = 50, 4, 0.2
DELIVERIES = 3  # Lambda repeats a failed asynchronous call twice


def test_fifty_images_end_published_though_every_fifth_answer_is_wrong(
    moto_process: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = Buckets(moto_process)
    sizes = random.Random(3)
    keys = {f"mixed/{number}.jpg": (sizes.randint(40, 2400), sizes.randint(30, 1600)) for number in range(IMAGES)}
    for number, (key, (width, height)) in enumerate(keys.items()):
        places.put(key, encoded(width, height, seed=number))
    settings = write_python_settings(tmp_path)
    repeats: Counter[int] = Counter()
    with faulty_s3(moto_process, SHARE, seed=7) as (endpoint, faults):
        environment = {**places.environment, "AWS_ENDPOINT_URL": endpoint}
        free: queue.SimpleQueue[ZappaFunction] = queue.SimpleQueue()

        def deliver(key: str) -> None:
            function = free.get()
            try:
                for delivery in range(DELIVERIES):
                    try:
                        function.invoke({"Records": [object_event(places, key)]})
                    except FunctionError as error:
                        assert error.kind == "Unfinished", error
                    else:
                        repeats[delivery] += 1
                        return
            finally:
                free.put(function)

        with ExitStack() as stack:
            for number in range(WORKERS):
                free.put(stack.enter_context(ZappaFunction(settings, environment, tmp_path / f"{number}.log")))
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(deliver, keys))

    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        spent = Requests()
        for key, size in keys.items():
            shown = generations.published(ImageKey(key), workspace.zoom)
            record = catalog.find(ImageKey(key), workspace.metadata)
            assert shown is not None, key
            assert record is not None
            assert record.receipt is not None
            assert (shown.pyramid.width, shown.pyramid.height) == size
            names = {shown.generation.tile(*tile, shown.pyramid.recipe.format) for tile in shown.pyramid.tiles()}
            assert names <= set(workspace.zoom.list(shown.generation.folder)), "every tile is there"
            spent += record.receipt.requests
        with survey(workspace) as found:
            assert found.counts.total() == 0, found.counts
    with capsys.disabled():
        print(f"\n{faults.requests:,} requests, {faults.faults.total():,} faults: {dict(faults.faults)}")  # noqa: T201 (the figures)
        print(f"{spent.retries:,} retries on the receipts; deliveries {dict(repeats)}")  # noqa: T201
    assert set(faults.faults) == set(FAULTS)
    assert faults.faults.total() > 0.15 * faults.requests
    assert spent.retries > 0
    unfinished = boto3.client("s3").list_multipart_uploads(Bucket=BUCKETS["LAMBDAZOOM_ZOOM"])
    assert "Uploads" not in unfinished
