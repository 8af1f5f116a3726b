"""The Lambda door, called as Lambda calls it: time that runs out, repeats of what failed, runs that were killed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lambdazoom import handler
from lambdazoom.model.errors import StorageError, Unfinished
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress, State
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog
from lambdazoom.publishing.notices import UNKNOWN_BUCKETS
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.base import Headers
from lambdazoom.storage.s3 import BucketStore
from tests.conftest import encoded
from tests.crews import temporary as temporary  # a fixture
from tests.places import Buckets, Folders, object_event


@dataclass
class Context:
    """What Lambda tells of an invocation: each question finds some seconds gone."""

    seconds: float
    passing: float = 0.0

    def get_remaining_time_in_millis(self) -> int:
        self.seconds -= self.passing
        return int(1000 * self.seconds)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    made = Folders(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    handler.door.close()


@pytest.fixture
def workspace(places: Folders) -> Iterator[Workspace]:
    with open_workspace(Settings.from_env(places.environment)).closing() as opened:
        yield opened


def states(workspace: Workspace) -> dict[str, State]:
    return {record.key: record.state(workspace.now()) for record in catalog.newest(workspace.metadata).records}


def event_of(places: Folders, *keys: str) -> Mapping[str, Any]:
    return json.loads(json.dumps({"Records": [object_event(places, key) for key in keys]}))  # type: ignore[no-any-return]


def test_what_time_does_not_allow_is_left_to_the_repeat_which_does_nothing_twice(places: Folders, workspace: Workspace) -> None:
    keys = ("one.jpg", "two.jpg")
    for key in keys:
        places.put(key, encoded(3000, 2000))
    event = event_of(places, *keys)
    with pytest.raises(Unfinished, match=r"2 of this event's images .* Stopped before the time limit with .* two\.jpg was not begun"):
        handler.on_object_event(event, Context(seconds=40, passing=0.5))
    assert states(workspace) == {"one.jpg": State.FAILED}
    handler.on_object_event(event, Context(seconds=900))
    assert states(workspace) == dict.fromkeys(keys, State.PUBLISHED)
    written = places.published()
    handler.on_object_event(event, Context(seconds=900))
    assert places.published() == written


def test_what_runs_out_of_time_again_is_not_asked_for_once_more(places: Folders, workspace: Workspace) -> None:
    places.put("large.jpg", encoded(3000, 2000))
    event = event_of(places, "large.jpg")
    with pytest.raises(Unfinished):
        handler.on_object_event(event, Context(seconds=40, passing=0.5))
    handler.on_object_event(event, Context(seconds=40, passing=0.5))
    written = places.published()
    handler.on_object_event(event, Context(seconds=40, passing=0.5))
    assert states(workspace) == {"large.jpg": State.FAILED}
    assert places.published() == written


def test_after_two_runs_that_were_killed_the_second_repeat_gives_up(places: Folders, workspace: Workspace) -> None:
    places.put("cat.jpg", encoded(300, 200))
    version = workspace.source.head("cat.jpg").version
    long_ago = workspace.now() - timedelta(minutes=2)
    killed = ImageRecord("cat.jpg", version, long_ago, cut_short=1, run="second", heartbeat_at=long_ago, progress=Progress("tiling"))
    catalog.save(killed, None, workspace.metadata)
    handler.on_object_event(event_of(places, "cat.jpg"), Context(seconds=900))
    record = catalog.find(ImageKey("cat.jpg"), workspace.metadata)
    assert record is not None
    assert record.state(workspace.now()) == State.FAILED
    assert "probably out of memory" in record.complaints[0]


def test_a_message_of_the_dead_letter_queue_put_to_the_function_again_makes_what_is_left(places: Folders, workspace: Workspace) -> None:
    """Lambda keeps the event as text when the last repeat has failed; somebody frees what was in the way, and sends it again."""
    for key in ("one.jpg", "two.jpg"):
        places.put(key, encoded(300, 200))
    handler.on_object_event(event_of(places, "one.jpg"), Context(seconds=900))
    in_the_way = Path(places.environment["LAMBDAZOOM_ZOOM"]) / ImageKey("two.jpg").pointer
    in_the_way.mkdir()
    message = json.dumps(event_of(places, "one.jpg", "two.jpg"))
    with pytest.raises(Unfinished, match=r"1 of this event's images"):
        handler.on_object_event(json.loads(message), Context(seconds=900))
    assert states(workspace) == {"one.jpg": State.PUBLISHED}
    first = {name: written for name, written in places.published().items() if "one.jpg" in name}
    in_the_way.rmdir()
    handler.on_object_event(json.loads(message), Context(seconds=900))
    assert states(workspace) == dict.fromkeys(("one.jpg", "two.jpg"), State.PUBLISHED)
    assert {name: written for name, written in places.published().items() if "one.jpg" in name} == first


def test_a_wish_is_understood_whichever_version_sent_it(places: Folders, workspace: Workspace) -> None:
    places.put("cat.jpg", encoded(300, 200))
    sent = {"command": "lambdazoom.handler.on_wish", "names": ["cat.jpg"], "recipe": False}
    pointers = []
    for event in (sent, sent, {**sent, "anew": True}, {**sent, "anew": False, "of a later version": 1}):
        handler.on_wish(event, Context(seconds=900))
        pointers.append(workspace.zoom.read(ImageKey("cat.jpg").pointer).data)
    assert pointers[0] == pointers[1] != pointers[2] == pointers[3]


def test_without_a_context_time_does_not_end(places: Folders, workspace: Workspace) -> None:
    places.put("cat.jpg", encoded(300, 200))
    handler.on_object_event(event_of(places, "cat.jpg"), None)
    assert states(workspace) == {"cat.jpg": State.PUBLISHED}
    assert replace(workspace).remaining() == float("inf")


def test_a_hint_that_can_not_be_left_keeps_no_image_waiting(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places, put = Buckets(aws), BucketStore.put

    def put_no_hint(store: BucketStore, name: str, data: bytes, headers: Headers) -> None:
        if name.startswith(UNKNOWN_BUCKETS):
            raise StorageError("S3 asked to slow down.")
        put(store, name, data, headers)

    places.put("cat.jpg", encoded(300, 200))
    for name, value in places.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(BucketStore, "put", put_no_hint)
    try:
        stranger = object_event(places, "x.jpg", bucket="somebody-elses")
        handler.on_object_event({"Records": [stranger, object_event(places, "cat.jpg")]}, None)
        assert states(handler.door.workspace()) == {"cat.jpg": State.PUBLISHED}
    finally:
        handler.door.close()


@pytest.mark.parametrize("function", ["lambdazoom-live", None], ids=["on Lambda", "elsewhere"])
def test_what_a_killed_process_left_in_the_sandbox_makes_room_before_the_first_image_and_no_later(
    function: str | None, places: Folders, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, foreign = temporary / "lambdazoom-k1ll3d", temporary / "of-somebody-else"
    for folder in (left, foreign):
        folder.mkdir()
        (folder / "source.tif").write_bytes(b"1")
    if function:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", function)
    handler.on_object_event(event_of(places), Context(seconds=900))
    assert (left.exists(), foreign.exists()) == (function is None, True)
    left.mkdir(exist_ok=True)
    handler.on_object_event(event_of(places), Context(seconds=900))
    assert left.exists(), "it may be at work"
