"""The sweep: takes away generations that nobody shows any more, by their notes; what a note says is not decided here.

It never looks for tiles: a note's geometry tells the key of each. The handshake with publishers is the `condemned` mark: it is set
before the pointer is read, and a publisher that finds its generation condemned makes another (generations.claim).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lambdazoom.model.errors import Conflict, StorageError
from lambdazoom.model.keys import Generation, ImageKey
from lambdazoom.publishing import generations
from lambdazoom.publishing.generations import Note
from lambdazoom.publishing.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """What a sweep did: generations taken away, and whether it stopped before the last note."""

    generations: int
    stopped: bool


def sweep(workspace: Workspace, is_time_up: Callable[[], bool] = lambda: False) -> Swept:
    """Take away every generation whose note is due and that the pointer does not name."""
    swept = 0
    for note in generations.notes(workspace.metadata):
        if is_time_up():
            return Swept(swept, stopped=True)
        if note.due > workspace.now():
            continue
        try:
            swept += _sweep_one(note, workspace)
        except Conflict:
            continue  # a publisher or another sweep is at this note: it is theirs
        except StorageError as error:
            log.error("%s was not swept: %s", note.generation.id, error)
    return Swept(swept, stopped=False)


def _sweep_one(note: Note, workspace: Workspace) -> bool:
    if not note.condemned:
        note = generations.condemn(note, workspace.metadata)
    shown = generations.published(ImageKey(note.key), workspace.zoom)
    if shown and shown.generation == note.generation:
        workspace.metadata.delete(note.generation.note, note.etag)  # it is on show after all: the mark is taken back
        return False
    workspace.zoom.discard_all(_names(note))
    workspace.metadata.delete(note.generation.note, note.etag)
    return True


def _names(note: Note) -> Iterator[str]:
    """Everything that the generation may have left in the zoom store."""
    generation: Generation = note.generation
    for level, column, row in note.pyramid.tiles():
        yield generation.tile(level, column, row, note.pyramid.recipe.format)
    yield generation.thumbnail
    yield generation.descriptor
