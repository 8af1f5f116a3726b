"""The names in a zip that lies behind an address: read by ranges, for only its end tells them. What is in the files is not fetched."""

import io
import re
import urllib.request
from http.client import HTTPException
from zipfile import BadZipFile, ZipFile

from lambdazoom.model.errors import StorageError

_SECONDS = 30
_BUFFER_BYTES = 2**18
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]+)")


def names_in(address: str) -> frozenset[str]:
    """The names of all files in the zip; StorageError if it can't be read."""
    try:
        with ZipFile(io.BufferedReader(_RemoteFile(address), _BUFFER_BYTES)) as archive:
            return frozenset(archive.namelist())
    except (OSError, HTTPException, BadZipFile) as error:
        reason = str(error).partition("?")[0]  # what follows would be the address's signature
        raise StorageError(f"The function's code could not be read ({type(error).__name__}: {reason}). Try again later.") from error


class _RemoteFile(io.RawIOBase):
    """A file behind an address, whose server answers ranges (RFC 9110, 14)."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._at = 0
        _, self._size = self._fetch(0, 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # typeshed: any writable buffer; io passes this one
        if self._at >= self._size:
            return 0
        data, _ = self._fetch(self._at, min(self._at + len(buffer), self._size) - 1)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetch(self, first: int, last: int) -> tuple[bytes, int]:
        """The bytes from the first to the last, and how many the whole file has."""
        request = urllib.request.Request(self._address, headers={"Range": f"bytes={first}-{last}"})  # noqa: S310 (Lambda itself told it)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            total = _TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
            if total is None:
                raise OSError("the server answers no ranges")
            return answer.read(), int(total[1])
