"""The sweep and the scheduled look: what is due goes, what is shown stays, what was missed is found."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from lambdazoom.cli import commands
from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.lifecycle import LAST_LOOK, Caught, catch_up
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.sweeping import Swept, sweep
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.base import Headers
from tests.conftest import Draw, encoded
from tests.places import Buckets, Folders, Places
from tests.places import places as places  # a fixture
from tests.places import working as working  # a fixture
from tests.settling import CAT, failing, later, patient, tiles


def test_a_replaced_generation_goes_after_the_grace_period_and_no_other(places: Places, working: Workspace) -> None:
    for width in (300, 1200):
        places.put(CAT.key, encoded(width, 200))
        settle(CAT, working)
    both = len(tiles(working))
    assert sweep(working) == Swept(0, stopped=False, waiting=1)
    assert sweep(later(working, minutes=59)) == Swept(0, stopped=False, waiting=1)
    assert sweep(later(working, minutes=61)) == Swept(1, stopped=False)
    shown = generations.published(CAT, working.zoom)
    assert shown is not None
    assert len(tiles(working)) == shown.pyramid.tile_count + 2 < both
    assert all(shown.generation.id in name for name in tiles(working))
    assert list(working.metadata.list("_lambdazoom/generations/")) == []
    assert sweep(later(working, days=9)) == Swept(0, stopped=False)


def test_a_removed_image_leaves_nothing(places: Places, working: Workspace) -> None:
    for key in ("img_1.jpg", "img_10.jpg"):
        places.put(key, encoded(300, 200))
        settle(ImageKey(key), working)
    places.remove("img_1.jpg")
    settle(ImageKey("img_1.jpg"), working)
    sweep(later(working, hours=2))
    left = [*working.zoom.list(""), *working.metadata.list("")]
    assert not [name for name in left if "img_1.jpg" in name]
    ten = generations.published(ImageKey("img_10.jpg"), working.zoom)
    assert ten is not None
    assert len(tiles(working)) == ten.pyramid.tile_count + 2


def test_what_a_crashed_run_left_goes_when_no_run_can_still_be_at_it(places: Places, working: Workspace) -> None:
    places.put(CAT.key, encoded(300, 200))
    settle(CAT, working)
    shown = generations.published(CAT, working.zoom)
    assert shown is not None
    crashed = generations.begin(CAT, shown.pyramid, working.metadata, working.now(), working.grace)
    with working.zoom.bulk() as write:
        write(crashed.tile(0, 0, 0, "jpg"), b"half a run", Headers("image/jpeg"))
    assert sweep(later(working, hours=12)) == Swept(0, stopped=False, waiting=1)
    assert sweep(later(working, hours=14)) == Swept(0, stopped=False), "condemned: a run that is at it yet will find that out"
    assert sweep(later(working, hours=25)) == Swept(0, stopped=False, waiting=1)
    assert sweep(later(working, hours=27)) == Swept(1, stopped=False)
    assert not [name for name in tiles(working) if crashed.id in name]
    assert settle(CAT, working) is not None


def test_a_note_of_what_is_shown_after_all_goes_when_nobody_can_still_be_about_to_replace_it(places: Places, working: Workspace) -> None:
    places.put(CAT.key, encoded(300, 200))
    settle(CAT, working)
    shown = generations.published(CAT, working.zoom)
    assert shown is not None
    generations.retire(CAT, shown, working.metadata, working.now, working.grace)  # and then the publisher died
    before = tiles(working)
    assert sweep(later(working, hours=2)) == Swept(0, stopped=False)
    assert generations.read_note(shown.generation, working.metadata) is not None
    assert sweep(later(working, hours=25)) == Swept(0, stopped=False)
    assert generations.read_note(shown.generation, working.metadata) is None
    assert tiles(working) == before


def test_a_condemned_generation_is_never_taken_for_whole_again(places: Places, working: Workspace) -> None:
    places.put(CAT.key, encoded(300, 200))
    settle(CAT, working)
    shown = generations.published(CAT, working.zoom)
    assert shown is not None
    generations.retire(CAT, shown, working.metadata, working.now, working.grace)
    note = generations.read_note(shown.generation, working.metadata)
    assert note is not None
    generations.rewrite(note, working.metadata, condemned=True)
    generations.retire(CAT, shown, working.metadata, working.now, working.grace)
    assert not generations.renew(CAT, shown, working.metadata, working.now, working.grace)
    settle(CAT, working)
    made_anew = generations.published(CAT, working.zoom)
    assert made_anew is not None
    assert made_anew.generation != shown.generation


def test_the_sweep_stops_in_time(places: Places, working: Workspace) -> None:
    for width in (300, 400, 500):
        places.put(CAT.key, encoded(width, 200))
        settle(CAT, working)
    assert sweep(later(working, hours=2), is_time_up=lambda: True) == Swept(0, stopped=True)
    assert sweep(later(working, hours=2)) == Swept(2, stopped=False)


def test_a_source_that_no_event_told_of_is_found(places: Places, working: Workspace) -> None:
    places.put("seen.jpg", encoded(300, 200))
    settle(ImageKey("seen.jpg"), working)
    places.put("missed.jpg", encoded(310, 200))
    places.put(".hidden.jpg", encoded(310, 200))
    caught = catch_up(working)
    assert (caught.looked_at, caught.failed, caught.stopped) == (2, 0, False)
    found = {record.key: record.state(working.now()) for record in catalog.newest(working.metadata).records}
    assert found == {"seen.jpg": State.PUBLISHED, "missed.jpg": State.PUBLISHED}
    attempts = catalog.find(ImageKey("seen.jpg"), working.metadata)
    assert attempts is not None
    assert attempts.attempts == 1


def test_a_look_begins_where_the_last_one_ended(places: Places, working: Workspace) -> None:
    places.put("old.jpg", encoded(300, 200))
    assert catch_up(later(working, hours=3)).looked_at == 0, "what was there before waits for somebody's wish"
    places.put("new.jpg", encoded(310, 200))
    assert catch_up(later(working, hours=3.4)).looked_at == 0
    working.metadata.discard(LAST_LOOK)
    assert catch_up(working).looked_at == 2
    assert catch_up(later(working, minutes=20)).looked_at == 2, "a margin is looked at twice"
    assert catch_up(later(working, hours=2)).looked_at == 2
    assert catch_up(later(working, hours=2.1)).looked_at == 0


def test_what_failed_is_looked_at_again_until_it_goes_well(workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    busy = replace(patient(workspace), zoom=failing(workspace.zoom, lambda verb, name: verb == "write"))
    assert catch_up(busy) == Caught(looked_at=1, failed=1, stopped=False)
    assert catch_up(later(busy, hours=3)) == Caught(looked_at=1, failed=1, stopped=False)
    assert catch_up(later(workspace, hours=6)) == Caught(looked_at=1, failed=0, stopped=False)
    assert catch_up(later(workspace, hours=7)).looked_at == 0


def test_what_fails_for_longer_than_a_day_is_left_to_reconcile(workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    busy = replace(patient(workspace), zoom=failing(workspace.zoom, lambda verb, name: verb == "write"))
    assert [catch_up(later(busy, hours=hours)).looked_at for hours in (0, 10, 23, 35, 47)] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("key", ["a\x7fb.jpg", "a\x01b.jpg"])
def test_a_name_that_an_s3_client_can_not_say_stops_no_other(aws: str, key: str) -> None:
    places = Buckets(aws)
    for each in (key, "z.jpg"):
        places.put(each, encoded(300, 200))
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        assert catch_up(workspace) == Caught(looked_at=2, failed=0, stopped=False)
        found = {record.key: record.state(workspace.now()) for record in catalog.newest(workspace.metadata).records}
        assert found == {key: State.PUBLISHED, "z.jpg": State.PUBLISHED}
        places.remove(key)
        settle(ImageKey(key), workspace)
        assert catalog.find(ImageKey(key), workspace.metadata) is None


def test_an_error_that_nobody_expected_stops_no_other_image(workspace: Workspace, draw: Draw) -> None:
    for key in ("a.jpg", "b.jpg"):
        draw(key)

    def is_odd(verb: str, name: str) -> bool:
        if "a.jpg" in name:
            raise RuntimeError("nobody thought of this")
        return False

    assert catch_up(replace(workspace, zoom=failing(workspace.zoom, is_odd))) == Caught(looked_at=2, failed=1, stopped=False)
    assert catalog.find(ImageKey("b.jpg"), workspace.metadata) is not None


def test_a_look_that_runs_out_of_time_goes_on_where_it_was(places: Places, working: Workspace) -> None:
    for number in range(4):
        places.put(f"{number}.jpg", encoded(300 + number, 200))
    left = [2]

    def is_time_up() -> bool:
        left[0] -= 1
        return left[0] < 0

    assert catch_up(working, is_time_up) == Caught(looked_at=2, failed=0, stopped=True)
    assert len(catalog.newest(working.metadata).records) == 2
    places.put("0.jpg", encoded(400, 200))  # behind its back: the look after this one finds it, since it began before
    assert catch_up(later(working, minutes=50)) == Caught(looked_at=2, failed=0, stopped=False)
    assert len(catalog.newest(working.metadata).records) == 4
    assert catch_up(later(working, hours=1)).looked_at == 4
    assert catch_up(later(working, hours=3)).looked_at == 0


def test_no_call_has_to_get_through_all_sources(places: Places, working: Workspace) -> None:
    for number in range(6):
        places.put(f"trip/{number}.jpg", b"")
    stopped = [catch_up(later(working, hours=5), iter([False, False, True]).__next__).stopped for _ in range(4)]
    assert stopped == [True, True, False, True], "the fourth is another look"


def test_the_command_takes_away_what_is_due_and_says_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Folders(tmp_path)
    for name, value in {**places.environment, "LAMBDAZOOM_GRACE_SECONDS": "0"}.items():
        monkeypatch.setenv(name, value)
    with open_workspace(Settings.from_env(os.environ)).closing() as workspace:
        for width in (300, 400):
            places.put(CAT.key, encoded(width, 200))
            settle(CAT, workspace)
        generations.begin(CAT, Pyramid(1, 1, Recipe()), workspace.metadata, workspace.now(), workspace.grace)
        done = CliRunner().invoke(commands, ["sweep"])
        assert (done.exit_code, done.output) == (0, "1 pyramids taken away; 1 wait for their time.\n")
        assert len({name.split("/")[2] for name in tiles(workspace)}) == 1
