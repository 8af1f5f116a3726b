"""Images as the API's JSON values (docs/api.md): from a record and what is on show; no I/O."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import url_for

from lambdazoom.model.keys import SourceObject
from lambdazoom.model.records import ImageRecord, Progress, State, Step
from lambdazoom.publishing.generations import Published, same_version
from lambdazoom.web import cards, presentation

Document = dict[str, Any]


def waiting(found: SourceObject, now: datetime) -> ImageRecord:
    """What stands for the record of an original that nothing has looked at yet."""
    return ImageRecord(found.key, found.version, seen_at=now)


def summary(record: ImageRecord, now: datetime) -> Document:
    """One of a list."""
    state, status = record.state(now), cards.status(record, now)
    generation = record.generation if state == State.PUBLISHED else ""
    name = record.image.name
    return {
        "key": record.image.display,
        "name": name,
        "title": cards.title(record),
        "state": state,
        "needs_attention": record.needs_attention,
        "words": status.words if status else "",
        "sentence": status.sentence if status else "",
        "tone": status.tone if status else "",
        "icon": status.icon if status else "",
        "progress": _progress(record.progress or Progress("starting")) if state == State.PROCESSING else None,
        "width": record.width,
        "height": record.height,
        "camera": record.caption.camera,
        "taken": record.caption.taken,
        "seen_at": presentation.iso(record.seen_at),
        "updated_at": presentation.iso(record.heartbeat_at or record.finished_at or record.seen_at),
        "generation": generation,
        "links": {
            "self": url_for("api.image", name=name),
            "page": url_for("pages.image", name=name),
            "thumbnail": url_for("tiles.thumbnail", name=name, v=generation) if generation else None,
            "descriptor": url_for("tiles.descriptor", name=name, v=generation) if generation else None,
        },
    }


def ledger_row(record: ImageRecord, now: datetime) -> Document:
    """One of the page of activity."""
    return {**summary(record, now), **_effort(record)}


def details(record: ImageRecord, shown: Published | None, now: datetime, can_delete: bool) -> Document:
    """One image in full. What is on show counts for its links, be it an older version's."""
    document = summary(record, now)
    name = record.image.name
    links: Document = {
        "metadata": url_for("pages.metadata", name=name) if record.metadata else None,
        "original": url_for("originals.original", name=name),
        "retry": url_for("api.retry", name=name),
        "delete": url_for("api.delete", name=name) if can_delete else None,
    }
    if shown:
        version = shown.generation.id
        links["thumbnail"] = url_for("tiles.thumbnail", name=name, v=version)
        links["descriptor"] = url_for("tiles.descriptor", name=name, v=version)
    return {
        **document,
        **_effort(record),
        "kind": record.kind,
        "file_size": record.version.size,
        "modified_at": presentation.iso(record.version.last_modified),
        "tile_bytes": record.tile_bytes,
        "sha256": record.sha256,
        "attempts": record.attempts,
        "caption": asdict(record.caption),
        "remarks": list(record.remarks),
        "steps": {"tiles": _step(record.tiles), "metadata": _step(record.metadata)},
        "shown": _shown(shown, record) if shown else None,
        "can_retry": record.needs_attention or record.state(now) == State.STALLED,
        "can_delete": can_delete,
        "links": {**document["links"], **links},
    }


def _effort(record: ImageRecord) -> Document:
    return {
        "seconds": record.seconds,
        "tile_count": record.tile_count,
        "dollars": record.receipt.dollars if record.receipt else 0.0,
        "finished_at": presentation.iso(record.finished_at) if record.finished_at else None,
    }


def _progress(progress: Progress) -> Document:
    return {**asdict(progress), "percent": progress.percent if progress.total else None}


def _step(step: Step | None) -> Document | None:
    return {"outcome": step.outcome, "sentence": step.sentence, "code": step.code, "final": step.final} if step else None


def _shown(shown: Published, record: ImageRecord) -> Document:
    recipe = shown.pyramid.recipe
    return {
        "generation": shown.generation.id,
        "width": shown.pyramid.width,
        "height": shown.pyramid.height,
        "tile_size": recipe.tile_size,
        "overlap": recipe.overlap,
        "format": recipe.format,
        "is_current": same_version(shown.version, record.version),
    }
