"""The opened stores and tools that the work is done with; opening them is all that happens here."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambdazoom.imaging.signatures import is_image_name
from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.places import Bucket, Folder
from lambdazoom.model.settings import Settings
from lambdazoom.storage.base import Source, Store

if TYPE_CHECKING:
    from lambdazoom.storage.connection import Connection


def utc_now() -> datetime:
    """The time of day, aware UTC."""
    return datetime.now(UTC)


def _endless() -> float:
    return math.inf


@dataclass(frozen=True)
class Workspace:
    """Everything that a run needs: the settings, the three places, exiftool, the clock, the time left, and the wish to stop."""

    settings: Settings
    source: Source
    zoom: Store
    metadata: Store
    exiftool: ExifTool
    now: Callable[[], datetime] = utc_now
    rest: Callable[[float], object] = time.sleep  # between two tries, in seconds
    remaining: Callable[[], float] = _endless  # seconds until the call must have ended
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def grace(self) -> timedelta:
        """How long a replaced generation keeps its tiles."""
        return timedelta(seconds=self.settings.grace_seconds)

    def close(self) -> None:
        """End exiftool."""
        self.exiftool.close()

    def closing(self) -> AbstractContextManager["Workspace"]:
        """The workspace as a context that closes it."""
        return closing(self)


def open_workspace(settings: Settings, keys: Iterable[str] = ()) -> Workspace:
    """The workspace of these settings; SettingsError if its three places are not apart from each other.

    `keys` are those of the source that are about to be worked on: if an image is among them, exiftool starts beside the rest.
    """
    _refuse_overlaps(settings)
    exiftool = ExifTool(Path(settings.exiftool) if settings.exiftool else None, seconds=settings.exiftool_seconds)
    if any(is_image_name(key) for key in keys):
        exiftool.prepare()

    @cache
    def connection() -> "Connection":  # one for all places
        from lambdazoom.storage.connection import Connection

        return Connection()

    return Workspace(
        settings=settings,
        source=_open(settings.source, "Source", connection),
        zoom=_open(settings.zoom, "Store", connection),
        metadata=_open(settings.metadata, "Store", connection),
        exiftool=exiftool,
    )


def _open(place: Folder | Bucket, kind: str, connection: "Callable[[], Connection]") -> Any:
    if isinstance(place, Folder):
        from lambdazoom.storage import folder

        return getattr(folder, f"Folder{kind}")(Path(place.path).resolve())
    from lambdazoom.storage import s3

    return getattr(s3, f"Bucket{kind}")(connection(), place)


def _refuse_overlaps(settings: Settings) -> None:
    places = {"LAMBDAZOOM_SOURCE": settings.source, "LAMBDAZOOM_ZOOM": settings.zoom, "LAMBDAZOOM_METADATA": settings.metadata}
    for (one, place), (other, above) in permutations(places.items(), 2):
        # what we write would be taken for a new image, or an original could be written over
        if isinstance(place, Folder) and isinstance(above, Folder):
            inner, outer = Path(place.path).resolve(), Path(above.path).resolve()
            if inner.is_relative_to(outer):
                raise SettingsError(f"{one} ({inner}) lies inside {other} ({outer}). Choose three folders apart from each other.")
        if isinstance(place, Bucket) and isinstance(above, Bucket):
            # events come from the whole source bucket, so a prefix does not keep it apart
            same = place.name == above.name if other == "LAMBDAZOOM_SOURCE" else place.overlaps(above)
            if same:
                raise SettingsError(f"{one} and {other} are both in the bucket {place.name}. Choose another bucket for {one}.")
