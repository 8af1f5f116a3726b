"""The history of one key, told step by step: what the model of test_model.py does at random, on purpose."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from lambdazoom.model.keys import Generation, ImageKey, SourceVersion
from lambdazoom.publishing import generations
from lambdazoom.publishing.generations import Published
from lambdazoom.publishing.sweeping import sweep
from tests.contents import CONTENTS, Content
from tests.histories import Publishing, at_once, is_settled, reconcile
from tests.in_memory import MemoryStore, etag_of
from tests.runs import Run, World

CAT = ImageKey("cat.png")
ONE_PIXEL, SOME_TILES, UNREADABLE, CUT_OFF, _ = CONTENTS


class History:
    """One key's, told step by step. `settling` gives a run that stands at its beginning."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.zoom = MemoryStore(world.zoom, at_once)
        self.metadata = MemoryStore(world.metadata, at_once)

    def holds(self, content: Content | None) -> None:
        self.world.originals.held.pop(CAT.key, None)
        if content:
            version = SourceVersion(etag_of(content.data), self.world.clock.time.replace(microsecond=0), len(content.data))
            self.world.originals.held[CAT.key] = (version, content.data)

    def settling(self) -> Run:
        return Run(self.world, lambda workspace: is_settled(CAT.key, workspace), "settle")

    def settle(self) -> None:
        self.settling().move()

    def sweep(self, hours: float) -> None:
        self.world.clock.pass_by(timedelta(hours=hours))
        Run(self.world, lambda workspace: sweep(workspace), "sweep").move()

    def reconcile(self) -> None:
        Run(self.world, lambda workspace: reconcile(workspace), "reconcile").move()

    @property
    def shown(self) -> Published:
        found = generations.published(CAT, self.zoom)
        assert found is not None
        return found

    def require_whole(self, published: Published) -> None:
        assert set(generations.names(published.generation, published.pyramid)) <= set(self.world.zoom.held)

    def require_accounted(self) -> None:
        known = {note.generation.id for note in generations.notes(self.metadata)}
        shown = generations.published(CAT, self.zoom)
        known |= {shown.generation.id} if shown else set()
        assert {name.split("/")[2] for name in self.zoom.list("_tiles/")} <= known

    def require_nothing_else(self, published: Published) -> None:
        self.require_whole(published)
        assert {name.split("/")[2] for name in self.zoom.list("_tiles/")} == {published.generation.id}
        assert list(self.metadata.list(Generation.NOTES)) == []


def move_to_the_pointer(run: Run) -> None:
    """Until the run has all but moved the pointer: its next operation is that."""
    while run.standing_at != CAT.pointer:
        run.move(up_to_a_commit=True)
        assert not run.is_over


@pytest.fixture
def history() -> Iterator[History]:
    yield History(World(Publishing.tools, is_versioned=False))
