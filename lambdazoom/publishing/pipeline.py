"""`settle`: makes what is published match what the source holds now. How it is called, and how often, is the doors' affair.

Created or removed, early, late or twice: an event is only a hint, and every one of them ends here. The loop looks, does one
thing, and looks again; only finding everything as it should be ends it (docs/architecture.md, "Publishing").
"""

import json
import logging
import math
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from lambdazoom.model.errors import AccessDenied, Conflict, NotFound, OutOfTime, StorageError
from lambdazoom.model.keys import ImageKey, SourceObject, SourceVersion, is_hidden
from lambdazoom.model.records import REMOVING, ImageRecord, Progress, Step
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing import catalog, deaths, documents, generations, owners
from lambdazoom.publishing.catalog import Kept
from lambdazoom.publishing.generations import Published
from lambdazoom.publishing.looking import Look, Wanted, look_at
from lambdazoom.publishing.making import Made, make
from lambdazoom.publishing.patience import Patience
from lambdazoom.publishing.pulse import RESERVE_SECONDS, Observer, Pulse
from lambdazoom.publishing.receipts import Account
from lambdazoom.publishing.verdicts import (
    beside_what_is_on_show,
    completed,
    derived,
    given_up,
    judged,
    owes_another,
    refused,
    speaks_of,
    stalled_too_often,
    without_what_went,
)
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.effort import spending

log = logging.getLogger(__name__)


def settle(
    image: ImageKey, workspace: Workspace, observer: Observer = lambda _: None, wish: Wish = HINT, run: str = ""
) -> ImageRecord | None:
    """Make what is published of this image match its source; its record then, None if there is nothing to know of it.

    `wish` says what else somebody wants; `run` names this call on the record, for whoever sees its process die. Raises StorageError
    for what may go better later (and has no record), Interrupted if the workspace is being closed, OutOfTime if too little is left
    to begin.
    """
    if is_hidden(image.key):
        return None
    remaining = workspace.remaining()
    with spending(remaining if math.isfinite(remaining) else None):
        return _settle(_Run(image, workspace, observer, wish, run or new_run()))


def settle_but_making(image: ImageKey, workspace: Workspace, wish: Wish) -> tuple[ImageRecord | None, bool]:
    """What `settle` does as long as no file has to be opened: the record then, and whether something is left to be made."""
    if is_hidden(image.key):
        return None, False
    run = _Run(image, workspace, lambda _: None, wish, new_run(), makes=False)
    with spending(None):
        record = _settle(run)
    return record, run.leaves


def new_run() -> str:
    """A name for a run, which no other has."""
    return secrets.token_hex(8)


def _settle(run: "_Run") -> ImageRecord | None:
    try:
        run.go()
    except BaseException:  # Ctrl-C too: nobody shall take this run for one that is still at work
        with suppress(StorageError):
            deaths.lay_down(run.image, run.id, run.workspace)
        raise
    record = catalog.find(run.image, run.workspace.metadata)
    if run.acted:
        log.info(_log_line(run.image, record, run.workspace.now()))
    return record


class _Run:
    """One call of settle: its steps share what this call has made already."""

    def __init__(self, image: ImageKey, workspace: Workspace, observer: Observer, wish: Wish, run: str, makes: bool = True) -> None:
        self.image = image
        self.workspace = workspace
        self.account = Account(workspace.settings, observer)
        self.wish = wish
        self.anew = wish.anew
        self.found: str | None = None  # the generation that was on show when this run began, "" for none
        self.id = run
        self.makes = makes
        self.leaves = False  # to another run, what is to be made
        self.made: Made | None = None
        self.told = False  # whether the document tells, or told, of what was made
        self.offered = False  # whether the pointer was asked to move to what was made: then it may have, whatever the answer
        self.withdrew = False  # whether anything was asked to go: if the source is back, another run may not have seen that
        self.acted = False  # whether anything was made or withdrawn

    def go(self) -> None:
        """Step by step to the end. Raises what a store refuses, if that can't be left on the record."""
        patience = Patience(self.image.display, self.workspace)
        is_over = False
        while not is_over:
            patience.look()
            try:
                is_over = self.step()
                patience.went_well()
            except (Conflict, NotFound):
                patience.lost()  # or something vanished under our hands: look again
            except StorageError as error:
                try:
                    patience.failed(error)
                except StorageError:
                    self._give_up(error)
                    return

    def step(self) -> bool:
        """Look, and do one thing; True if nothing is left to do, or nothing that can be done now."""
        look = look_at(self.image, self.workspace)
        if self.found is None:
            self.found = _generation_of(look)
            self.anew = self.anew or owes_another(look, self.wish)
        if look.current is None:
            self._drop()
            return self._withdraw(look)
        if self.made and self.made.record.version != look.current.version:
            self._drop()
        if look.note and look.shows(look.current.version) and not look.note.retired:
            # a retired one's stays: whoever is about to replace it relies on that, and the sweep finds out if nobody did
            self.workspace.metadata.delete(look.note.generation.note, look.note.etag)
        wanted = self._wanted(look, look.current)
        if not wanted.tiles and not wanted.metadata:
            return self._tidy(look, look.current)
        if self.made:
            return self._commit(self.made, wanted, look)
        if self._is_anothers(look.record) and not self.withdrew:
            return True  # another run is at it: that saves money, correctness doesn't depend on it
        if not self.makes:
            self.leaves = True
            return True
        self._make(wanted, look, look.current)
        return False

    def _wanted(self, look: Look, current: SourceObject) -> Wanted:
        """What is neither there for this version nor settled as impossible; all that is there, if it is to be made anew."""
        ask_again = self.wish.tries_again and self.made is None
        record = self.made.record if self.made else look.record
        tiles_given_up = record is not None and given_up(record.tiles) and not ask_again
        metadata_given_up = record is not None and given_up(record.metadata) and not ask_again
        if tiles_given_up and look.shown and not look.shows(current.version):  # then the older pyramid and its metadata stay
            return Wanted(tiles=False, metadata=False)
        has_tiles = look.shows(current.version) and not self._is_of_another_recipe(look.shown) and not self._is_to_go(look)
        has_metadata = look.describes(current.version) and not self._is_to_be_reread(look)
        return Wanted(tiles=not has_tiles and not tiles_given_up, metadata=not has_metadata and not metadata_given_up)

    def _is_to_go(self, look: Look) -> bool:
        """Whether what is on show is what was to be made anew. Any other was made since, be it by another run: so two at once end."""
        return self.anew and _generation_of(look) == self.found

    def _is_to_be_reread(self, look: Look) -> bool:
        """Whether a document of this version is to be replaced by what was read anew: once, so that two who read otherwise end."""
        if self.made is None:
            could_not_be_read = look.record is not None and given_up(look.record.metadata)
            return self._is_to_go(look) or (self.wish.tries_again and could_not_be_read)
        is_news = look.described is not None and self.made.metadata not in (None, look.described.metadata)
        return is_news and not self.told and (self.anew or self.wish.tries_again)

    def _is_of_another_recipe(self, shown: Published | None) -> bool:
        return self.wish.recipe and shown is not None and shown.recipe != self.workspace.settings.recipe.fingerprint

    def _is_anothers(self, record: ImageRecord | None) -> bool:
        is_at_work = record is not None and record.run != self.id and record.is_alive(self.workspace.now())
        return is_at_work and record is not None and not owners.is_gone(record.owner)

    def _make(self, wanted: Wanted, look: Look, current: SourceObject) -> None:
        if self.workspace.remaining() < RESERVE_SECONDS:
            raise OutOfTime(f"{self.image.display} was not begun: the time limit is too near.")
        opening = self._opening_record(look, current)
        stalled = None if self.wish.tries_again else stalled_too_often(opening, look.record)
        if stalled:
            catalog.save(beside_what_is_on_show(stalled, look, current), look.kept, self.workspace.metadata)
            return
        pulse = Pulse(catalog.save(opening, look.kept, self.workspace.metadata), self.workspace, self.account.observe)
        with pulse:
            made = make(wanted, current, pulse, self.workspace, replaces=look.shown is not None)
        record = judged(made.record)
        if wanted.tiles and made.generation is None and look.shown and look.shows(current.version):
            record = replace(record, generation=look.shown.generation.id)  # which stays
        record = beside_what_is_on_show(record, look, current)
        self.made, self.told, self.offered, self.acted = replace(made, record=record), False, False, True

    def _opening_record(self, look: Look, current: SourceObject) -> ImageRecord:
        known = look.record or ImageRecord(self.image.key, current.version, seen_at=self.workspace.now())
        is_killed = bool(known.run) and known.run != self.id and not known.is_being_removed
        cut_short = 0 if self.wish.tries_again else known.cut_short + is_killed
        return self._at_work(replace(known, attempts=known.attempts + 1, cut_short=cut_short), "reading")

    def _at_work(self, record: ImageRecord, stage: str) -> ImageRecord:
        """The record while this run is at it."""
        now = self.workspace.now()
        return replace(record, run=self.id, owner=owners.this_process(), started_at=now, heartbeat_at=now, progress=Progress(stage))

    def _commit(self, made: Made, wanted: Wanted, look: Look) -> bool:
        """Publish what was made and is still wanted, each object only in place of what was found; True if there is nothing of it."""
        workspace, record = self.workspace, made.record
        moves = wanted.tiles and made.generation is not None
        speaks_of_what_is_shown = moves or look.shown is None or look.shows(record.version)
        is_told = wanted.metadata and made.metadata is not None and speaks_of_what_is_shown
        if is_told and made.metadata:
            documents.save(self.image, record.version, record.sha256, made.metadata, look.described, workspace.metadata)
            self.told = True
        if moves and made.generation:
            self._move_pointer(made.generation, look)
        if moves or is_told:
            return False
        left = without_what_went(made, wanted)
        catalog.save(self._with_receipt(left), look.kept, workspace.metadata)
        if left == record:
            return True
        self._drop()  # and make what went
        return False

    def _move_pointer(self, generation: Published, look: Look) -> None:
        workspace = self.workspace
        if not generations.renew(self.image, generation, workspace.metadata, workspace.now, workspace.grace):
            self._drop()  # the sweep has taken it for a dead run's
            return
        if look.shown:
            generations.retire(self.image, look.shown, workspace.metadata, workspace.now, workspace.grace)
        self.offered = True
        # the pointer goes last: from here on viewers see the new pyramid, whole
        generations.publish(self.image, generation, look.pointer, workspace.zoom, workspace.settings.tiles_url)

    def _tidy(self, look: Look, current: SourceObject) -> bool:
        """Nothing is left to be made: take away what contradicts it, then complete the record; True if nothing had to go."""
        if look.is_damaged and look.pointer:
            self._unpublish(look, look.pointer)
            return False
        on_show = look.shown.version if look.shown else current.version
        if look.described and not look.describes(on_show):
            self.workspace.metadata.delete(self.image.metadata, look.described.etag)
            return False
        self._complete(look, current)
        if self.made and self.made.generation and not (look.shown and look.shown.generation == self.made.generation.generation):
            self._drop()
        return True

    def _complete(self, look: Look, current: SourceObject) -> None:
        """Leave a record that says what is there: this run's own, the one that is there, or one made from what is on show."""
        candidates = [self._with_receipt(self.made.record)] if self.made else []
        candidates += [look.record] if look.record else []
        fitting = (each for each in candidates if look.shown is None or speaks_of(each, look.shown))
        known = candidates[0] if candidates else None
        record = next(fitting, None) or derived(self.image, look, current, known, self.workspace.now())
        record = completed(record, look) if record else None
        if record and (look.kept is None or look.kept.record != record.at_rest()):
            if generations.published(self.image, self.workspace.zoom) != look.shown:  # it moved before the record was read
                raise Conflict(f"{self.image.display} was published meanwhile.")
            catalog.save(record.at_rest(), look.kept, self.workspace.metadata)
            log.debug("record completed", extra={"key": self.image.key})

    def _with_receipt(self, record: ImageRecord) -> ImageRecord:
        return replace(record, receipt=self.account.receipt(record))

    def _drop(self) -> None:
        """Forget what was made; its tiles go at once, unless the pointer may yet move to them: then they are left to the sweep."""
        made, self.made = self.made, None  # first: of what is half gone nothing may be published, should the store fail now
        if made and made.generation and not self.offered:
            generations.discard(made.generation.generation, made.generation.pyramid, self.workspace)

    def _withdraw(self, look: Look) -> bool:
        """The source is gone: so goes what is published; True if nothing was left of it, be it in the index."""
        kept = look.kept if look.kept and not look.kept.record.removed_at else None
        if kept and not kept.record.is_being_removed:
            # it is in the list of active ones from here on: whoever looks next ends it if we don't, though it be put back meanwhile
            kept = catalog.save(self._at_work(kept.record, REMOVING), kept, self.workspace.metadata)
        if look.pointer or look.described:
            self.withdrew = self.acted = True
        if look.pointer:
            self._unpublish(look, look.pointer)
        if look.described:
            self.workspace.metadata.delete(self.image.metadata, look.described.etag)
        if kept:
            self._close_record(kept)
        if kept or look.pointer or look.described:
            return False  # it may be back, and whoever saw that has left it to us
        catalog.mend(self.image, set(), self.workspace.metadata)
        return True

    def _unpublish(self, look: Look, pointer: str) -> None:
        if look.shown:
            generations.retire(self.image, look.shown, self.workspace.metadata, self.workspace.now, self.workspace.grace)
        self.workspace.zoom.delete(self.image.pointer, pointer)

    def _close_record(self, kept: Kept) -> None:
        record = kept.record
        if record.tiles is not None:
            catalog.forget(kept, self.workspace.metadata)
            return
        # nobody would otherwise learn what became of it
        sentence = f"{self.image.display} was removed from the source before it could be published."
        tombstone = replace(record.at_rest(), removed_at=self.workspace.now(), remarks=(sentence,))
        catalog.save(tombstone, kept, self.workspace.metadata)

    def _give_up(self, error: StorageError) -> None:
        """Leave word of what the stores refused, on the record of what was made, or of what could not even be looked at; else raise."""
        try:
            if self.made:
                look = look_at(self.image, self.workspace)
                if look.current and look.current.version == self.made.record.version:
                    record = self._with_receipt(refused(self.made, look, error, self._is_to_go(look)))
                    catalog.save(beside_what_is_on_show(record, look, look.current), look.kept, self.workspace.metadata)
                    return
            elif isinstance(error, AccessDenied):
                now = self.workspace.now()
                unknown = SourceVersion("", now, 0)
                record = ImageRecord(self.image.key, unknown, seen_at=now, tiles=Step.failed(error, final=False), finished_at=now)
                catalog.save(record, None, self.workspace.metadata)
        except StorageError as another:  # it may be the metadata store itself that refuses
            log.info("%s: no word could be left (%s)", self.image.display, another)
        raise error


def _generation_of(look: Look) -> str:
    return look.shown.generation.id if look.shown else ""


def _log_line(image: ImageKey, record: ImageRecord | None, now: datetime) -> str:
    """One line for each image, in logfmt: reads well in `zappa tail`, and machines split it at spaces and quotes."""
    if record is None:
        return f"image key={json.dumps(image.display, ensure_ascii=False)} state=gone"
    code = next((step.code for step in (record.tiles, record.metadata) if step and step.code), "-")
    size = f"pixels={record.width}x{record.height} tiles={record.tile_count} seconds={record.seconds:.2f}"
    return f"image key={json.dumps(image.display, ensure_ascii=False)} state={record.state(now)} {size} code={code}"
