"""`settle`: makes what is published match what the source holds now. How it is called, and how often, is the doors' affair.

Created or removed, early, late or twice: an event is only a hint, and every one of them ends here. The loop looks, does one
thing, and looks again; only finding everything as it should be ends it (docs/architecture.md, "Publishing").
"""

import json
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from lambdazoom.metadata.facts import caption
from lambdazoom.model.errors import AccessDenied, Conflict, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import ImageKey, SourceObject, SourceVersion, is_hidden
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Progress, Step
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.catalog import Kept
from lambdazoom.publishing.documents import Described
from lambdazoom.publishing.generations import Published, same_version
from lambdazoom.publishing.making import Made, Wanted, make
from lambdazoom.publishing.pulse import Observer, Pulse
from lambdazoom.publishing.workspace import Workspace

ROUNDS = 20  # a source that changes more often than this while we look is left to its next event

log = logging.getLogger(__name__)


def settle(image: ImageKey, workspace: Workspace, observer: Observer = lambda _: None, asked: bool = False) -> ImageRecord | None:
    """Make what is published of this image match its source; its record then, None if there is nothing to know of it.

    `asked` says that somebody wants a settled failure tried again. Raises StorageError for what may go better later (and
    has no record), Interrupted if the workspace is being closed.
    """
    if is_hidden(image.key):
        return None
    run = _Run(image, workspace, observer, asked)
    for _ in range(ROUNDS):
        try:
            if run.step():
                break
        except (Conflict, NotFound):
            continue  # lost, or vanished under our hands: look again
        except StorageError as error:
            run.record_refusal(error)
            raise
    else:
        raise Conflict(f"{image.display} changed again and again while it was processed.")
    record = catalog.find(image, workspace.metadata)
    if run.acted:
        log.info(_log_line(image, record, workspace.now()))
    return record


@dataclass(frozen=True)
class _Look:
    """What was found at one moment: what is on show, what is described, what is recorded, and then the source."""

    shown: Published | None
    described: Described | None
    kept: Kept | None
    current: SourceObject | None


class _Run:
    """One call of settle: its steps share what this call has made already."""

    def __init__(self, image: ImageKey, workspace: Workspace, observer: Observer, asked: bool) -> None:
        self.image = image
        self.workspace = workspace
        self.observer = observer
        self.asked = asked
        self.id = secrets.token_hex(8)
        self.made: Made | None = None
        self.acted = False  # whether anything was made or withdrawn

    def step(self) -> bool:
        """Look, and do one thing; True if nothing is left to do, or nothing that can be done now."""
        look = self._look()
        if look.current is None:
            return self._withdraw(look)
        record = self._record_of_this_version(look)
        wanted = self._wanted(look, look.current, record)
        if not wanted.tiles and not wanted.metadata:
            self._complete(look, look.current, record)
            return True
        if self.made and self.made.record.is_unsettled and self.made.record.version == look.current.version:
            return True  # this call has tried, and the record says what stood in the way
        if record and record.run != self.id and record.is_alive(self.workspace.now()):
            return True  # another run is at it: that saves money, correctness doesn't depend on it
        self._make(wanted, look, look.current)
        return False

    def record_refusal(self, error: StorageError) -> None:
        """Leave word of an image that could not even be looked at, if nothing is known of it and nothing will change by itself."""
        if not isinstance(error, AccessDenied):
            return
        now = self.workspace.now()
        unknown = SourceVersion("", now, 0)
        record = ImageRecord(self.image.key, unknown, seen_at=now, tiles=Step.failed(error, final=False), finished_at=now)
        with suppress(StorageError):  # it may be the metadata store itself that refuses
            catalog.save(record, None, self.workspace.metadata)

    def _look(self) -> _Look:
        shown = generations.published(self.image, self.workspace.zoom)
        described = documents.find(self.image, self.workspace.metadata)
        kept = catalog.find_kept(self.image, self.workspace.metadata)
        try:
            current = self.workspace.source.head(self.image.key)
        except NotFound:
            current = None
        return _Look(shown, described, kept, current)

    def _record_of_this_version(self, look: _Look) -> ImageRecord | None:
        if look.kept and look.current and look.kept.record.version == look.current.version and not look.kept.record.removed_at:
            return look.kept.record
        return None

    def _wanted(self, look: _Look, current: SourceObject, record: ImageRecord | None) -> Wanted:
        """What is neither there for this version nor settled as impossible."""
        ask_again = self.asked and self.made is None
        tiles_given_up = record is not None and _given_up(record.tiles) and not ask_again
        metadata_given_up = record is not None and _given_up(record.metadata) and not ask_again
        has_tiles = look.shown is not None and same_version(look.shown.version, current.version) and self._is_ours(look.shown)
        is_described = look.described is not None and same_version(look.described.version, current.version)
        if tiles_given_up:  # then the older pyramid and its metadata stay, if there are any
            return Wanted(tiles=False, metadata=look.shown is None and not is_described and not metadata_given_up)
        return Wanted(tiles=not has_tiles, metadata=not is_described and not (metadata_given_up and look.described is None))

    def _is_ours(self, shown: Published) -> bool:
        """Whether the generation on show may stay: the sweep has not condemned it."""
        return generations.claim(shown, self.workspace.metadata)

    def _make(self, wanted: Wanted, look: _Look, current: SourceObject) -> None:
        kept = catalog.save(self._opening_record(look, current), look.kept, self.workspace.metadata)
        pulse = Pulse(kept, self.workspace, self.observer)
        try:
            with pulse:
                made = make(wanted, current, pulse, self.workspace, replaces=look.shown is not None)
        except BaseException:  # Ctrl-C too: nobody shall take this run for one that is still at work
            with suppress(StorageError):
                catalog.save(pulse.kept.record.at_rest(), pulse.kept, self.workspace.metadata)
            raise
        self.made, self.acted = made, True
        if self.workspace.source.head(self.image.key) != current:
            return
        self.made = self._commit(made, look)
        catalog.save(self.made.record, pulse.kept, self.workspace.metadata)

    def _opening_record(self, look: _Look, current: SourceObject) -> ImageRecord:
        now = self.workspace.now()
        known = self._record_of_this_version(look) or ImageRecord(self.image.key, current.version, seen_at=now)
        return replace(known, attempts=known.attempts + 1, run=self.id, heartbeat_at=now, progress=Progress("reading"))

    def _commit(self, made: Made, look: _Look) -> Made:
        """Publish what was made; what the stores refuse for good is a failure like any other, and goes on the record."""
        try:
            self._publish(made, look)
        except (Conflict, NotFound):
            raise
        except StorageError as error:
            return replace(made, record=self._failed_to_publish(made, error))
        return made

    def _failed_to_publish(self, made: Made, error: StorageError) -> ImageRecord:
        """The record after a refusal: what was stored before it counts as done."""
        failed = Step.failed(error, final=isinstance(error, Unstorable))
        described = documents.find(self.image, self.workspace.metadata)
        is_described = described is not None and same_version(described.version, made.record.version)
        tiles = failed if made.generation else made.record.tiles
        return replace(made.record, tiles=tiles, metadata=made.record.metadata if is_described else failed)

    def _publish(self, made: Made, look: _Look) -> None:
        """Each object only in place of what was there when we looked."""
        workspace, record = self.workspace, made.record
        replaces_tiles = made.generation is not None
        tells_of_what_is_shown = replaces_tiles or look.shown is None or same_version(look.shown.version, record.version)
        if made.metadata and tells_of_what_is_shown:
            documents.save(self.image, record.version, record.sha256, made.metadata, look.described, workspace.metadata)
        elif tells_of_what_is_shown and look.described and not same_version(look.described.version, record.version):
            workspace.metadata.delete(self.image.metadata, look.described.etag)  # it speaks of the version before
        if made.generation:
            if look.shown:
                generations.retire(self.image, look.shown, workspace.metadata, workspace.now(), workspace.grace)
            # the pointer goes last: from here on viewers see the new pyramid, whole
            generations.publish(self.image, made.generation, look.shown, workspace.zoom, workspace.settings.tiles_url)

    def _complete(self, look: _Look, current: SourceObject, record: ImageRecord | None) -> None:
        """Leave a record that says what is there: this run's own, the one that is there, or one made from what is on show."""
        wanted = self.made.record if self.made and self.made.record.version == current.version else record
        if wanted and wanted.metadata and not wanted.metadata.final and look.described:
            wanted = replace(wanted, metadata=Step(Outcome.DONE))  # it has been written since
        if look.shown and not (wanted and _speaks_of(wanted, look.shown)):
            seen_at = record.seen_at if record else self.workspace.now()
            wanted = self._derived(look.shown, look.described, current, seen_at)
        if wanted and (look.kept is None or look.kept.record != wanted.at_rest()):
            catalog.save(wanted.at_rest(), look.kept, self.workspace.metadata)
            log.debug("record completed", extra={"key": self.image.key})

    def _derived(self, shown: Published, described: Described | None, current: SourceObject, seen_at: datetime) -> ImageRecord:
        """What can be said after a run that died between its publication and its record."""
        return ImageRecord(
            key=self.image.key,
            version=current.version,
            seen_at=seen_at,
            tiles=Step(Outcome.DONE),
            metadata=Step(Outcome.DONE) if described else None,
            width=shown.pyramid.width,
            height=shown.pyramid.height,
            tile_count=shown.pyramid.tile_count,
            sha256=described.sha256 if described else "",
            generation=shown.generation.id,
            recipe=shown.recipe,
            caption=caption(described.metadata) if described else Caption(),
            finished_at=self.workspace.now(),
        )

    def _withdraw(self, look: _Look) -> bool:
        """The source is gone: so goes what is published; True if nothing was left of it."""
        if look.shown:
            generations.retire(self.image, look.shown, self.workspace.metadata, self.workspace.now(), self.workspace.grace)
            self.workspace.zoom.delete(self.image.pointer, look.shown.etag)
        if look.described:
            self.workspace.metadata.delete(self.image.metadata, look.described.etag)
        if look.shown or look.described:
            self.acted = True
            return False
        if look.kept:
            self._close_record(look.kept)
        return True

    def _close_record(self, kept: Kept) -> None:
        record = kept.record
        if record.removed_at:
            return
        if record.tiles is not None:
            catalog.forget(kept, self.workspace.metadata)
            return
        # nobody would otherwise learn what became of it
        sentence = f"{self.image.display} was removed from the source before it could be published."
        tombstone = replace(record.at_rest(), removed_at=self.workspace.now(), remarks=(sentence,))
        catalog.save(tombstone, kept, self.workspace.metadata)


def _log_line(image: ImageKey, record: ImageRecord | None, now: datetime) -> str:
    """One line for each image, in logfmt: reads well in `zappa tail`, and machines split it at spaces and quotes."""
    if record is None:
        return f"image key={json.dumps(image.display, ensure_ascii=False)} state=gone"
    code = next((step.code for step in (record.tiles, record.metadata) if step and step.code), "-")
    size = f"pixels={record.width}x{record.height} tiles={record.tile_count} seconds={record.seconds:.2f}"
    return f"image key={json.dumps(image.display, ensure_ascii=False)} state={record.state(now)} {size} code={code}"


def _given_up(step: Step | None) -> bool:
    return step is not None and step.outcome != Outcome.DONE and step.final


def _speaks_of(record: ImageRecord, shown: Published) -> bool:
    """Whether the record and the pointer don't contradict each other: a failed replacement leaves the older pyramid up."""
    if record.tiles is None:
        return False
    if same_version(shown.version, record.version):
        return record.tiles.outcome == Outcome.DONE and record.generation == shown.generation.id
    return record.tiles.outcome != Outcome.DONE
