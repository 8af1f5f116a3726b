"""Runs cut short at each of their operations while a source goes: whoever looks next ends them, and what is put back is shown again."""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.generations import LONGEST_RUN
from lambdazoom.publishing.reconciling import Finding, survey
from tests.contents import CONTENTS, Content
from tests.histories import Publishing, at_once
from tests.histories import tools as tools  # a fixture
from tests.one_key import CAT, History
from tests.runs import ANSWER_LOST, REFUSED, Run, World

CutShort = Callable[[Run, int], None]


def killed(run: Run, operations: int) -> None:
    run.move(operations)
    run.kill()


def refused(run: Run, operations: int) -> None:
    """Once: it looks again, or ends if it can't go on."""
    run.break_operation(REFUSED, operations)
    run.move()


def answered_too_late(run: Run, operations: int) -> None:
    """Once; whoever did not get the answer looks again."""
    run.break_operation(ANSWER_LOST, operations)
    run.move()


@pytest.fixture(params=CONTENTS, ids=lambda content: content.name)
def content(request: pytest.FixtureRequest) -> Content:
    found: Content = request.param
    return found


@pytest.fixture(params=[killed, refused, answered_too_late])
def cut_short(request: pytest.FixtureRequest) -> CutShort:
    found: CutShort = request.param
    return found


def removals_cut_short(content: Content, cut_short: CutShort) -> Iterator[History]:
    """One history for each operation of a removal."""
    for operations in itertools.count(1):
        history = History(World(Publishing.tools, is_versioned=False))
        history.holds(content)
        history.settle()
        history.holds(None)
        run = history.settling()
        cut_short(run, operations)
        yield history
        if run.operations < operations:
            return


def publications_cut_short(content: Content, cut_short: CutShort) -> Iterator[History]:
    """One history for each operation of a first publication; then the source goes, and nobody hears of it."""
    for operations in itertools.count(1):
        history = History(World(Publishing.tools, is_versioned=False))
        history.holds(content)
        run = history.settling()
        cut_short(run, operations)
        history.holds(None)
        yield history
        if run.operations < operations:
            return


def test_tiles_that_are_half_gone_are_never_published(content: Content) -> None:
    """The source goes while they are made, and is back when a store has failed in the middle of taking them away."""
    for operations in itertools.count(1):
        history = History(World(Publishing.tools, is_versioned=False))
        history.holds(content)
        run = history.settling()
        while not list(history.zoom.list("_tiles/")) and not run.is_over:
            run.move(1)
        run.move(1)
        history.holds(None)
        run.break_operation(ANSWER_LOST, operations)
        run.move(operations)
        history.holds(content)
        run.move()
        history.settle()
        if content.colour:
            history.require_whole(history.shown)
        if run.operations < operations:
            return


def test_what_is_put_back_is_shown_again(content: Content, cut_short: CutShort) -> None:
    count = 0
    for history in removals_cut_short(content, cut_short):
        history.holds(content)
        reconcile_until_all_counts(history)
        require_published(history, content)
        count += 1
    assert count > 10


def test_nothing_is_left_of_what_does_not_come_back(content: Content, cut_short: CutShort) -> None:
    for history in removals_cut_short(content, cut_short):
        reconcile_until_all_counts(history)
        require_nothing(history)


def test_nothing_is_left_of_what_went_before_it_was_published(content: Content, cut_short: CutShort) -> None:
    for history in publications_cut_short(content, cut_short):
        reconcile_until_all_counts(history)
        require_nothing(history)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("content", [CONTENTS[0], CONTENTS[3]], ids=lambda content: content.name)
def test_a_slow_removal_and_who_publishes_what_is_back_meanwhile(content: Content, every: int) -> None:
    """Wherever the one stands, and however far the other comes before it goes on; or in `every` so manieth of these cases."""
    for operations, others in itertools.product(range(1, 24), range(1, 24)):
        if (operations + others) % every:
            continue
        history = History(World(Publishing.tools, is_versioned=False))
        history.holds(content)
        history.settle()
        original = history.world.originals.held.pop(CAT.key)
        removal = history.settling()
        removal.move(operations)
        history.world.clock.pass_by(timedelta(hours=3))
        history.world.originals.held[CAT.key] = original
        publication = history.settling()
        publication.move(others)
        removal.move()
        publication.move()
        history.reconcile()
        require_published(history, content)


def reconcile_until_all_counts(history: History) -> None:
    """Soon, and once more when what a crash left in lists counts."""
    for time in (timedelta(minutes=2), LONGEST_RUN):
        history.world.clock.pass_by(time)
        history.reconcile()


def require_published(history: History, content: Content) -> None:
    assert (generations.published(CAT, history.zoom) is not None) == (content.colour is not None)
    if content.is_readable and content.name != "no image":
        assert documents.find(CAT, history.metadata)
    with survey(history.world.workspace(at_once), thorough=True) as found:
        assert set(found.counts) <= ({Finding.FAILED} if content.is_bad else set())


def require_nothing(history: History) -> None:
    """But, if it never was published, the word on that."""
    for hours in (14, 14, 14):
        history.sweep(hours)
    assert list(history.zoom.list("")) == []
    record = catalog.find(CAT, history.metadata)
    left = list(history.metadata.list(""))
    if record and record.removed_at:
        assert len(left) == len([name for name in left if name == CAT.record or "/newest/" in name]) == 2
    else:
        assert left == []
