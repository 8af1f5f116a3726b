"""What a record shall say of how a run ended: refused, out of time, killed, or as what is on show tells; no store is read or written."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from lambdazoom.metadata.facts import caption
from lambdazoom.model.errors import LambdaZoomError, OutOfTime, StorageError, Unstorable
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Step
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing.generations import Published, same_version
from lambdazoom.publishing.looking import Look, Wanted

if TYPE_CHECKING:
    from lambdazoom.publishing.making import Made

LAST_CUT_SHORT = 2  # a version whose runs were killed, or ran out of time, so often is given up
STALLED = "stalled"  # the code of such a failure
KEPT = " What was made before stays on show."


def derived(image: ImageKey, look: Look, current: SourceObject, known: ImageRecord | None, now: datetime) -> ImageRecord | None:
    """What can be said of what is on show after a run that died between its publication and its record; None if nothing is.

    `known` is a record of the source's version that does not speak of these tiles; of the metadata it may.
    """
    shown, described = look.shown, look.described
    if shown is None:
        return None
    return ImageRecord(
        key=image.key,
        version=current.version,
        seen_at=known.seen_at if known else now,
        tiles=Step(Outcome.DONE),
        metadata=Step(Outcome.DONE) if described else (known.metadata if known else None),
        width=shown.pyramid.width,
        height=shown.pyramid.height,
        tile_count=shown.pyramid.tile_count,
        sha256=described.sha256 if described else "",
        generation=shown.generation.id,
        recipe=shown.recipe,
        caption=caption(described.metadata) if described else Caption(),
        finished_at=now,
    )


def completed(record: ImageRecord, look: Look) -> ImageRecord:
    """The record with what the document tells, if that is there and the record does not know it: another run wrote it."""
    described = look.described
    if described is None or not look.describes(record.version) or (record.metadata and record.metadata.final):
        return record
    return replace(record, metadata=Step(Outcome.DONE), caption=caption(described.metadata))


def refused(made: "Made", look: Look, error: StorageError, is_to_go: bool) -> ImageRecord:
    """The record after a refusal: what was stored before it counts as done. `is_to_go`: what is on show was to be made anew."""
    failed = Step.failed(error, final=isinstance(error, Unstorable))
    record, is_shown = made.record, look.shows(made.record.version)
    if made.generation:
        tiles = record.tiles if is_shown and not is_to_go else failed
        record = replace(record, tiles=tiles, generation=look.shown.generation.id if look.shown and is_shown else "")
    is_described = made.metadata is None or look.describes(record.version)
    return replace(record, metadata=record.metadata if is_described else failed)


def without_what_went(made: "Made", wanted: Wanted) -> ImageRecord:
    """The record of what was made, but for what the run found done when it began, and somebody has taken away since."""
    record = made.record
    if wanted.tiles and made.generation is None and record.tiles and record.tiles.outcome == Outcome.DONE:
        record = replace(record, tiles=None)
    if wanted.metadata and made.metadata is None and record.metadata and record.metadata.outcome == Outcome.DONE:
        record = replace(record, metadata=None)
    return record


def judged(record: ImageRecord) -> ImageRecord:
    """The record of a run that ended; one that ran out of time once too often is given up."""
    if not any(step and step.code == OutOfTime.code for step in (record.tiles, record.metadata)):
        return record
    cut_short = record.cut_short + 1
    return replace(
        record, cut_short=cut_short, tiles=_given_time(record.tiles, cut_short), metadata=_given_time(record.metadata, cut_short)
    )


def beside_what_is_on_show(record: ImageRecord, look: Look, current: SourceObject) -> ImageRecord:
    """The record of this version of the source: where it failed to replace what is on show, it says that this stays."""
    if look.shown is None or look.is_damaged or record.tiles is None or record.tiles.outcome == Outcome.DONE:
        return record
    if look.shows(current.version):
        stays = KEPT if record.generation == look.shown.generation.id else ""
    else:
        stays = " The version before stays on show."
    return replace(record, tiles=replace(record.tiles, sentence=f"{record.tiles.sentence.removesuffix(stays)}{stays}"))


def _given_time(step: Step | None, cut_short: int) -> Step | None:
    if step is None or step.code != OutOfTime.code or cut_short < LAST_CUT_SHORT:
        return step
    return replace(step, final=True, retryable=False)


def silent(since: datetime) -> str:
    """The sentence on a run that has not been heard of since."""
    return f"No sign of life since {since:%H:%M} UTC; probably out of memory. Retry; if it stalls again, raise memory_size."


def stalled_too_often(opening: ImageRecord, before: ImageRecord | None) -> ImageRecord | None:
    """The record of a version that was given up because its runs are killed; None if another run may try.

    The tiles are given up first, as what needs the memory; if even the metadata end so, these too.
    """
    is_killed = before is not None and before.heartbeat_at is not None
    if not is_killed or opening.cut_short < LAST_CUT_SHORT or before is None or before.heartbeat_at is None:
        return None
    stalled = Step(Outcome.FAILED, silent(before.heartbeat_at), STALLED)
    at_rest = replace(opening.at_rest(), finished_at=opening.heartbeat_at)
    if given_up(opening.tiles) or (opening.tiles and opening.tiles.outcome == Outcome.DONE):
        return replace(at_rest, metadata=stalled)
    return replace(at_rest, tiles=stalled)


def owes_another(look: Look, wish: Wish) -> bool:
    """Whether what is on show was to be made anew, which failed, and another try is due."""
    tiles = look.record.tiles if look.record else None
    if look.record is None or look.shown is None or tiles is None or tiles.outcome == Outcome.DONE:
        return False
    is_of_this = same_version(look.shown.version, look.record.version) and speaks_of(look.record, look.shown)
    return is_of_this and (wish.tries_again or not tiles.final)


def died(record: ImageRecord, error: LambdaZoomError, wish: Wish, now: datetime) -> ImageRecord:
    """The record of a run whose process did not live to its end, as whoever saw it die knows; the second time that is final.

    As with what stalls, the tiles are given up first. A run that owed nothing (it made tiles of another recipe) leaves no word, but
    one that was to make all anew does.
    """
    cut_short = record.cut_short + 1
    at_rest = replace(record.at_rest(), cut_short=cut_short, finished_at=now)
    failed = Step.failed(error, final=cut_short >= LAST_CUT_SHORT)
    owes_metadata = _is_owed(record.metadata, wish)
    if not wish.anew and not _is_owed(record.tiles, wish):
        return replace(at_rest, metadata=failed) if owes_metadata else at_rest
    # reading the metadata gets another chance, without a decoder at work beside it
    metadata = Step.failed(error, final=False) if owes_metadata else record.metadata
    return replace(at_rest, tiles=failed, metadata=metadata)


def _is_owed(step: Step | None, wish: Wish) -> bool:
    return step is None or (step.outcome != Outcome.DONE and (wish.tries_again or not step.final))


def given_up(step: Step | None) -> bool:
    return step is not None and step.outcome != Outcome.DONE and step.final


def speaks_of(record: ImageRecord, shown: Published) -> bool:
    """Whether the record and the pointer don't contradict each other: a failed replacement leaves up what was there before.

    That is an older version's, or the same version's that could not be made anew; then the record names its generation.
    """
    if record.tiles is None:
        return False
    if same_version(shown.version, record.version):
        return record.generation == shown.generation.id
    return record.tiles.outcome != Outcome.DONE
