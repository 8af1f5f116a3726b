"""What a record shall say of how a run ended: refused, out of time, killed, or as what is on show tells; no store is read or written."""

from dataclasses import replace
from datetime import datetime

from lambdazoom.metadata.facts import caption
from lambdazoom.model.errors import OutOfTime, StorageError, Unstorable
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Step
from lambdazoom.publishing.generations import Published, same_version
from lambdazoom.publishing.looking import Look
from lambdazoom.publishing.making import Made

LAST_CUT_SHORT = 2  # a version whose runs were killed, or ran out of time, so often is given up
STALLED = "stalled"  # the code of such a failure


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


def refused(made: Made, look: Look, error: StorageError) -> ImageRecord:
    """The record after a refusal: what was stored before it counts as done."""
    failed = Step.failed(error, final=isinstance(error, Unstorable))
    is_shown = made.generation is None or look.shows(made.record.version)
    is_described = made.metadata is None or look.describes(made.record.version)
    return replace(made.record, tiles=made.record.tiles if is_shown else failed, metadata=made.record.metadata if is_described else failed)


def judged(record: ImageRecord) -> ImageRecord:
    """The record of a run that ended; one that ran out of time once too often is given up."""
    if not any(step and step.code == OutOfTime.code for step in (record.tiles, record.metadata)):
        return record
    cut_short = record.cut_short + 1
    return replace(
        record, cut_short=cut_short, tiles=_given_time(record.tiles, cut_short), metadata=_given_time(record.metadata, cut_short)
    )


def beside_the_version_before(record: ImageRecord) -> ImageRecord:
    """The record of a replacement: where it failed, it says what is still there."""
    if record.tiles is None or record.tiles.outcome == Outcome.DONE:
        return record
    return replace(record, tiles=replace(record.tiles, sentence=f"{record.tiles.sentence} The version before stays on show."))


def _given_time(step: Step | None, cut_short: int) -> Step | None:
    if step is None or step.code != OutOfTime.code or cut_short < LAST_CUT_SHORT:
        return step
    return replace(step, final=True, retryable=False)


def stalled_too_often(opening: ImageRecord, before: ImageRecord | None) -> ImageRecord | None:
    """The record of a version that was given up because its runs are killed; None if another run may try.

    The tiles are given up first, as what needs the memory; if even the metadata end so, these too.
    """
    is_killed = before is not None and before.heartbeat_at is not None
    if not is_killed or opening.cut_short < LAST_CUT_SHORT or before is None or before.heartbeat_at is None:
        return None
    since = f"{before.heartbeat_at:%H:%M} UTC"
    sentence = f"No sign of life since {since}; probably out of memory. Retry; if it stalls again, raise memory_size."
    stalled = Step(Outcome.FAILED, sentence, STALLED)
    at_rest = replace(opening.at_rest(), finished_at=opening.heartbeat_at)
    if given_up(opening.tiles) or (opening.tiles and opening.tiles.outcome == Outcome.DONE):
        return replace(at_rest, metadata=stalled)
    return replace(at_rest, tiles=stalled)


def given_up(step: Step | None) -> bool:
    return step is not None and step.outcome != Outcome.DONE and step.final


def speaks_of(record: ImageRecord, shown: Published) -> bool:
    """Whether the record and the pointer don't contradict each other: a failed replacement leaves the older pyramid up."""
    if record.tiles is None:
        return False
    if same_version(shown.version, record.version):
        return record.tiles.outcome == Outcome.DONE and record.generation == shown.generation.id
    return record.tiles.outcome != Outcome.DONE
