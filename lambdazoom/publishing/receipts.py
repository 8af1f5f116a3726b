"""The receipt of a run: what it took, stage by stage, and what that cost by the price table; nothing here changes what is done."""

import time

from lambdazoom.imaging.memory import forget_peak, peak_memory
from lambdazoom.model.records import ImageRecord, Outcome, Progress, Receipt
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.pulse import Observer
from lambdazoom.storage import effort

FETCHING, PUBLISHING = "fetching", "publishing"  # the stages that nobody tells of: before the first, and after the last


class Account:
    """Listens to a run's progress, which it passes on, and keeps time; counts what the store counts for the current effort."""

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        self._effort = effort.current()
        self._begun = self._since = time.perf_counter()
        self._stage = FETCHING
        self._seconds: dict[str, float] = {}
        if settings.function_memory:
            forget_peak()  # Lambda works on one image at a time; elsewhere the peak is of all that this process does

    def observe(self, progress: Progress) -> None:
        """The run is that far."""
        if progress.stage != self._stage:
            self.enter(progress.stage)
        self._observer(progress)

    def enter(self, stage: str) -> None:
        """A stage begins, and with it ends the one before."""
        now = time.perf_counter()
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

    def receipt(self, record: ImageRecord) -> Receipt:
        """What it took until now."""
        self.enter(PUBLISHING)
        has_tiles = record.tiles is not None and record.tiles.outcome == Outcome.DONE
        prices, requests = self._settings.prices, self._effort.requests
        seconds = time.perf_counter() - self._begun
        return Receipt(
            source_bytes=record.version.size,
            pixels=record.width * record.height,
            tiles=record.tile_count if has_tiles else 0,
            tile_bytes=record.tile_bytes if has_tiles else 0,
            requests=requests,
            stages=tuple((stage, round(spent, 3)) for stage, spent in self._seconds.items()),
            peak_memory=peak_memory(),
            dollars=prices.of_requests(requests) + prices.of_function(seconds, self._settings.function_memory),
            dollars_a_month=prices.of_month(record.tile_bytes) if has_tiles and requests.put else 0.0,
        )
