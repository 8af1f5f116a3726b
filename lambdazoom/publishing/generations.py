"""Generations: immutable pyramids in the zoom store, the pointer that names the one on show, and the sweep's notes.

How a generation is laid out is known here and to the tiles route alone.
"""

import json
import logging
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lambdazoom.imaging.tiler import Tile, Tiling
from lambdazoom.model.errors import NotFound, StorageError
from lambdazoom.model.geometry import NAMESPACE, Pyramid, Recipe
from lambdazoom.model.keys import Generation, ImageKey, SourceVersion
from lambdazoom.model.records import SCHEMA
from lambdazoom.storage.base import IMMUTABLE, JSON, XML, Headers, Store, Writer

log = logging.getLogger(__name__)

OURS = "urn:lambdazoom:publication:1"  # the XML namespace of what a pointer says beside the DZI attributes
LONGEST_RUN = timedelta(hours=24)  # an unpublished generation older than this and the grace period belongs to a dead run


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

    `retired` tells the note of a generation that was to be replaced or removed from that of a new one.
    """

    key: str
    generation: Generation
    pyramid: Pyramid
    due: datetime
    retired: bool = False
    condemned: bool = False
    etag: str = ""


def published(image: ImageKey, zoom: Store) -> Published | None:
    """What is on show for this image; None if nothing is."""
    if not image.is_storable:
        return None
    try:
        stored = zoom.read(image.pointer)
    except NotFound:
        return None
    try:
        return _parse_pointer(stored.data, stored.etag)
    except (ET.ParseError, ValueError, KeyError) as error:
        raise StorageError(f"The pointer {image.pointer} can't be read ({error}).") from error


def begin(image: ImageKey, pyramid: Pyramid, metadata: Store, now: datetime, grace: timedelta) -> Generation:
    """A new generation, its note written: whatever happens from here on, the sweep will find its tiles."""
    generation = Generation.new(now, secrets.randbits(64))
    note = Note(image.key, generation, pyramid, now + LONGEST_RUN + grace)
    metadata.write(generation.note, _note_json(note), JSON, None)
    return generation


def tile_sink(generation: Generation, recipe: Recipe, write: Writer) -> Callable[[Tile], None]:
    """The sink that stores a generation's tiles."""
    headers = Headers(recipe.content_type, IMMUTABLE)

    def store(tile: Tile) -> None:
        write(generation.tile(tile.level, tile.column, tile.row, recipe.format), tile.data, headers)

    return store


def complete(generation: Generation, pyramid: Pyramid, tiling: Tiling, write: Writer) -> None:
    """Store what goes with the tiles."""
    write(generation.thumbnail, tiling.thumbnail, Headers("image/jpeg", IMMUTABLE))
    write(generation.descriptor, pyramid.descriptor().encode(), Headers("application/xml", IMMUTABLE))


def retire(image: ImageKey, shown: Published, metadata: Store, now: datetime, grace: timedelta) -> None:
    """Write the note of a generation that is about to be replaced or removed, before the pointer moves."""
    note = read_note(shown.generation, metadata)
    if note and note.condemned:
        return  # the sweep has it already; to lift the mark would make its tiles look whole
    written = Note(image.key, shown.generation, shown.pyramid, now + grace, retired=True)
    metadata.write(shown.generation.note, _note_json(written), JSON, note.etag if note else None)


def publish(image: ImageKey, made: Published, replaced: Published | None, zoom: Store, tiles_url: str) -> None:
    """Move the pointer from `replaced` to `made`; Conflict if it shows something else by now."""
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
    zoom.write(image.pointer, made.pyramid.descriptor(attributes).encode(), XML, replaced.etag if replaced else None)


def claim(shown: Published, metadata: Store) -> bool:
    """Take the note of a new generation away now that it is on show; False if the sweep has condemned it: then it must be made anew.

    A retired one's note stays: whoever is about to replace it relies on that, and the sweep finds out if nobody did.
    """
    note = read_note(shown.generation, metadata)
    if note is None:
        return True
    if note.condemned:
        return False
    if note.retired:
        return True
    metadata.delete(shown.generation.note, note.etag)
    return True


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


def condemn(note: Note, metadata: Store) -> Note:
    """Mark the note: from now on no publisher relies on this generation. Conflict if somebody has changed the note."""
    marked = replace(note, condemned=True)
    return replace(marked, etag=metadata.write(note.generation.note, _note_json(marked), JSON, note.etag))


def read_note(generation: Generation, metadata: Store) -> Note | None:
    """The generation's note, if there is one."""
    try:
        stored = metadata.read(generation.note)
    except NotFound:
        return None
    return replace(_note_from(json.loads(stored.data)), etag=stored.etag)


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
        retired=document["retired"],
        condemned=document["condemned"],
    )
