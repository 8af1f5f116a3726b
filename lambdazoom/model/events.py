"""S3's event notifications, read: which keys of which buckets may have changed; no I/O.

The format is AWS's "Event message structure" (S3 user guide), versions 2.0 to 2.x. What an event says of the change itself is not
believed, only that the key is worth a look: events come late, twice and in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus


@dataclass(frozen=True)
class Change:
    """A hint: something may have happened to this key of this bucket. `event` is S3's own word for it, for the log."""

    bucket: str
    key: str
    event: str


@dataclass(frozen=True)
class Unreadable:
    """A record of an event that names no object; `reason` is for the log."""

    reason: str


def changes_of(document: Mapping[str, Any]) -> tuple[Change | Unreadable, ...]:
    """The changes of an event document, in its order; empty for S3's test event, which it sends when a notification is set up."""
    if document.get("Event") == "s3:TestEvent":
        return ()
    records = document.get("Records")
    if not isinstance(records, list):
        return (Unreadable("the event has no list of records"),)
    return tuple(_change_of(record) for record in records)


def _change_of(record: Any) -> Change | Unreadable:
    try:
        # form encoding, applied once: a space comes as "+", a plus as "%2B"
        key = unquote_plus(record["s3"]["object"]["key"], errors="surrogateescape")
        bucket = record["s3"]["bucket"]["name"]
    except (KeyError, TypeError, AttributeError) as error:
        return Unreadable(f"a record without {error}" if isinstance(error, KeyError) else "a record of another form")
    if not isinstance(bucket, str) or not key:
        return Unreadable("a record without a bucket or a key")
    return Change(bucket, key, str(record.get("eventName", "")))
