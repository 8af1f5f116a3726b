"""Records that no run has written."""

from datetime import UTC, datetime, timedelta
from typing import Any

from lambdazoom.model.keys import SourceVersion
from lambdazoom.model.records import ImageRecord, Outcome, Step

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DONE = Step(Outcome.DONE)


def record(key: str = "trip/cat.jpg", minutes: int = 0, **values: Any) -> ImageRecord:
    version = SourceVersion("1-2-3", NOW, 2, "v1")
    return ImageRecord(key, version, NOW + timedelta(minutes=minutes), **values)
