"""Where things are kept: a folder, or a bucket with a prefix; text only, no I/O."""

import re
from dataclasses import dataclass
from pathlib import PurePath

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'() -]+(/[A-Za-z0-9!_.*'() -]+)*")  # what S3 calls safe, and no URL or client changes


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    path: str


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket, or the part of it below `prefix` (without slashes at its ends, "" for the whole bucket)."""

    name: str
    prefix: str = ""

    def overlaps(self, other: "Bucket") -> bool:
        """Whether an object can belong to both."""
        one, two = self.path, other.path
        return self.name == other.name and (one.startswith(two) or two.startswith(one))

    @property
    def path(self) -> str:
        """What every key begins with: the prefix and a slash, or nothing."""
        return f"{self.prefix}/" if self.prefix else ""


def parse_place(text: str) -> Folder | Bucket:
    """The place that a setting names: a path, or `s3://bucket[/prefix]`. ValueError says what would be right."""
    if not text or "\0" in text:
        raise ValueError("the path of a folder, or s3://bucket/prefix")
    if "://" not in text:
        return Folder(text)
    scheme, _, rest = text.partition("://")
    name, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if scheme != "s3" or not _BUCKET.fullmatch(name):
        raise ValueError("the path of a folder, or s3://bucket/prefix")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(PurePath(prefix).parts)):
        raise ValueError("s3://bucket/prefix, the prefix of letters, digits, single slashes and !_.*'() -")
    return Bucket(name, prefix)
