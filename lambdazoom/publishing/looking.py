"""One look at everything that belongs to an image, each with its etag; what follows from it is decided in pipeline.py."""

from dataclasses import dataclass

from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import ImageKey, SourceObject, SourceVersion
from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.catalog import Kept
from lambdazoom.publishing.documents import Described
from lambdazoom.publishing.generations import DamagedPointer, Note, Published, same_version
from lambdazoom.publishing.workspace import Workspace


@dataclass(frozen=True)
class Wanted:
    """What is missing: the tiles, the metadata, or both."""

    tiles: bool
    metadata: bool


@dataclass(frozen=True)
class Look:
    """What was found at one moment: what is on show, with its note, what is described, what is recorded, and then the source.

    `pointer` is the pointer's etag; where that is damaged, `shown` is what the record remembers, of no version.
    """

    shown: Published | None
    pointer: str | None
    note: Note | None
    described: Described | None
    kept: Kept | None
    current: SourceObject | None
    is_damaged: bool = False

    @property
    def record(self) -> ImageRecord | None:
        """The record, if it is of the source's version."""
        if self.kept and self.current and self.kept.record.version == self.current.version and not self.kept.record.removed_at:
            return self.kept.record
        return None

    def shows(self, version: SourceVersion) -> bool:
        """Whether this version is on show, and may stay: the sweep has not condemned it."""
        return self.shown is not None and same_version(self.shown.version, version) and not (self.note and self.note.condemned)

    def describes(self, version: SourceVersion) -> bool:
        """Whether the document speaks of this version."""
        return self.described is not None and same_version(self.described.version, version)


def look_at(image: ImageKey, workspace: Workspace) -> Look:
    """What there is now; the source comes last, so that whatever is found beside it is not newer. Raises StorageError."""
    metadata, is_damaged = workspace.metadata, False
    try:
        shown = generations.published(image, workspace.zoom)
        pointer = shown.etag if shown else None
    except DamagedPointer as error:
        shown, pointer, is_damaged = None, error.etag, True
    note = generations.read_note(shown.generation, metadata) if shown else None
    described = documents.find(image, metadata)
    kept = catalog.find_kept(image, metadata)
    if is_damaged and kept:
        shown = generations.remembered(kept.record, pointer or "")
    try:
        current = workspace.source.head(image.key)
    except NotFound:
        current = None
    return Look(shown, pointer, note, described, kept, current, is_damaged)
