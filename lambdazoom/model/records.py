"""What we know of one image, and how it is written down as JSON; no I/O."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Self, TypeVar

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.prices import Requests

T = TypeVar("T")

SCHEMA = 1
REMOVING = "removing"  # the stage of a run that takes away what was published of a source that is gone
HEARTBEAT_TIMEOUT = timedelta(seconds=30)  # a run that works writes progress every 5 s at most


class LaterSchema(ValueError):
    """A later version of the program wrote this."""


class State(StrEnum):
    """What has become of an image; derived from its steps, never stored."""

    WAITING = "waiting"
    PROCESSING = "processing"
    STALLED = "stalled"
    PUBLISHED = "published"
    IGNORED = "ignored"
    FAILED = "failed"
    REMOVED = "removed"


class Outcome(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Step:
    """How one step ended: for anything but DONE, `sentence` is for people and `code` for programs.

    `final` says that nothing but a new source version, or somebody's wish, starts it again; `retryable` that the very same
    work may go better in a while.
    """

    outcome: Outcome
    sentence: str = ""
    code: str = ""
    final: bool = True
    retryable: bool = False

    @classmethod
    def failed(cls, error: LambdaZoomError, final: bool) -> Self:
        """The step that ended in this error."""
        return cls(Outcome.FAILED, str(error), error.code, final, retryable=error.retryable and not final)


@dataclass(frozen=True)
class Caption:
    """What a page says about an image; empty where the file tells nothing. `taken` is a date, "2024-05-17"."""

    title: str = ""
    creator: str = ""
    rights: str = ""
    description: str = ""
    camera: str = ""
    taken: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` tiles of `total`, at `stage` ("reading", "tiling", REMOVING, ...)."""

    stage: str
    done: int = 0
    total: int = 0

    @property
    def percent(self) -> int:
        """Tiles done, 0 to 100."""
        return 100 * self.done // self.total if self.total else 0


@dataclass(frozen=True)
class Receipt:
    """What it took to make an image, and what that cost.

    `source_bytes`, `tile_bytes` and `peak_memory` (of the whole process) in bytes; `requests` to S3 until this was written;
    `stages` are pairs of a name and its seconds; `dollars` by the prices of the time, for S3's requests and Lambda's
    seconds; `dollars_a_month` for keeping the tiles on S3. On folders nothing is asked for, outside Lambda no seconds are.
    """

    source_bytes: int = 0
    pixels: int = 0
    tiles: int = 0
    tile_bytes: int = 0
    requests: Requests = field(default_factory=Requests)
    stages: tuple[tuple[str, float], ...] = ()
    peak_memory: int = 0
    dollars: float = 0.0
    dollars_a_month: float = 0.0


@dataclass(frozen=True)
class ImageRecord:
    """All that is known of one image and of the version of its source that was looked at last.

    Sizes are in pixels after orientation, `way` tells how the pixels were read ("row by row", "whole"), `tile_bytes`, `predicted_memory`
    (of the whole process, told from the header) and `version.size` in bytes, times aware UTC. `run`, `owner` (its process),
    `started_at` and `heartbeat_at` belong to the run that works on it now, and are empty when none does. `attempts` counts the runs
    that began with this version, `cut_short` those that were killed or ran out of time.
    """

    key: str
    version: SourceVersion
    seen_at: datetime
    tiles: Step | None = None
    metadata: Step | None = None
    removed_at: datetime | None = None
    kind: str = ""
    way: str = ""
    predicted_memory: int = 0
    width: int = 0
    height: int = 0
    tile_count: int = 0
    tile_bytes: int = 0
    seconds: float = 0.0
    sha256: str = ""
    generation: str = ""
    recipe: str = ""
    remarks: tuple[str, ...] = ()
    caption: Caption = field(default_factory=Caption)
    attempts: int = 0
    cut_short: int = 0
    run: str = ""
    owner: str = ""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    progress: Progress | None = None
    finished_at: datetime | None = None
    receipt: Receipt | None = None
    schema: int = SCHEMA

    @cached_property
    def image(self) -> ImageKey:
        """The names of what belongs to it."""
        return ImageKey(self.key)

    def state(self, now: datetime) -> State:
        """What has become of it, as of `now` (a run that shows no sign of life is stalled)."""
        if self.removed_at:
            return State.REMOVED
        if self.heartbeat_at:
            return State.PROCESSING if self.is_alive(now) else State.STALLED
        if self.tiles is None:
            return State.WAITING
        return {Outcome.DONE: State.PUBLISHED, Outcome.IGNORED: State.IGNORED, Outcome.FAILED: State.FAILED}[self.tiles.outcome]

    def is_alive(self, now: datetime) -> bool:
        """Whether a run is at work and was heard of lately."""
        return self.heartbeat_at is not None and now - self.heartbeat_at < HEARTBEAT_TIMEOUT

    @property
    def is_being_removed(self) -> bool:
        """Whether a run began to take away what was published; it may have died over it."""
        return self.progress is not None and self.progress.stage == REMOVING

    @property
    def complaints(self) -> tuple[str, ...]:
        """The sentences of what went wrong; where there are no tiles, what became of the metadata is not worth one."""
        if self.tiles and self.tiles.outcome == Outcome.FAILED:
            return (self.tiles.sentence,)
        if self.metadata and self.metadata.outcome == Outcome.FAILED:
            return (f"The image is ready. Its metadata could not be read: {self.metadata.sentence}",)
        return ()

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should read its complaints."""
        return bool(self.complaints)

    @property
    def is_unsettled(self) -> bool:
        """Whether a step failed in a way that the same version may get over: it is tried again at the next occasion."""
        return any(step is not None and step.outcome == Outcome.FAILED and not step.final for step in (self.tiles, self.metadata))

    @property
    def is_retryable(self) -> bool:
        """Whether a step failed that may go better in a while."""
        return any(step is not None and step.retryable for step in (self.tiles, self.metadata))

    def at_rest(self) -> "ImageRecord":
        """The record with no run at work."""
        return replace(self, run="", owner="", started_at=None, heartbeat_at=None, progress=None)

    def to_json(self) -> bytes:
        """The record as JSON text in ASCII (keys may hold bytes that are no UTF-8)."""
        return json.dumps(asdict(self), default=_as_text, indent=1).encode("ascii")

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The record of a JSON text; LaterSchema if a later version of the program wrote it, ValueError or the like if it is damaged."""
        document: dict[str, Any] = json.loads(text)
        if document["schema"] > SCHEMA:
            raise LaterSchema(f"a record of schema {document['schema']}; this version knows {SCHEMA}")
        known = {each.name for each in fields(cls)}
        values = {name: _UNPACK.get(name, _as_it_is)(value) for name, value in document.items() if name in known and value is not None}
        return cls(**values)


def version_document(version: SourceVersion) -> dict[str, Any]:
    """A source version as JSON values."""
    return {**asdict(version), "last_modified": version.last_modified.isoformat()}


def version_from(document: Mapping[str, Any]) -> SourceVersion:
    """The source version of JSON values."""
    return SourceVersion(
        etag=document["etag"],
        last_modified=datetime.fromisoformat(document["last_modified"]),
        size=document["size"],
        version_id=document["version_id"],
    )


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{value!r} has no place in a record")


def _as_it_is(value: Any) -> Any:
    return value


def _known(kind: type[T], document: Mapping[str, Any], **unpacked: Any) -> T:
    """A value of JSON; fields that a later version of the program has added are passed over."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type] # all that is packed here are dataclasses
    return kind(**{name: value for name, value in {**document, **unpacked}.items() if name in names})


def _step_from(document: Mapping[str, Any]) -> Step:
    return _known(Step, document, outcome=Outcome(document["outcome"]))


def _receipt_from(document: Mapping[str, Any]) -> Receipt:
    requests = _known(Requests, document.get("requests", {}))
    stages = tuple((str(name), float(seconds)) for name, seconds in document.get("stages", ()))
    return _known(Receipt, document, requests=requests, stages=stages)


_UNPACK: dict[str, Callable[[Any], Any]] = {
    "version": version_from,
    "seen_at": datetime.fromisoformat,
    "removed_at": datetime.fromisoformat,
    "started_at": datetime.fromisoformat,
    "heartbeat_at": datetime.fromisoformat,
    "finished_at": datetime.fromisoformat,
    "tiles": _step_from,
    "metadata": _step_from,
    "remarks": tuple,
    "caption": lambda document: _known(Caption, document),
    "progress": lambda document: _known(Progress, document),
    "receipt": _receipt_from,
}
