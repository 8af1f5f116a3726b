"""Generations: immutable pyramids in the zoom store, the pointer that names the one on show, and the sweep's notes.

How a generation is laid out is known here and to the tiles route alone.
"""

import json
import logging
import re
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lambdazoom.model.errors import NotFound, StorageError
from lambdazoom.model.geometry import NAMESPACE, Pyramid, Recipe
from lambdazoom.model.keys import Generation, ImageKey, SourceVersion
from lambdazoom.model.records import SCHEMA, ImageRecord
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import IMMUTABLE, JSON, XML, Headers, Store, Writer

if TYPE_CHECKING:  # the pages read pointers and do without Pillow
    from lambdazoom.imaging.tiler import Tile, Tiling

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

OURS = "urn:lambdazoom:publication:1"  # the XML namespace of what a pointer says beside the DZI attributes
LONGEST_RUN = timedelta(hours=24)  # no run lasts longer, and none stands still for a quarter of it between two operations
HALF_OF_IT = LONGEST_RUN / 2  # after which the sweep condemns what was not published, and after as much again takes it away

_NO_VERSION = SourceVersion("damaged", datetime.fromtimestamp(0, UTC), 0)  # no source is ever of this version
_RECIPE = re.compile(r"(\d+)\+(\d+) (\w+)")  # the beginning of Recipe.fingerprint


class DamagedPointer(StorageError):
    """The pointer can't be read; `etag` is what replacing it must name."""

    def __init__(self, sentence: str, etag: str = "") -> None:
        super().__init__(sentence)
        self.etag = etag


@dataclass(frozen=True)
class Published:
    """What the pointer shows: a whole pyramid of one source version, and the pointer's own etag.

    `version.size` is not kept in the pointer and is 0.
    """

    generation: Generation
    pyramid: Pyramid
    version: SourceVersion
    recipe: str
    etag: str


@dataclass(frozen=True)
class Note:
    """What the sweep needs to know of a generation that may not be on show: every tile's key follows from `pyramid`.

    `retired` tells the note of a generation that was to be replaced or removed from that of a new one. `written_at` is when a
    publisher wrote it last.
    """

    key: str
    generation: Generation
    pyramid: Pyramid
    due: datetime
    written_at: datetime
    retired: bool = False
    condemned: bool = False
    etag: str = ""


def published(image: ImageKey, zoom: Store) -> Published | None:
    """What is on show for this image; None if nothing is. Raises DamagedPointer."""
    if not image.is_storable:
        return None
    try:
        stored = zoom.read(image.pointer)
    except NotFound:
        return None
    try:
        return _parse_pointer(stored.data, stored.etag)
    except (ET.ParseError, ValueError, KeyError) as error:
        raise DamagedPointer(f"The pointer {image.pointer} can't be read ({error}). Process the image again.", stored.etag) from error


def remembered(record: ImageRecord, etag: str) -> Published | None:
    """What a damaged pointer named, as far as the record tells; of no version, so that it is replaced."""
    recipe = _RECIPE.match(record.recipe)
    if not record.generation or not recipe:
        return None
    pyramid = Pyramid(record.width, record.height, Recipe(int(recipe[1]), int(recipe[2]), recipe[3]))
    return Published(Generation.parse(record.generation), pyramid, _NO_VERSION, record.recipe, etag)


def begin(image: ImageKey, pyramid: Pyramid, metadata: Store, now: datetime, grace: timedelta) -> Generation:
    """A new generation, its note written: whatever happens from here on, the sweep will find its tiles."""
    generation = Generation.new(now, secrets.randbits(64))
    metadata.write(generation.note, _note_json(_note_of_new(image, generation, pyramid, now, grace)), JSON, None)
    return generation


@contextmanager
def begun(image: ImageKey, pyramid: Pyramid, workspace: Workspace) -> Iterator[Generation]:
    """A new generation to be stored in this context; if that fails, its tiles go at once."""
    generation = begin(image, pyramid, workspace.metadata, workspace.now(), workspace.grace)
    try:
        yield generation
    except BaseException as error:
        with suppress(StorageError):
            # an upload without an answer may still arrive: then the note is needed
            discard(generation, pyramid, workspace, keeps_note=isinstance(error, StorageError))
        raise


def discard(generation: Generation, pyramid: Pyramid, workspace: Workspace, keeps_note: bool = False) -> None:
    """Delete a generation that nobody can have published, and then its note."""
    workspace.zoom.discard_all(names(generation, pyramid))
    if not keeps_note:
        workspace.metadata.discard(generation.note)


def tile_sink(generation: Generation, recipe: Recipe, write: Writer) -> Callable[["Tile"], None]:
    """The sink that stores a generation's tiles."""
    headers = Headers(recipe.content_type, IMMUTABLE)

    def store(tile: "Tile") -> None:
        write(generation.tile(tile.level, tile.column, tile.row, recipe.format), tile.data, headers)

    return store


def complete(generation: Generation, pyramid: Pyramid, tiling: "Tiling", write: Writer) -> None:
    """Store what goes with the tiles."""
    write(generation.thumbnail, tiling.thumbnail, Headers("image/jpeg", IMMUTABLE))
    write(generation.descriptor, pyramid.descriptor().encode(), Headers("application/xml", IMMUTABLE))


def retire(image: ImageKey, shown: Published, metadata: Store, clock: Clock, grace: timedelta) -> None:
    """Write the note of a generation that is about to be replaced or removed, before the pointer moves."""
    note = read_note(shown.generation, metadata)
    if note and note.condemned:
        return  # the sweep has it already; to lift the mark would make its tiles look whole
    now = clock()  # as late as can be: the sweep reckons with half a day from here to the pointer
    written = Note(image.key, shown.generation, shown.pyramid, now + grace, written_at=now, retired=True)
    metadata.write(shown.generation.note, _note_json(written), JSON, note.etag if note else None)


def renew(image: ImageKey, made: Published, metadata: Store, clock: Clock, grace: timedelta) -> bool:
    """Write the note of a whole new generation again, before the pointer moves to it; False if it may not move any more.

    The sweep condemns a generation by writing the same note: so one of the two sees the other. One that is retired was on show already
    (its publisher never got the answer), and nothing that once went is put on show again: somebody may be about to take it away.
    """
    note = read_note(made.generation, metadata)
    if note is None or note.condemned or note.retired:
        return False
    # due when four operations at a quarter of the longest run each are over: this write, two for the note of what is replaced, the pointer
    renewed = _note_of_new(image, made.generation, made.pyramid, clock(), grace, LONGEST_RUN)
    metadata.write(made.generation.note, _note_json(renewed), JSON, note.etag)
    return True


def publish(image: ImageKey, made: Published, etag: str | None, zoom: Store, tiles_url: str) -> None:
    """Move the pointer to `made` from what `etag` names, None for nothing; Conflict if it is another by now."""
    depth = image.pointer.count("/")
    base = f"{tiles_url}/" if tiles_url else "../" * depth
    attributes = {
        "Url": base + made.generation.tiles,
        "xmlns:lz": OURS,
        "lz:generation": made.generation.id,
        "lz:etag": made.version.etag,
        "lz:version-id": made.version.version_id,
        "lz:last-modified": made.version.last_modified.isoformat(),
        "lz:recipe": made.recipe,
    }
    zoom.write(image.pointer, made.pyramid.descriptor(attributes).encode(), XML, etag)


def notes(metadata: Store) -> Iterator[Note]:
    """All notes, the oldest generation first."""
    for name in metadata.list(Generation.NOTES):
        try:
            stored = metadata.read(name)
            note = _note_from(json.loads(stored.data))
        except NotFound:
            continue
        except (ValueError, KeyError, TypeError) as error:
            log.error("the note %s is damaged (%s)", name, error)
            continue
        yield replace(note, etag=stored.etag)


def rewrite(note: Note, metadata: Store, **changes: Any) -> Note:
    """The note with other values; Conflict if somebody has changed it. Once it is condemned, no publisher relies on its generation."""
    changed = replace(note, **changes)
    return replace(changed, etag=metadata.write(note.generation.note, _note_json(changed), JSON, note.etag))


def read_note(generation: Generation, metadata: Store) -> Note | None:
    """The generation's note, if there is one."""
    try:
        stored = metadata.read(generation.note)
    except NotFound:
        return None
    return replace(_note_from(json.loads(stored.data)), etag=stored.etag)


def names(generation: Generation, pyramid: Pyramid) -> Iterator[str]:
    """Everything of a generation in the zoom store, or what it may have left there."""
    for level, column, row in pyramid.tiles():
        yield generation.tile(level, column, row, pyramid.recipe.format)
    yield generation.thumbnail
    yield generation.descriptor


def same_version(shown: SourceVersion, current: SourceVersion) -> bool:
    """Whether a pointer's or document's version is the source's; the size says nothing that the etag doesn't."""
    return replace(shown, size=0) == replace(current, size=0)


def _parse_pointer(text: bytes, etag: str) -> Published:
    root = ET.fromstring(text)  # noqa: S314 (our own file)
    size = root.find(f"{{{NAMESPACE}}}Size")
    if size is None:
        raise ValueError("no size")
    ours = {name: root.attrib[f"{{{OURS}}}{name}"] for name in ("generation", "etag", "version-id", "last-modified", "recipe")}
    recipe = Recipe(int(root.attrib["TileSize"]), int(root.attrib["Overlap"]), root.attrib["Format"])
    version = SourceVersion(ours["etag"], datetime.fromisoformat(ours["last-modified"]), 0, ours["version-id"])
    pyramid = Pyramid(int(size.attrib["Width"]), int(size.attrib["Height"]), recipe)
    return Published(Generation.parse(ours["generation"]), pyramid, version, ours["recipe"], etag)


def _note_of_new(
    image: ImageKey, generation: Generation, pyramid: Pyramid, now: datetime, grace: timedelta, rest: timedelta = HALF_OF_IT
) -> Note:
    return Note(image.key, generation, pyramid, now + rest + grace, written_at=now)


def _note_json(note: Note) -> bytes:
    pyramid, recipe = note.pyramid, note.pyramid.recipe
    document = {
        "schema": SCHEMA,
        "key": note.key,
        "generation": note.generation.id,
        "width": pyramid.width,
        "height": pyramid.height,
        "tile_size": recipe.tile_size,
        "overlap": recipe.overlap,
        "format": recipe.format,
        "due": note.due.isoformat(),
        "written_at": note.written_at.isoformat(),
        "retired": note.retired,
        "condemned": note.condemned,
    }
    return json.dumps(document, indent=1).encode("ascii")


def _note_from(document: dict[str, Any]) -> Note:
    recipe = Recipe(document["tile_size"], document["overlap"], document["format"])
    return Note(
        key=document["key"],
        generation=Generation.parse(document["generation"]),
        pyramid=Pyramid(document["width"], document["height"], recipe),
        due=datetime.fromisoformat(document["due"]),
        written_at=datetime.fromisoformat(document.get("written_at", document["due"])),
        retired=document["retired"],
        condemned=document["condemned"],
    )
