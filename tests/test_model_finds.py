"""What the model of test_model.py found, or what was thought out with it, each as one short history."""

from datetime import timedelta

import pytest

from lambdazoom.model.keys import Generation
from lambdazoom.model.records import Outcome, Step
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.reconciling import survey
from tests.histories import at_once, is_settled
from tests.histories import tools as tools  # a fixture
from tests.in_memory import etag_of
from tests.one_key import CAT, CUT_OFF, ONE_PIXEL, SOME_TILES, UNREADABLE, History, move_to_the_pointer
from tests.one_key import history as history  # a fixture
from tests.runs import ANSWER_LOST, Run


def test_a_sweep_between_the_note_and_the_pointer_does_not_orphan_what_is_replaced(history: History) -> None:
    history.holds(ONE_PIXEL)
    history.settle()
    history.holds(SOME_TILES)
    run = history.settling()
    move_to_the_pointer(run)
    history.sweep(2)
    run.move()
    history.sweep(13)
    history.require_nothing_else(history.shown)


def test_a_slow_removal_does_not_orphan_what_it_removes(history: History) -> None:
    """Nearly six hours pass before each of its operations, and all the while it relies on its note."""
    history.holds(ONE_PIXEL)
    history.settle()
    history.holds(None)
    run = history.settling()
    while not run.is_over:
        history.sweep(5.9)
        run.move(1)
        history.require_accounted()
    history.sweep(2)
    assert list(history.zoom.list("")) == []


def test_a_run_that_was_condemned_while_it_stored_takes_its_tiles_away_and_makes_others(history: History) -> None:
    history.holds(SOME_TILES)
    run = history.settling()
    run.move(9)  # into its tiles
    history.sweep(14)
    run.move(1)
    history.require_accounted()
    history.sweep(14)
    run.move()
    history.require_nothing_else(history.shown)


def test_a_slow_run_that_stands_before_the_pointer_is_not_swept_from_under_it(history: History) -> None:
    history.holds(SOME_TILES)
    run = history.settling()
    for _ in range(2):
        run.move(9)
        history.sweep(5.5)
    move_to_the_pointer(run)
    history.sweep(5.5)
    run.move(1)
    made = history.shown
    run.move()
    assert history.shown == made, "it is not made anew either"
    history.require_nothing_else(made)


def test_what_was_on_show_once_is_not_put_on_show_again(history: History) -> None:
    """Its publisher never got the answer; meanwhile the source went and came back, and the sweep may take the tiles at any time."""
    history.holds(ONE_PIXEL)
    original = history.world.originals.held[CAT.key]
    run = history.settling()
    move_to_the_pointer(run)
    run.break_operation(ANSWER_LOST, after=1)
    run.move(1)
    first = history.shown.generation
    history.holds(None)
    history.settle()
    history.world.originals.held[CAT.key] = original
    run.move()
    assert history.shown.generation != first
    history.sweep(2)
    history.require_nothing_else(history.shown)


def test_a_document_written_for_a_version_that_never_was_on_show_does_not_stay_beside_an_older_pyramid(history: History) -> None:
    history.holds(ONE_PIXEL)
    history.settle()
    history.holds(SOME_TILES)
    run = history.settling()
    move_to_the_pointer(run)
    run.kill()
    history.holds(CUT_OFF)
    history.world.clock.pass_by(timedelta(minutes=2))
    history.settle()
    assert history.shown.version.etag == etag_of(ONE_PIXEL.data)
    assert documents.find(CAT, history.metadata) is None


def test_whoever_publishes_beside_a_dead_run_s_document_records_it_too(history: History) -> None:
    """The run that died had written the document, but not moved the pointer; the one after it makes tiles only."""
    history.holds(ONE_PIXEL)
    run = history.settling()
    move_to_the_pointer(run)
    run.kill()
    history.world.clock.pass_by(timedelta(minutes=2))
    history.settle()
    record = catalog.find(CAT, history.metadata)
    assert record
    assert record.metadata == Step(Outcome.DONE)
    with survey(history.world.workspace(at_once)) as found:
        assert not found.counts


def test_metadata_that_cannot_be_read_is_settled_also_beside_a_dead_run_s_tiles(history: History) -> None:
    """The run that died had moved the pointer, but left no record; nobody shall try to read the tags for ever."""
    history.holds(UNREADABLE)
    run = history.settling()
    move_to_the_pointer(run)
    run.move(1)
    run.kill()
    history.world.clock.pass_by(timedelta(minutes=2))
    history.settle()
    record = catalog.find(CAT, history.metadata)
    assert record
    assert record.metadata
    assert (record.metadata.outcome, record.metadata.final) == (Outcome.FAILED, True)
    assert record.generation == history.shown.generation.id


# made anew because somebody asks for it


@pytest.fixture
def on_show(history: History) -> History:
    history.holds(SOME_TILES)
    history.settle()
    return history


def making_anew(history: History) -> Run:
    return Run(history.world, lambda workspace: is_settled(CAT.key, workspace, Wish(asked=True, anew=True)), "anew")


def both_standing_before_the_pointer(history: History) -> tuple[Run, Run]:
    first = making_anew(history)
    move_to_the_pointer(first)
    history.world.clock.pass_by(timedelta(minutes=1))  # so that the second takes the first for dead
    second = making_anew(history)
    move_to_the_pointer(second)
    return first, second


@pytest.mark.parametrize("goes_first", [0, 1])
def test_of_two_that_make_it_anew_one_publishes_and_the_other_takes_its_own_away(on_show: History, goes_first: int) -> None:
    before, runs = on_show.shown, both_standing_before_the_pointer(on_show)
    winner, loser = runs[goes_first], runs[1 - goes_first]
    winner.move()
    published = on_show.shown
    assert published.generation != before.generation
    loser.move()
    assert (winner.is_over, loser.is_over) == (True, True)
    assert on_show.shown == published, "what is on show was made since it was asked for"
    assert loser.operations < 100
    for hours in (14, 14, 14):
        on_show.sweep(hours)
    on_show.require_nothing_else(published)


@pytest.mark.parametrize("operations", range(1, 6))
def test_a_look_into_which_a_publication_falls_writes_no_record_of_what_was_on_show_before(on_show: History, operations: int) -> None:
    run = on_show.settling()
    run.move(operations)  # it has seen the pointer, not yet the record
    making_anew(on_show).move()
    run.move()
    record = catalog.find(CAT, on_show.metadata)
    assert record is not None
    assert record.generation == on_show.shown.generation.id


def test_a_second_wish_makes_it_once_more_and_no_more(on_show: History) -> None:
    seen = [on_show.shown.generation.id]
    for _ in range(2):
        making_anew(on_show).move()
        seen.append(on_show.shown.generation.id)
    on_show.settle()
    assert len(set(seen)) == 3
    assert on_show.shown.generation.id == seen[-1]


def test_one_that_was_put_back_meanwhile_ends_too(on_show: History) -> None:
    """Deleted and put back under its hands: what is on show then was made since."""
    run = making_anew(on_show)
    move_to_the_pointer(run)
    held = on_show.world.originals.held
    original = held.pop(CAT.key)
    on_show.world.clock.pass_by(timedelta(minutes=1))
    on_show.settle()
    held[CAT.key] = original
    on_show.settle()
    run.move()
    assert run.is_over
    for hours in (14, 14, 14):
        on_show.sweep(hours)
    on_show.require_nothing_else(on_show.shown)


def test_a_generation_that_the_sweep_took_meanwhile_is_made_once_more(on_show: History) -> None:
    before, run = on_show.shown, making_anew(on_show)
    while generations_of(on_show) == {before.generation.id}:
        assert not run.is_over
        run.move(1)
    on_show.sweep(14)
    run.move()
    assert on_show.shown.generation != before.generation
    for hours in (14, 14, 14):
        on_show.sweep(hours)
    on_show.require_nothing_else(on_show.shown)


def generations_of(history: History) -> set[str]:
    return {name.split("/")[2] for name in history.zoom.list("_tiles/")}


def test_an_entry_whose_record_is_about_to_be_written_is_not_taken_for_a_leftover(history: History) -> None:
    """Else the record would stay when that run dies: no list would lead to it but that of the newest."""
    history.holds(ONE_PIXEL)
    run = history.settling()
    while not list(history.metadata.list("_lambdazoom/active/")):
        run.move(1)
    history.holds(None)
    history.reconcile()
    assert catalog.find(CAT, history.metadata) is None
    while catalog.find(CAT, history.metadata) is None:
        run.move(1)
    run.kill()
    history.world.clock.pass_by(timedelta(minutes=2))
    history.reconcile()
    record = catalog.find(CAT, history.metadata)
    assert record
    assert record.removed_at
    assert list(history.metadata.list("_lambdazoom/active/")) == []


def test_an_entry_whose_record_never_was_written_goes_after_a_day(history: History) -> None:
    history.holds(ONE_PIXEL)
    run = history.settling()
    while not list(history.metadata.list("_lambdazoom/active/")):
        run.move(1)
    run.kill()
    history.holds(None)
    history.reconcile()
    assert list(history.metadata.list("_lambdazoom/active/")) != []
    history.world.clock.pass_by(generations.LONGEST_RUN)
    history.reconcile()
    assert list(history.metadata.list("_lambdazoom/active/")) == []


def test_a_slow_replacement_does_not_show_what_the_sweep_has_condemned(history: History) -> None:
    """Nearly six hours pass between its last operations; the next version can't be shown, so what is on show must be fit to stay."""
    history.holds(ONE_PIXEL)
    history.settle()
    before = history.shown.generation
    run = Run(history.world, lambda workspace: is_settled(CAT.key, workspace, Wish(asked=True, anew=True)), "settle")
    while not (run.standing_at.startswith(Generation.NOTES) and generations_of(history) != {before.id}):
        run.move(up_to_a_commit=True)
    while history.shown.generation == before:
        history.sweep(5.9)
        run.move(1)
    history.holds(CUT_OFF)
    run.move()
    history.settle()
    for _ in range(3):
        history.sweep(26)
    history.require_nothing_else(history.shown)
