"""The page of activity as rows and one line of figures; no requests, no markup, no I/O."""

from dataclasses import dataclass
from datetime import datetime

from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing.search import Sums
from lambdazoom.web import cards, presentation
from lambdazoom.web.cards import Card


@dataclass(frozen=True)
class Entry:
    """One row: the image as a card, since when a run has been at it, and what that took; empty while it isn't finished."""

    card: Card
    since: datetime
    elapsed: str
    seconds: str
    cost: str
    finished_at: datetime | None
    ago: str

    @property
    def is_busy(self) -> bool:
        """Whether it waits for a run, or a run is at it."""
        return self.card.status is not None and self.card.status.is_busy


def entry(record: ImageRecord, now: datetime) -> Entry:
    """The record as a row."""
    since = record.started_at or record.seen_at
    return Entry(
        card=cards.card(record, now),
        since=since,
        elapsed=presentation.elapsed(since, now),
        seconds=presentation.seconds(record.seconds) if record.seconds else "",
        cost=presentation.dollars(record.receipt.dollars) if record.receipt else "",
        finished_at=record.finished_at,
        ago=presentation.ago(record.finished_at, now) if record.finished_at else "",
    )


def figures(sums: Sums) -> str:
    """One line on the last day: "Last 24 hours: 214 images, 18.2 gigapixels, $0.41"; "" if nothing was made."""
    if not sums.images:
        return ""
    images = f"{sums.images:,} {'image' if sums.images == 1 else 'images'}"
    parts = (images, presentation.megapixels(sums.pixels, 1), presentation.dollars(sums.dollars))
    return f"Last 24 hours: {', '.join(filter(None, parts))}"
