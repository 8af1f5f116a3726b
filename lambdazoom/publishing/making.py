"""From a source object to a generation and a metadata document, ready to be published; nothing is published here.

This is the boundary of the steps: what goes wrong in one becomes a Step on the record, and the other goes on.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TypeVar

from lambdazoom.imaging import signatures
from lambdazoom.metadata.exiftool import Metadata
from lambdazoom.model.errors import Conflict, ImageError, Interrupted, LambdaZoomError, MetadataError, NotFound, Unstorable
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import ImageRecord, Outcome, Step
from lambdazoom.publishing import generations
from lambdazoom.publishing.generations import Published
from lambdazoom.publishing.looking import Wanted
from lambdazoom.publishing.pulse import Pulse
from lambdazoom.publishing.workspace import Workspace

T = TypeVar("T")
log = logging.getLogger(__name__)

_FINAL = (ImageError, MetadataError, Unstorable)  # what the same source version would only meet again


@dataclass(frozen=True)
class Made:
    """What a run made: the record, at rest, with both steps; the generation and the metadata, if they were made."""

    record: ImageRecord
    generation: Published | None = None
    metadata: Metadata | None = None


def make(wanted: Wanted, current: SourceObject, pulse: Pulse, workspace: Workspace, replaces: bool) -> Made:
    """Make what is wanted of this version of the source; the steps of the record say how that went.

    `replaces` tells that an older version is on show: then what is no image fails instead of being ignored.
    Raises Conflict or NotFound if the source holds something else by now, and Interrupted.
    """
    started_at = workspace.now()
    made, step = attempt(current, lambda: _make(wanted, current, pulse, workspace, replaces))
    if made is None:  # it could not even be fetched
        made = Made(replace(pulse.kept.record, tiles=step, metadata=step))
    finished_at = workspace.now()
    seconds = (finished_at - started_at).total_seconds()
    return replace(made, record=replace(made.record.at_rest(), seconds=seconds, finished_at=finished_at))


def _make(wanted: Wanted, current: SourceObject, pulse: Pulse, workspace: Workspace, replaces: bool) -> Made:
    with ExitStack() as undo:
        with ThreadPoolExecutor(1, thread_name_prefix="side") as side:
            # Pillow is loaded, and exiftool is starting, while the source comes
            opening = side.submit(import_module, "lambdazoom.publishing.cutting")
            if wanted.metadata and signatures.is_image_name(current.key):
                workspace.exiftool.prepare()
            with workspace.source.fetch(current) as path:
                cutting = opening.result()
                digest = side.submit(cutting.sha256, path, ImageKey(current.key).display)
                made: Made = cutting.make_from(path, wanted, current, pulse, workspace, replaces)
                if made.generation:
                    undo.callback(generations.discard, made.generation.generation, made.generation.pyramid, workspace)
                made = replace(made, record=replace(made.record, sha256=digest.result()))
        undo.pop_all()  # it was one and the same file to the end
    return made


def attempt(current: SourceObject, work: Callable[[], T]) -> tuple[T | None, Step]:
    """The step boundary: what the work gives, and how it ended. A source that changed or vanished is nobody's failure."""
    name = ImageKey(current.key).display
    try:
        return work(), Step(Outcome.DONE)
    except (Conflict, NotFound, Interrupted):
        raise
    except LambdaZoomError as error:
        return None, Step.failed(error, final=isinstance(error, _FINAL))
    except MemoryError:
        return None, Step(Outcome.FAILED, f"{name} needs more memory than there is. Give it more, or save it smaller.", "memory")
    except Exception as error:
        log.exception("unexpected error", extra={"key": current.key})
        sentence = f"{name} met an unexpected error ({type(error).__name__}: {error}). Please report it."
        return None, Step(Outcome.FAILED, sentence, "unexpected")
