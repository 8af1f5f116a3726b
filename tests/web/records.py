"""Records of images that have no pyramid: at work, or failed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.keys import SourceVersion
from lambdazoom.model.records import ImageRecord, Progress, Step
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import Workspace

NOW = datetime.now(UTC)


def record(key: str, workspace: Workspace, **values: object) -> ImageRecord:
    """A record of an image without a pyramid, saved as a run would."""
    made = replace(ImageRecord(key, SourceVersion("e", NOW, 10), seen_at=NOW - timedelta(minutes=2)), **values)  # type: ignore[arg-type]
    catalog.save(made, catalog.find_kept(made.image, workspace.metadata), workspace.metadata)
    return made


def tiling(done: int) -> dict[str, object]:
    return {"run": "r", "heartbeat_at": datetime.now(UTC), "progress": Progress("tiling", done, 100)}


FAILED = Step.failed(CorruptImage("scan.tif is cut off; 71 % could be read."), final=True)
