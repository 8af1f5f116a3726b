"""What may be done to originals when somebody asks for it: handing one out, adding one, deleting one; no implementation.

A Source (storage/base.py) only reads; this is the one other way to originals, and only the pages and their API take it. Nothing
here ever overwrites an original.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lambdazoom.model.keys import SourceObject
from lambdazoom.model.uploads import Part, Plan, Upload


@dataclass(frozen=True)
class Signed:
    """A request that anybody may send who knows it: PUT the part to `url` with exactly these headers."""

    url: str
    headers: dict[str, str]


class Originals(Protocol):
    """The originals of a source. All methods raise the StorageErrors of model/errors.py."""

    @property
    def origin(self) -> str:
        """Scheme and host that parts are sent to, beside our own; "" if they come to us."""

    def plan(self, size: int) -> Plan:
        """How a file of that size is to be cut."""

    def begin(self, key: str, plan: Plan, content_type: str) -> Upload:
        """A new upload. AlreadyThere if there is such an original, NoRoom, Unstorable."""

    def signed(self, upload: Upload, part: Part, content_type: str) -> Signed | None:
        """How a browser sends the part to the store itself; None if it has to come through us."""

    def complete(self, upload: Upload, etags: Sequence[str]) -> None:
        """Let the original appear, whole. AlreadyThere if another has come in between, Incomplete, NotFound for an unknown upload."""

    def abort(self, upload: Upload) -> None:
        """Forget the upload and what was sent of it."""

    def download(self, found: SourceObject, file_name: str) -> Path | str:
        """The original's file, or an address that is good for some minutes and makes browsers keep it as `file_name`."""

    def delete(self, key: str) -> bool:
        """Delete the original; whether the store keeps a version of it all the same. NotFound if there is none."""
