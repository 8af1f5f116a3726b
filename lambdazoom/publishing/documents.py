"""The metadata document of an image: all that exiftool read, and the source version that it was read from."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lambdazoom.metadata.exiftool import Metadata
from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.records import SCHEMA, version_document, version_from
from lambdazoom.storage.base import JSON, Store

_OF_NOTHING = SourceVersion("damaged", datetime.fromtimestamp(0, UTC), 0)  # no source is ever of this version


@dataclass(frozen=True)
class Described:
    """A stored document: the source version it speaks of, that version's SHA-256, its tags, and the document's own etag."""

    version: SourceVersion
    sha256: str
    metadata: Metadata
    etag: str


def find(image: ImageKey, metadata: Store) -> Described | None:
    """What the stored document speaks of, if there is one."""
    if not image.is_storable:
        return None
    try:
        stored = metadata.read(image.metadata)
    except NotFound:
        return None
    try:
        document: dict[str, Any] = json.loads(stored.data)
        source, read = document["source"], Metadata(document["tags"], document["exiftool"])
        return Described(version_from(source), source["sha256"], read, stored.etag)
    except (ValueError, KeyError, TypeError):
        return Described(_OF_NOTHING, "", Metadata({}, ""), stored.etag)  # damaged: to be written anew


def save(image: ImageKey, version: SourceVersion, sha256: str, read: Metadata, replaced: Described | None, metadata: Store) -> None:
    """Write the document in place of `replaced`; Conflict if it is another by now."""
    document = {
        "schema": SCHEMA,
        "key": image.key,
        "source": {**version_document(version), "sha256": sha256},
        "exiftool": read.exiftool_version,
        "tags": read.tags,
    }
    metadata.write(image.metadata, json.dumps(document, indent=1).encode("ascii"), JSON, replaced.etag if replaced else None)
