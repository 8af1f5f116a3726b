"""Raw camera files by hand: the containers of several makers, with a preview in each and hardly any raw data; no camera made them.

What makes a TIFF one (TIFF/EP, ISO 12234-2; DNG 1.7; ExifTool's tag tables) is here: directories that lead to each other, a
mosaic of colour filters, and JPEGs where each maker puts them.
"""

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

BYTE, ASCII, SHORT, LONG, UNDEFINED = 1, 2, 3, 4, 7
_CODES = {BYTE: "B", SHORT: "H", LONG: "I", UNDEFINED: "B"}
Value = int | str | bytes | Sequence[int]
Tags = dict[int, tuple[int, Value]]

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, MAKE, MODEL = 254, 256, 257, 258, 259, 262, 271, 272
STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, SUBIFDS, JPEG, JPEG_BYTES = 273, 274, 277, 278, 279, 330, 513, 514
MAIN, REDUCED, YCBCR, CFA, LINEAR = 0, 1, 6, 32803, 34892
CFA_REPEAT, CFA_PATTERN, EXIF, MAKER_NOTE, EXIF_WIDTH, EXIF_HEIGHT, DNG_VERSION = 33421, 33422, 34665, 37500, 40962, 40963, 50706


@dataclass(frozen=True)
class Directory:
    """An image file directory: its tags, as kind and value; `data` under the pair of tags `at`; `below` are those of a tag."""

    tags: Mapping[int, tuple[int, Value]]
    data: bytes = b""
    at: tuple[int, int] = (STRIPS, STRIP_BYTES)
    below: Mapping[int, Sequence["Directory"]] = field(default_factory=dict)


def tiff(chain: Sequence[Directory], order: str = "<", magic: bytes = b"", more: bytes = b"") -> bytes:
    """The file: its head with `more` behind it, and the directories one after the other, each leading to the next."""
    head = magic or (b"II*\0" if order == "<" else b"MM\0*")
    written = bytearray(head + bytes(4) + more)
    slot = len(head)
    for directory in chain:
        start, link = _write(written, directory, order)
        written[slot : slot + 4] = struct.pack(f"{order}I", start)
        slot = link
    return bytes(written)


def _write(written: bytearray, directory: Directory, order: str) -> tuple[int, int]:
    """Where it stands, and where the place of the next one is told."""
    tags = dict(directory.tags)
    if directory.data:
        tags |= {directory.at[0]: (LONG, len(written)), directory.at[1]: (LONG, len(directory.data))}
        written += directory.data + bytes(len(directory.data) % 2)
    for tag, below in directory.below.items():
        tags[tag] = (LONG, [_write(written, each, order)[0] for each in below])
    entries = b""
    for tag, (kind, value) in sorted(tags.items()):
        count, data = _packed(kind, value, order)
        if len(data) > 4:
            place = len(written)
            written += data + bytes(len(data) % 2)
            data = struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI", tag, kind, count) + data.ljust(4, b"\0")
    start = len(written)
    written += struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return start, len(written) - 4


def _packed(kind: int, value: Value, order: str) -> tuple[int, bytes]:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    if isinstance(value, bytes):
        return len(value), value
    values = [value] if isinstance(value, int) else list(value)
    return len(values), struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """The preview, as Pillow writes it."""
    written = io.BytesIO()
    image.save(written, "JPEG", quality=95, **options)
    return written.getvalue()


def mosaic(size: tuple[int, int], photometric: int = CFA) -> Directory:
    """The raw picture itself, of which nobody asks more than its size."""
    told: Tags = {SUBFILE: (LONG, MAIN), WIDTH: (LONG, size[0]), HEIGHT: (LONG, size[1]), BITS: (SHORT, 16), COMPRESSION: (SHORT, 1)}
    more: Tags = {PHOTOMETRIC: (SHORT, photometric), SAMPLES: (SHORT, 1), ROWS: (LONG, size[1])}
    pattern: Tags = {CFA_REPEAT: (SHORT, [2, 2]), CFA_PATTERN: (BYTE, [0, 1, 1, 2])}
    return Directory({**told, **more, **pattern}, bytes(64))


def thumbnail() -> Directory:
    """A small picture as TIFFs have it: what a reader of TIFFs would take for the whole."""
    told: Tags = {SUBFILE: (LONG, REDUCED), WIDTH: (LONG, 16), HEIGHT: (LONG, 12), BITS: (SHORT, [8, 8, 8]), COMPRESSION: (SHORT, 1)}
    return Directory({**told, PHOTOMETRIC: (SHORT, 2), SAMPLES: (SHORT, 3), ROWS: (LONG, 12)}, b"\xc0\x20\x20" * 16 * 12)


def _camera(make: str, model: str, orientation: int) -> Tags:
    return {MAKE: (ASCII, make), MODEL: (ASCII, model), ORIENTATION: (SHORT, orientation)}


def _preview(data: bytes, at: tuple[int, int], **told: int) -> Directory:
    tags = {SUBFILE: (LONG, REDUCED), COMPRESSION: (SHORT, told.get("compression", 6)), PHOTOMETRIC: (SHORT, YCBCR)}
    return Directory(tags, data, at)


def dng(previews: Sequence[bytes], size: tuple[int, int], orientation: int = 1, photometric: int = CFA, order: str = "<") -> bytes:
    """As Adobe's converter writes it: a thumbnail first, the raw picture and its previews below it."""
    above = thumbnail()
    told = {**above.tags, **_camera("Nobody", "Nothing 1", orientation), DNG_VERSION: (BYTE, [1, 4, 0, 0])}
    below = [mosaic(size, photometric), *(_preview(data, (STRIPS, STRIP_BYTES), compression=7) for data in previews)]
    return tiff([Directory(told, above.data, below={SUBIFDS: below})], order)


def nef(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Nikon's: a thumbnail first; below it the JPEG, then the raw picture."""
    above = thumbnail()
    told = {**above.tags, **_camera("NIKON CORPORATION", "NIKON D850", orientation)}
    below = [_preview(preview, (JPEG, JPEG_BYTES)), mosaic(size)]
    return tiff([Directory(told, above.data, below={SUBIFDS: below})], ">")


def arw(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Sony's: the JPEG in the first directory, the raw picture below it."""
    first = _preview(preview, (JPEG, JPEG_BYTES))
    told = {**first.tags, **_camera("SONY", "ILCE-7RM4", orientation)}
    return tiff([Directory(told, preview, (JPEG, JPEG_BYTES), {SUBIFDS: [mosaic(size)]})])


def pef(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Pentax's: the raw picture first, a thumbnail, the JPEG."""
    first = mosaic(size)
    told = {**first.tags, **_camera("PENTAX", "PENTAX K-1", orientation)}
    small = _preview(jpeg(Image.new("RGB", (16, 12))), (JPEG, JPEG_BYTES))
    return tiff([Directory(told, first.data), small, _preview(preview, (JPEG, JPEG_BYTES))], ">")


def cr2(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Canon's: the JPEG as a strip of the first directory, the raw picture in the fourth, its size in the EXIF block."""
    exif = Directory({EXIF_WIDTH: (SHORT, size[0]), EXIF_HEIGHT: (SHORT, size[1])})
    told: Tags = {WIDTH: (SHORT, 16), HEIGHT: (SHORT, 12), BITS: (SHORT, [8, 8, 8]), COMPRESSION: (SHORT, 6)}
    first = Directory({**told, **_camera("Canon", "Canon EOS R", orientation)}, preview, below={EXIF: [exif]})
    small = _preview(jpeg(Image.new("RGB", (16, 12))), (JPEG, JPEG_BYTES))
    return tiff([first, small, thumbnail(), Directory({COMPRESSION: (SHORT, 6)}, bytes(64))], more=b"CR\x02\0" + bytes(4))


def rw2(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Panasonic's: a TIFF with a mark and tags of its own; the JPEG is one of them (ExifTool, PanasonicRaw)."""
    borders: Tags = {2: (SHORT, size[0]), 3: (SHORT, size[1]), 4: (SHORT, 0), 5: (SHORT, 0), 6: (SHORT, size[1]), 7: (SHORT, size[0])}
    told = {**borders, **_camera("Panasonic", "DC-S1R", orientation), 46: (UNDEFINED, preview)}
    return tiff([Directory(told)], magic=b"IIU\0", more=bytes(16))


def orf(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Olympus's: a TIFF with a mark of its own; the JPEG stands in front, the maker's notes tell where (ExifTool, Olympus)."""
    start = 16
    notes = {0x1035: (LONG, 1), 0x1036: (LONG, start), 0x1037: (LONG, len(preview))}
    listed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in notes.items())
    block = b"OLYMP\0\1\0" + struct.pack("<H", len(notes)) + listed + bytes(4)
    first = mosaic(size)
    told = {**first.tags, **_camera("OLYMPUS CORPORATION", "E-M1MarkIII", orientation)}
    exif = Directory({MAKER_NOTE: (UNDEFINED, block)})
    return tiff([Directory(told, first.data, below={EXIF: [exif]})], magic=b"IIRO", more=bytes(8) + preview + bytes(len(preview) % 2))


def raf(preview: bytes, size: tuple[int, int]) -> bytes:
    """Fujifilm's: a head that tells where the JPEG is and where the raw picture's size; its orientation is that of the JPEG's EXIF."""
    sizes = struct.pack(">IHHHH", 1, 0x111, 4, size[1], size[0])
    head = bytearray(b"FUJIFILMCCD-RAW 0201FF129502GFX 100".ljust(148, b"\0"))
    struct.pack_into(">IIII", head, 84, 148, len(preview), 148 + len(preview), len(sizes))
    return bytes(head) + preview + sizes


def cr3(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """Canon's newest: boxes (ISO 14496-12), the JPEG being the only sample of a track, the camera's words a TIFF in a box."""
    words = tiff([Directory(_camera("Canon", "Canon EOS R5", orientation))])
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    told = _box(b"uuid", canon + _box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00") + _box(b"CMT1", words))
    kind = _box(b"ftyp", b"crx \0\0\0\1crx isom")
    tables = len(kind) + len(_movie(told, 0, len(preview), size)) + 8
    return kind + _movie(told, tables, len(preview), size) + _box(b"mdat", preview)


def _movie(told: bytes, place: int, length: int, size: tuple[int, int]) -> bytes:
    entry = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", *size) + bytes(50) + _box(b"JPEG", bytes(4))
    tables = (
        _box(b"stsd", bytes(4) + struct.pack(">I", 1) + _box(b"CRAW", entry)),
        _box(b"stts", bytes(4) + struct.pack(">III", 1, 1, 1)),
        _box(b"stsc", bytes(4) + struct.pack(">IIII", 1, 1, 1, 1)),
        _box(b"stsz", bytes(4) + struct.pack(">III", 0, 1, length)),
        _box(b"co64", bytes(4) + struct.pack(">IQ", 1, place)),
    )
    header = bytes(12) + struct.pack(">I", 1) + bytes(24) + struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    track = _box(b"tkhd", header + struct.pack(">II", *(side << 16 for side in size)))
    handler = _box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    clock = _box(b"mdhd", bytes(12) + struct.pack(">II", 1, 1) + bytes(4))
    media = _box(b"mdia", clock + handler + _box(b"minf", _box(b"stbl", b"".join(tables))))
    return _box(b"moov", told + _box(b"trak", track + media))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content
