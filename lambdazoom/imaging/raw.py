"""Which files are raw camera files, told by their content; nothing of them is decoded here.

Most are TIFFs whose picture is a mosaic behind colour filters (TIFF/EP, ISO 12234-2; DNG 1.7), and which hold small pictures too: a
reader of TIFFs that knows no mosaic would show one of those for the whole.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lambdazoom.imaging import signatures

_PHOTOMETRIC, _SUB_DIRECTORIES = 262, 330  # TIFF 6.0, section 8; TIFF technical note 1
_CANON = b"CR\x02"  # behind a TIFF's head: CR2, which says nothing of a mosaic
_RAW = (32803, 34892)  # a mosaic; what was a mosaic and is linear still
_KINDS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # of tags that hold numbers or places
_MOST_DIRECTORIES, _MOST_TAGS, _MOST_PLACES = 64, 512, 16


def is_raw(path: Path) -> bool:
    """Whether the file is a raw camera file. Raises OSError."""
    with path.open("rb") as opened:
        return is_raw_file(opened)


def is_raw_file(opened: BinaryIO) -> bool:
    """The same of an open file, which is left at its beginning."""
    opened.seek(0)
    head = opened.read(signatures.HEAD_BYTES)
    found = bool(signatures.match(head, signatures.RAWS))
    if not found and head.startswith(signatures.TIFF):
        found = head.startswith(_CANON, 8) or any(photometric in _RAW for photometric in _photometrics(opened, head))
    opened.seek(0)
    return found


def _photometrics(opened: BinaryIO, head: bytes) -> Iterator[int]:
    """The photometric interpretation of each directory of a TIFF and of those below, as far as they can be read."""
    order, is_big = "<" if head.startswith(b"II") else ">", head[2:4] in (b"+\0", b"\0+")
    if len(head) < 16:
        return
    ahead, seen = [struct.unpack_from(f"{order}Q", head, 8)[0] if is_big else struct.unpack_from(f"{order}I", head, 4)[0]], set[int]()
    while ahead and len(seen) < _MOST_DIRECTORIES:
        place = ahead.pop(0)
        if not place or place in seen:
            continue
        seen.add(place)
        try:
            tags, following = _directory(opened, place, order, is_big)
        except (struct.error, OSError, OverflowError, ValueError):
            continue  # it is not there, or not whole
        yield from tags.get(_PHOTOMETRIC, ())[:1]
        ahead += [*tags.get(_SUB_DIRECTORIES, ()), following]


def _directory(opened: BinaryIO, place: int, order: str, is_big: bool) -> tuple[dict[int, tuple[int, ...]], int]:
    """Those of its tags that matter, and where the next one is. Raises what reading and unpacking raise."""
    count_as, entry_as, next_as = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
    opened.seek(place)
    (count,) = struct.unpack(f"{order}{count_as}", opened.read(struct.calcsize(f"{order}{count_as}")))
    if count > _MOST_TAGS:
        raise ValueError("no directory has so many tags")
    entry_size, next_size = struct.calcsize(f"{order}{entry_as}"), struct.calcsize(f"{order}{next_as}")
    block = opened.read(count * entry_size + next_size)
    entries = struct.iter_unpack(f"{order}{entry_as}", block[: count * entry_size])
    wanted = [entry for entry in entries if entry[0] in (_PHOTOMETRIC, _SUB_DIRECTORIES)]
    tags = {tag: _values(opened, kind, number, value, order) for tag, kind, number, value in wanted}
    (following,) = struct.unpack_from(f"{order}{next_as}", block, count * entry_size)
    return tags, following


def _values(opened: BinaryIO, kind: int, number: int, value: bytes, order: str) -> tuple[int, ...]:
    """The numbers of a tag: they stand in it, or where it points."""
    if kind not in _KINDS:
        return ()
    layout = f"{order}{min(number, _MOST_PLACES)}{_KINDS[kind]}"
    size = struct.calcsize(layout)
    if size > len(value):
        opened.seek(int.from_bytes(value, "little" if order == "<" else "big"))
        value = opened.read(size)
    return struct.unpack_from(layout, value)
