"""From a source object to a generation and a metadata document, ready to be published; nothing is published here.

This is the boundary of the steps: what goes wrong in one becomes a Step on the record, and the other goes on.
"""

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from lambdazoom.imaging import formats, signatures
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.memory import resident_memory
from lambdazoom.imaging.needs import MemoryLimit
from lambdazoom.imaging.source import Source
from lambdazoom.imaging.tiler import Tile, Tiling, tile
from lambdazoom.metadata.exiftool import Metadata
from lambdazoom.metadata.facts import caption
from lambdazoom.model.errors import Conflict, ImageError, Interrupted, LambdaZoomError, MetadataError, NotFound, Unstorable
from lambdazoom.model.geometry import Pyramid
from lambdazoom.model.keys import MAX_NAME_BYTES, MAX_SEGMENT_BYTES, Generation, ImageKey, SourceObject
from lambdazoom.model.records import ImageRecord, Outcome, Step
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import generations, raws
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


@dataclass(frozen=True)
class _Cut:
    generation: Published
    tiling: Tiling
    kind: str
    way: str
    remarks: tuple[str, ...]
    predicted_memory: int


def make(wanted: Wanted, current: SourceObject, pulse: Pulse, workspace: Workspace, replaces: bool) -> Made:
    """Make what is wanted of this version of the source; the steps of the record say how that went.

    `replaces` tells that an older version is on show: then what is no image fails instead of being ignored.
    Raises Conflict or NotFound if the source holds something else by now, and Interrupted.
    """
    started_at = workspace.now()
    made, step = _attempt(current, lambda: _make(wanted, current, pulse, workspace, replaces))
    if made is None:  # it could not even be fetched
        made = Made(replace(pulse.kept.record, tiles=step, metadata=step))
    finished_at = workspace.now()
    seconds = (finished_at - started_at).total_seconds()
    return replace(made, record=replace(made.record.at_rest(), seconds=seconds, finished_at=finished_at))


def _make(wanted: Wanted, current: SourceObject, pulse: Pulse, workspace: Workspace, replaces: bool) -> Made:
    with ExitStack() as undo:
        with workspace.source.fetch(current) as path, ThreadPoolExecutor(1, thread_name_prefix="sha256") as side:
            digest = side.submit(_sha256, path, ImageKey(current.key).display)
            made = _make_from(path, wanted, current, pulse, workspace, replaces)
            if made.generation:
                undo.callback(generations.discard, made.generation.generation, made.generation.pyramid, workspace)
            made = replace(made, record=replace(made.record, sha256=digest.result()))
        undo.pop_all()  # it was one and the same file to the end
    return made


def _make_from(path: Path, wanted: Wanted, current: SourceObject, pulse: Pulse, workspace: Workspace, replaces: bool) -> Made:
    image, record = ImageKey(current.key), pulse.kept.record
    if not replaces and not signatures.is_image_name(current.key) and not formats.looks_like_an_image(path):
        ignored = Step(Outcome.IGNORED, f"{image.display} is no image, by name or by content, and was passed over.", "ignored")
        return Made(replace(record, tiles=ignored, metadata=ignored))
    if not image.is_storable:
        raise Unstorable(f"Its name is too long: {MAX_NAME_BYTES} bytes can be stored, {MAX_SEGMENT_BYTES} for each folder. Rename it.")
    metadata, cut = None, None
    # side by side: exiftool is a program of its own, and takes a second or two when it starts on Lambda
    with ThreadPoolExecutor(1, thread_name_prefix="metadata") as beside:
        described = beside.submit(_attempt, current, lambda: workspace.exiftool.read(path)) if wanted.metadata else None
        if wanted.tiles:
            cut, tiles_step = _attempt(current, lambda: _cut(path, current, pulse, workspace))
            record = replace(record, tiles=tiles_step)
        if described:
            pulse.stage("reading metadata")
            metadata, metadata_step = described.result()
            record = replace(record, metadata=metadata_step)
    return Made(_filled_in(record, cut, metadata), cut.generation if cut else None, metadata)


def _cut(path: Path, current: SourceObject, pulse: Pulse, workspace: Workspace) -> _Cut:
    image = ImageKey(current.key)
    pulse.stage("reading")
    settings = workspace.settings
    background = None if settings.recipe.keeps_alpha else settings.background
    wishes = formats.Wishes(background=background, accepts_truncated=settings.truncated == "accept")
    with (
        raws.picture_of(path, image.display, lambda: nullcontext(workspace.exiftool)) as picture,
        open_source(picture.path, image.display, settings.max_pixels, wishes) as source,
    ):
        predicted = _check_memory(source, settings)
        source.load()
        generation, pyramid, tiling = _store(source, current, pulse, workspace)
    published = Published(generation, pyramid, current.version, settings.recipe.fingerprint, etag="")
    return _Cut(published, tiling, source.header.kind, source.way, (*picture.remarks, *source.remarks), predicted)


def _check_memory(source: Source, settings: Settings) -> int:
    """What this process will hold at the height of the work, in bytes; raises NeedsMoreMemory if that is more than there is."""
    pyramid, held = Pyramid(source.width, source.height, settings.recipe), resident_memory()
    limit = settings.memory_limit or settings.function_memory
    source.check(pyramid, held, MemoryLimit(limit * 10**6, is_function=not settings.memory_limit))
    return held + source.need(pyramid)


def _store(source: Source, current: SourceObject, pulse: Pulse, workspace: Workspace) -> tuple[Generation, Pyramid, Tiling]:
    image, recipe = ImageKey(current.key), workspace.settings.recipe
    pyramid = Pyramid(source.width, source.height, recipe)
    with generations.begun(image, pyramid, workspace) as generation, workspace.zoom.bulk() as write:
        store = generations.tile_sink(generation, recipe, write)

        def sink(each: Tile) -> None:
            if workspace.stopping.is_set():
                raise Interrupted(f"{image.display} was interrupted; nothing was published.")
            store(each)
            pulse.advance()

        pulse.stage("tiling", pyramid.tile_count)
        tiling = tile(source, pyramid, sink)
        pulse.stage("storing")
        generations.complete(generation, pyramid, tiling, write)
    return generation, pyramid, tiling


def _filled_in(record: ImageRecord, cut: _Cut | None, metadata: Metadata | None) -> ImageRecord:
    if metadata:
        record = replace(record, caption=caption(metadata))
    if cut:
        pyramid = cut.generation.pyramid
        record = replace(
            record,
            kind=cut.kind,
            way=cut.way,
            predicted_memory=cut.predicted_memory,
            width=pyramid.width,
            height=pyramid.height,
            tile_count=cut.tiling.tile_count,
            tile_bytes=cut.tiling.tile_bytes,
            generation=cut.generation.generation.id,
            recipe=cut.generation.recipe,
            remarks=cut.remarks,
        )
    return record


def _attempt(current: SourceObject, work: Callable[[], T]) -> tuple[T | None, Step]:
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


def _sha256(path: Path, name: str) -> str:
    with formats.reading(name), path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
