"""An image's record as the pages show it: its state in words, its picture's place, its facts; no requests, no markup, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lambdazoom.model.records import ImageRecord, Outcome, Progress, Receipt, State
from lambdazoom.publishing.verdicts import silent
from lambdazoom.web import presentation
from lambdazoom.web.presentation import Row


@dataclass(frozen=True)
class Status:
    """A state as icon and words. `tone` is "", "attention" or "failure"; `percent` is None where nobody knows how far it is."""

    icon: str
    words: str
    sentence: str = ""
    tone: str = ""
    percent: int | None = None
    is_busy: bool = False


@dataclass(frozen=True)
class Card:
    """One image in a list: `name` is its stored name, `title` what people call it, `generation` its pyramid, "" without one."""

    name: str
    title: str
    parts: tuple[str, str]
    generation: str
    ratio: int
    is_extreme: bool
    size: str
    ago: str
    seen_at: datetime
    status: Status | None


def card(record: ImageRecord, now: datetime) -> Card:
    """The record as one of a list."""
    shows_picture = record.state(now) == State.PUBLISHED
    return Card(
        name=record.image.name,
        title=title(record),
        parts=presentation.head_and_tail(title(record)),
        generation=record.generation if shows_picture else "",
        ratio=presentation.ratio(record.width, record.height),
        is_extreme=presentation.is_extreme(record.width, record.height),
        size=presentation.dimensions(record.width, record.height),
        ago=presentation.ago(record.seen_at, now),
        seen_at=record.seen_at,
        status=status(record, now),
    )


def title(record: ImageRecord) -> str:
    """The embedded title, else the key."""
    return record.caption.title or record.image.display


def status(record: ImageRecord, now: datetime) -> Status | None:
    """What to say of the image's state; None if all is well."""
    state = record.state(now)
    if state == State.PROCESSING:
        return _progress(record.progress or Progress("starting"))
    if state == State.STALLED and record.heartbeat_at:
        return Status("attention", "Stalled", silent(record.heartbeat_at), "attention")
    if state == State.IGNORED:
        sentence = record.tiles.sentence if record.tiles else ""
        return Status("ignored", presentation.first_words(sentence) or "Ignored", sentence)
    if state == State.REMOVED:
        return Status("ignored", "Removed", " ".join(record.remarks))
    if state == State.WAITING:
        return Status("clock", "Waiting", "It is noticed, and its turn comes next.", is_busy=True)
    return _complaint(record, state)


def _progress(progress: Progress) -> Status:
    stage = progress.stage.capitalize()
    if not progress.total:
        return Status("clock", stage, is_busy=True)
    sentence = f"{progress.done:,} of {progress.total:,} tiles"
    return Status("clock", f"{stage} {progress.percent} %", sentence, percent=progress.percent, is_busy=True)


def _complaint(record: ImageRecord, state: State) -> Status | None:
    if not record.complaints:
        return None
    sentence = record.complaints[0]
    icon, tone = ("broken", "failure") if state == State.FAILED else ("attention", "attention")
    return Status(icon, presentation.first_words(sentence), sentence, tone)


def facts(record: ImageRecord) -> tuple[Row, ...]:
    """What is known of an image's file and pyramid, without what isn't."""
    return tuple(row for row in _all_facts(record) if row.value)


def _all_facts(record: ImageRecord) -> Iterator[Row]:
    size = presentation.dimensions(record.width, record.height)
    yield Row("Name", record.image.display)
    yield Row("Kind", record.kind)
    yield Row("Pixels", f"{size} · {presentation.megapixels(record.width, record.height)}" if size else "")
    yield Row("File", presentation.bytesize(record.version.size))
    yield Row("Modified", presentation.exact(record.version.last_modified))
    if record.tile_count:
        yield Row("Tiles", f"{record.tile_count:,} · {presentation.bytesize(record.tile_bytes)}")
    is_made = record.tiles is not None and record.tiles.outcome == Outcome.DONE
    if record.seconds:
        yield Row("Made in" if is_made else "Tried for", presentation.seconds(record.seconds))
    if record.finished_at:
        yield Row("Made at" if is_made else "Tried at", presentation.exact(record.finished_at))
    if record.attempts > 1:
        yield Row("Attempts", f"{record.attempts:,}" + (f", {record.cut_short:,} cut short" if record.cut_short else ""))
    if record.receipt:
        yield Row("Cost", cost(record.receipt))
    yield Row("SHA-256", record.sha256)


def cost(receipt: Receipt) -> str:
    """What a run cost, and what keeping its tiles does; "" where nothing was paid for."""
    paid, kept = presentation.dollars(receipt.dollars), presentation.dollars(receipt.dollars_a_month)
    return " · ".join(filter(None, (paid, f"{kept} a month" if kept else "")))


def receipt(record: ImageRecord) -> tuple[Row, ...]:
    """What it took to make an image, stage by stage; nothing if nobody counted."""
    if record.receipt is None:
        return ()
    return tuple(row for row in _receipt(record.receipt) if row.value)


def _receipt(receipt: Receipt) -> Iterator[Row]:
    for stage, seconds in receipt.stages:
        yield Row(stage.capitalize(), presentation.seconds(seconds))
    requests = receipt.requests
    kinds = {"GET": requests.get, "HEAD": requests.head, "PUT": requests.put, "LIST": requests.list, "DELETE": requests.delete}
    yield Row("Requests", " · ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count))
    yield Row("Repeated", f"{requests.retries:,}" if requests.retries else "")
    yield Row("Peak memory", presentation.bytesize(receipt.peak_memory) if receipt.peak_memory else "")
