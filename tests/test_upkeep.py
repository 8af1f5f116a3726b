"""`reconcile` and `backfill` as an operator meets them: what they print, what they ask, what they refuse, and the function's part."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.places import Bucket
from lambdazoom.model.prices import Prices, Requests
from lambdazoom.model.records import Receipt
from lambdazoom.model.settings import Settings
from lambdazoom.operations.remote import batches, event_document
from lambdazoom.publishing import generations
from lambdazoom.publishing.estimating import PIXELS_PER_BYTE, REQUESTS, Experience, estimate, experience_of
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.reconciling import Finding, Found
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.effort import spending
from tests.commands import lambdazoom
from tests.conftest import Draw, encoded
from tests.places import Buckets
from tests.quiet_server import QuietHandler, serving
from tests.records import DONE, NOW, record
from tests.zappa_function import ZappaFunction, write_python_settings


def found(number: int, size: int) -> Found:
    return Found(Finding.MISSING, f"{number}.jpg", size)


def test_reconcile_says_what_differs_and_changes_nothing_unasked(environment: dict[str, str], draw: Draw, workspace: Workspace) -> None:
    draw("a.jpg")
    draw("trip/b.jpg")
    done = lambdazoom("reconcile", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "2 in the source, 0 known, 0 in progress.",
        "        2 missing: in the source, but nothing is known of it",
    ]
    assert list(workspace.zoom.list("")) == []
    dry = lambdazoom("reconcile", "--fix", "--dry-run", environment=environment)
    assert "To do: 2 images of about" in dry.stdout
    assert "s of Lambda, $0.00 to make them on Lambda" in dry.stdout
    assert list(workspace.zoom.list("")) == []
    fixed = lambdazoom("reconcile", "--fix", environment=environment)
    assert (fixed.returncode, fixed.stdout.splitlines()[-1]) == (0, "Done: 2 published.")
    assert lambdazoom("reconcile", environment=environment).stdout.endswith("Nothing differs.\n")


def test_orphans_go_only_when_asked_for_counted_and_confirmed(environment: dict[str, str], draw: Draw, source: Path) -> None:
    for number in range(11):
        draw(f"{number}.jpg", 30, 20)
    lambdazoom("reconcile", "--fix", environment=environment)
    (source / "0.jpg").unlink()
    assert "1 orphaned" in lambdazoom("reconcile", "--fix", environment=environment).stdout
    unanswered = lambdazoom("reconcile", "--delete-orphans", environment=environment)
    assert unanswered.returncode == 1
    assert "Withdraw 1 image gone from the source?" in unanswered.stderr
    assert "11 known" in lambdazoom("reconcile", environment=environment).stdout
    done = lambdazoom("reconcile", "--delete-orphans", "--yes", environment=environment)
    assert done.stdout.splitlines()[-1] == "Done: 1 withdrawn."
    for number in range(1, 4):
        (source / f"{number}.jpg").unlink()
    refused = lambdazoom("reconcile", "--delete-orphans", "--yes", environment=environment)
    assert refused.returncode == 1
    assert "3 of 10 known images (30 %) are not in" in refused.stderr
    assert "Done: 3 withdrawn." in lambdazoom("reconcile", "--delete-orphans", "--yes", "--at-most", 30, environment=environment).stdout
    for path in source.iterdir():
        path.unlink()
    emptied = lambdazoom("reconcile", "--delete-orphans", "--yes", "--at-most", 100, environment=environment)
    assert "holds no images at all" in emptied.stderr


def test_another_recipe_is_told_its_price_and_asked_for(environment: dict[str, str], draw: Draw, workspace: Workspace) -> None:
    draw("a.jpg", 900, 700)
    lambdazoom("backfill", environment=environment)
    other = {**environment, "LAMBDAZOOM_TILE_SIZE": "510"}
    asked = lambdazoom("reconcile", "--recipe", environment=other)
    assert asked.returncode == 1
    assert "1 other recipe" in asked.stdout
    assert "To do: 1 image of about" in asked.stdout
    assert "Make 1 image anew?" in asked.stderr
    assert "1 published" in lambdazoom("reconcile", "--recipe", "--yes", environment=other).stdout
    shown = generations.published(ImageKey("a.jpg"), workspace.zoom)
    assert shown is not None
    assert shown.pyramid.recipe.tile_size == 510
    assert lambdazoom("reconcile", environment=other).stdout.endswith("Nothing differs.\n")


def test_programs_get_json(environment: dict[str, str], draw: Draw) -> None:
    draw("a.jpg")
    report = json.loads(lambdazoom("reconcile", "--fix", "--dry-run", "--json", environment=environment).stdout)
    assert (report["images"], report["known"], report["found"]) == (1, 0, {"missing": 1})
    assert report["estimate"]["images"] == 1
    assert report["estimate"]["dollars"] > 0
    done = lambdazoom("reconcile", "--fix", "--json", environment=environment)
    assert json.loads(done.stdout)["found"] == {"missing": 1}
    assert done.stderr.endswith("Done: 1 published.\n")


def test_backfill_makes_the_missing_alone(environment: dict[str, str], draw: Draw, source: Path) -> None:
    draw("old.jpg")
    (source / "bad.jpg").write_text("no image")
    done = lambdazoom("backfill", environment=environment)
    assert done.stdout.splitlines()[0] == "2 in the source, 2 of them missing."
    assert done.stdout.splitlines()[-1] == "Done: 1 failed, 1 published."
    assert lambdazoom("backfill", environment=environment).stdout == "2 in the source, 0 of them missing.\n"


@dataclass
class StandIn:
    """What Lambda's Invoke was asked for."""

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Lambda, as far as Invoke: takes events as it does, 202 and no words, and keeps them."""
    stand_in = StandIn()

    class Handler(QuietHandler):
        def respond(self) -> None:
            stand_in.calls.append((self.path, self.headers["X-Amz-Invocation-Type"], json.loads(self.body())))
            self.answer(202)

    with serving(Handler) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://{address}")
        yield stand_in


def test_backfill_hands_the_missing_to_the_function_by_ordinary_events(aws: str, functions: StandIn, tmp_path: Path) -> None:
    places = Buckets(aws)
    keys = ["a.jpg", "trip/né w +#&.jpg", "b b/100%.jpg"]
    for key in keys:
        places.put(key, encoded(60, 40))
    done = lambdazoom("backfill", "--remote", "--rate", 50)  # the buckets are the stage's: nothing in the environment says so
    assert done.returncode == 0, done.stderr
    assert "3 images sent to lambdazoom-live." in done.stdout
    assert [(path, kind) for path, kind, _ in functions.calls] == [("/2015-03-31/functions/lambdazoom-live/invocations", "Event")]
    with ZappaFunction(write_python_settings(tmp_path), places.environment, tmp_path / "log") as function:
        for _, _, event in functions.calls:
            function.invoke(event)
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        assert all(generations.published(ImageKey(key), workspace.zoom) for key in keys)
    again = lambdazoom("backfill", "--remote")
    assert again.stdout == "3 in the source, 0 of them missing.\n"
    assert len(functions.calls) == 1


def test_a_function_that_looks_elsewhere_is_not_called(aws: str, functions: StandIn, environment: dict[str, str], draw: Draw) -> None:
    draw("a.jpg")
    done = lambdazoom("backfill", "--remote", environment=environment)
    assert done.returncode == 1
    assert "The function lambdazoom-live looks at another source. Set LAMBDAZOOM_SOURCE as the stage live does." in done.stderr
    assert functions.calls == []


def test_an_event_is_bounded_in_images_and_bytes() -> None:
    small = [found(number, 1000) for number in range(45)]
    assert [len(batch) for batch in batches(small)] == [20, 20, 5]
    large = [found(number, 15 * 2**20) for number in range(3)]
    assert [len(batch) for batch in batches([*large, *small[:2]])] == [1, 1, 3]
    worst = [Found(Finding.MISSING, "ä" * 400 + str(number), 1) for number in range(20)]
    assert len(json.dumps(event_document(worst, Bucket("originals", "p" * 50), "us-east-1", NOW))) < 250_000


def test_an_estimate_follows_the_geometry_and_the_price_table() -> None:
    known = Experience({".jpg": 2.0}, bytes_per_pixel=0.5, seconds_per_pixel=1e-6, seconds_per_image=1.0)
    reckoned = estimate([{".jpg": (3, 1_500_000)}], known, Recipe(), Prices(), memory=2048)
    tiles = 3 * Pyramid(1000, 1000, Recipe()).tile_count
    assert (reckoned.images, reckoned.pixels, reckoned.tiles) == (3, 3_000_000, tiles)
    assert reckoned.lambda_seconds == pytest.approx(6.0)
    assert reckoned.requests == 3 * REQUESTS.total + tiles
    s3 = Prices().of_requests(Requests(put=tiles + 3 * REQUESTS.put, get=3 * REQUESTS.get, head=3 * REQUESTS.head))
    assert reckoned.dollars == pytest.approx(s3 + 6 * 2 * 0.0000166667 + 3 * 0.0000002)
    assert reckoned.dollars_a_month == pytest.approx(1_500_000 / 10**9 * 0.023)
    assert estimate([], known, Recipe(), Prices()).dollars == 0


def test_an_estimate_learns_from_receipts() -> None:
    receipt = Receipt(source_bytes=1000, pixels=9000, tiles=5, tile_bytes=1800)
    learned = experience_of([record("a.jpg", tiles=DONE, receipt=receipt), record("b.JPG", tiles=DONE, receipt=receipt), record("c.jpg")])
    assert learned.pixels_per_byte[".jpg"] == 9.0
    assert learned.pixels_per_byte[".tif"] == PIXELS_PER_BYTE[".tif"], "nothing was learned of those"
    assert learned.bytes_per_pixel == 0.2


def test_the_usual_requests_of_an_image_are_those_of_its_receipt(aws: str) -> None:
    places = Buckets(aws)
    places.put("a.jpg", encoded(900, 700))
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace, spending() as effort:
        settled = settle(ImageKey("a.jpg"), workspace)
    assert settled is not None
    requests = effort.requests
    others = (requests.get, requests.head, requests.put - settled.tile_count, requests.delete)
    usual = (REQUESTS.get, REQUESTS.head, REQUESTS.put, REQUESTS.delete)
    assert all(abs(seen - expected) <= 2 for seen, expected in zip(others, usual, strict=True)), others
