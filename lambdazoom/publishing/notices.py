"""What an operator must hear that belongs to no image: empty objects in the metadata store, whose names say it all."""

import re

from lambdazoom.storage.base import EMPTY, Store

UNKNOWN_BUCKETS = "_lambdazoom/notices/unknown-bucket/"


def unknown_bucket(bucket: str, store: Store) -> None:
    """Events come from a bucket that is not the source."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,255}", bucket):  # what a bucket can be called; anything else is nobody's bucket
        store.put(UNKNOWN_BUCKETS + bucket, b"", EMPTY)


def sentences(store: Store, source_bucket: str | None) -> tuple[str, ...]:
    """All that an operator should hear just now."""
    names = (entry.removeprefix(UNKNOWN_BUCKETS) for entry in store.list(UNKNOWN_BUCKETS))
    return tuple(
        f"Events arrive from the bucket {name}, which is not LAMBDAZOOM_SOURCE. Correct the setting, or take its notification away."
        for name in names
        if name != source_bucket  # the setting has been corrected since
    )
