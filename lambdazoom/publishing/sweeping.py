"""The sweep: takes away generations that nobody shows any more, by their notes; what a note says is not decided here.

It never looks for tiles: a note's geometry tells the key of each. The handshake with publishers is the note itself: the sweep marks
it `condemned` where a publisher writes it anew before the pointer (generations.renew), and only one of the two finds it unchanged.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lambdazoom.model.errors import Conflict, StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.publishing import generations
from lambdazoom.publishing.generations import HALF_OF_IT, Note
from lambdazoom.publishing.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """What a sweep did: generations taken away, and whether it stopped before the last note; up to there, those whose time has not
    come, and those that could not be taken away.
    """

    generations: int
    stopped: bool
    waiting: int = 0
    failed: int = 0


def sweep(workspace: Workspace, is_time_up: Callable[[], bool] = lambda: False) -> Swept:
    """Take away every generation whose note is due and that the pointer does not name."""
    swept = waiting = failed = 0
    for note in generations.notes(workspace.metadata):
        if is_time_up():
            return Swept(swept, stopped=True, waiting=waiting, failed=failed)
        if note.due > workspace.now():
            waiting += 1
            continue
        try:
            swept += _sweep_one(note, workspace)
        except Conflict:
            continue  # a publisher or another sweep is at this note: it is theirs
        except StorageError as error:
            log.error("%s was not swept: %s", note.generation.id, error)
            failed += 1
    return Swept(swept, stopped=False, waiting=waiting, failed=failed)


def _sweep_one(note: Note, workspace: Workspace) -> bool:
    if not note.condemned:
        if _is_on_show(note, workspace):
            _set_aside(note, workspace)
            return False
        if not note.retired:  # its run may still be storing tiles, until it looks at its note: so the note stays for a while
            generations.rewrite(note, workspace.metadata, condemned=True, due=workspace.now() + HALF_OF_IT)
            return False
        note = generations.rewrite(note, workspace.metadata, condemned=True)
    if _is_on_show(note, workspace):
        return False  # a publisher stood still for longer than any should: it, or the next run, finds the mark and makes another
    workspace.zoom.discard_all(generations.names(note.generation, note.pyramid))
    workspace.metadata.delete(note.generation.note, note.etag)
    return True


def _set_aside(note: Note, workspace: Workspace) -> None:
    """What is on show stays. Who was about to replace it, and may still do so, relies on its note."""
    replacing_until = note.written_at + HALF_OF_IT
    if note.retired and workspace.now() < replacing_until:
        generations.rewrite(note, workspace.metadata, due=replacing_until)
    else:
        workspace.metadata.delete(note.generation.note, note.etag)


def _is_on_show(note: Note, workspace: Workspace) -> bool:
    shown = generations.published(ImageKey(note.key), workspace.zoom)
    return shown is not None and shown.generation == note.generation
