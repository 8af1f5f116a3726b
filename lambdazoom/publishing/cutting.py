"""From a source's file to the tiles of a generation and its metadata: what needs Pillow, loaded when a file is to be opened."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from lambdazoom.imaging import formats, signatures
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.memory import resident_memory
from lambdazoom.imaging.needs import MemoryLimit
from lambdazoom.imaging.source import Source
from lambdazoom.imaging.tiler import Tile, Tiling, tile
from lambdazoom.metadata.exiftool import Metadata
from lambdazoom.metadata.facts import caption
from lambdazoom.model.errors import Interrupted, Unstorable
from lambdazoom.model.geometry import Pyramid
from lambdazoom.model.keys import MAX_NAME_BYTES, MAX_SEGMENT_BYTES, Generation, ImageKey, SourceObject
from lambdazoom.model.records import ImageRecord, Outcome, Step
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import generations, raws
from lambdazoom.publishing.generations import Published
from lambdazoom.publishing.looking import Wanted
from lambdazoom.publishing.making import Made, attempt
from lambdazoom.publishing.pulse import Pulse
from lambdazoom.publishing.workspace import Workspace


@dataclass(frozen=True)
class _Cut:
    generation: Published
    tiling: Tiling
    kind: str
    way: str
    remarks: tuple[str, ...]
    predicted_memory: int


def make_from(path: Path, wanted: Wanted, current: SourceObject, pulse: Pulse, workspace: Workspace, replaces: bool) -> Made:
    """What is wanted, made of this file, tiles and metadata side by side; each step of the record says how that one went."""
    image, record = ImageKey(current.key), pulse.kept.record
    if not replaces and not signatures.is_image_name(current.key) and not formats.looks_like_an_image(path):
        ignored = Step(Outcome.IGNORED, f"{image.display} is no image, by name or by content, and was passed over.", "ignored")
        return Made(replace(record, tiles=ignored, metadata=ignored))
    if not image.is_storable:
        raise Unstorable(f"Its name is too long: {MAX_NAME_BYTES} bytes can be stored, {MAX_SEGMENT_BYTES} for each folder. Rename it.")
    metadata, cut = None, None
    # side by side: exiftool is a program of its own, and takes a second or two when it starts on Lambda
    with ThreadPoolExecutor(1, thread_name_prefix="metadata") as beside:
        described = beside.submit(attempt, current, lambda: workspace.exiftool.read(path)) if wanted.metadata else None
        if wanted.tiles:
            cut, tiles_step = attempt(current, lambda: _cut(path, current, pulse, workspace))
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


def sha256(path: Path, name: str) -> str:
    """The file's SHA-256 in hexadecimal digits; raises an ImageError if it can't be read to its end."""
    with formats.reading(name), path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
