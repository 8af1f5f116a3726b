"""The opened stores and tools that the work is done with; opening them is all that happens here."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.settings import Settings
from lambdazoom.storage.base import Source, Store
from lambdazoom.storage.folder import FolderSource, FolderStore


def utc_now() -> datetime:
    """The time of day, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Workspace:
    """Everything that a run needs: the settings, the three places, exiftool, the clock, and the wish to stop."""

    settings: Settings
    source: Source
    zoom: Store
    metadata: Store
    exiftool: ExifTool
    now: Callable[[], datetime] = utc_now
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def grace(self) -> timedelta:
        """How long a replaced generation keeps its tiles."""
        return timedelta(seconds=self.settings.grace_seconds)

    def close(self) -> None:
        """End exiftool."""
        self.exiftool.close()


def open_workspace(settings: Settings) -> Workspace:
    """The workspace of these settings; SettingsError if its three folders are not apart from each other."""
    folders = {
        "LAMBDAZOOM_SOURCE": Path(settings.source).resolve(),
        "LAMBDAZOOM_ZOOM": Path(settings.zoom).resolve(),
        "LAMBDAZOOM_METADATA": Path(settings.metadata).resolve(),
    }
    for (one, folder), (other, above) in permutations(folders.items(), 2):
        if folder.is_relative_to(above):
            # what we write would be taken for a new image, or an original could be written over
            raise SettingsError(f"{one} ({folder}) lies inside {other} ({above}). Choose three folders apart from each other.")
    return Workspace(
        settings=settings,
        source=FolderSource(folders["LAMBDAZOOM_SOURCE"]),
        zoom=FolderStore(folders["LAMBDAZOOM_ZOOM"]),
        metadata=FolderStore(folders["LAMBDAZOOM_METADATA"]),
        exiftool=ExifTool(Path(settings.exiftool) if settings.exiftool else None, seconds=settings.exiftool_seconds),
    )
