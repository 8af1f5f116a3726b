"""A PNG's image data decompressed on a thread of its own, for Pillow to read as if it had been stored plainly.

Half of the work of decoding a PNG is decompression, the other half turns differences into pixels; Pillow does both on one
core. So we decompress, and hand it a PNG whose image data is not compressed (RFC 1950; RFC 1951, 3.2.4).
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread

try:
    from isal import isal_zlib as inflating  # more than twice as fast, where there is a wheel of it
except ImportError:
    import zlib as inflating  # type: ignore[no-redef]

_DAMAGED: tuple[type[Exception], ...] = (zlib.error, getattr(inflating, "IsalError", zlib.error), struct.error)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
_HEADER_BYTES = 33  # the signature, and IHDR, which comes first (W3C PNG, 5.2, 5.6)
_READ_BYTES, PIECE_BYTES = 64 << 10, 2 * 65535  # of compressed and of decompressed data at once
_PIECES = 8  # decompressed, and not yet read
_STORED_BYTES = 65535  # the most that a stored block can hold
_ZLIB_HEADER, _LAST_BLOCK = b"\x78\x01", b"\x01\x00\x00\xff\xff"
_END = struct.pack(">L4sL", 0, b"IEND", 0xAE426082)


class InflatedPng(io.RawIOBase):
    """A PNG file, read from front to back: its header, its image data in stored blocks, and its end; nothing else.

    It tells of each chunk that is asked for by `on_read`. `read` raises zlib.error for damaged data; a file that ends too early
    gives one that does too. Used as a context manager, it leaves no thread behind. `descriptor` stays open, and where it stands.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.on_read: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._start, self._part, self._at = 0, os.pread(descriptor, _HEADER_BYTES, 0), 0
        self._most = _bytes_of_pixels(self._part)  # of data: what comes behind them is no picture
        self._parts: Queue[bytes | BaseException] = Queue(_PIECES)
        self._closing = Event()
        self._thread = Thread(target=self._inflate, name="inflate", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # there is no room for one thread more
            raise MemoryError(str(error)) from error

    def read(self, size: int = -1) -> bytes:
        """As of any file; never more than what is left of one chunk."""
        if self._at == len(self._part) and self._part is not _END:
            self.on_read()
            part = self._parts.get()
            if isinstance(part, _DAMAGED):
                raise zlib.error(str(part)) from part
            if isinstance(part, BaseException):
                raise part
            self._start, self._part, self._at = self._start + len(self._part), part, 0
        end = len(self._part) if size < 0 else self._at + size
        data = self._part[self._at : end]
        self._at += len(data)
        return data

    def tell(self) -> int:
        """As of any file."""
        return self._start + self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file, but only inside the chunk that is being read."""
        if whence != os.SEEK_SET or not 0 <= offset - self._start <= len(self._part):
            raise io.UnsupportedOperation("only inside a chunk")
        self._at = offset - self._start
        return offset

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        while self._thread.is_alive():
            with suppress(Empty):
                self._parts.get_nowait()
            self._thread.join(0.01)
        super().close()

    def _inflate(self) -> None:
        try:
            for part in self._chunks():
                self._hand_over(part)
                if self._closing.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 (whatever it is, `read` raises it, or would wait for ever)
            self._hand_over(error)

    def _hand_over(self, part: bytes | BaseException) -> None:
        while not self._closing.is_set():
            with suppress(Full):
                self._parts.put(part, timeout=0.1)
                return

    def _chunks(self) -> Iterator[bytes]:
        """The IDAT chunks, uncompressed, and the end."""
        check, start, size = 1, _ZLIB_HEADER, 0
        inflater = inflating.decompressobj()
        for data in self._compressed():
            while data and not inflater.eof and size <= self._most:
                piece = inflater.decompress(data, PIECE_BYTES)
                data, size = inflater.unconsumed_tail, size + len(piece)
                check = inflating.adler32(piece, check)
                yield _chunk(start, *_stored(piece))
                start = b""
            if inflater.eof or size > self._most:
                yield _chunk(_LAST_BLOCK, struct.pack(">L", check))
                break
        yield _END

    def _compressed(self) -> Iterator[bytes]:
        """What the IDAT chunks hold, in larger pieces."""
        position, gathered, size = _HEADER_BYTES, [], 0
        head = os.pread(self._descriptor, 8, position)
        while len(head) == 8:
            length, kind = struct.unpack(">L4s", head)
            position += 8
            if kind == b"IDAT":
                for start in range(0, length, _READ_BYTES):
                    gathered.append(os.pread(self._descriptor, min(_READ_BYTES, length - start), position + start))
                    size += len(gathered[-1])
                    if size >= _READ_BYTES:
                        yield b"".join(gathered)
                        gathered, size = [], 0
            elif gathered:
                break
            position += length + 4
            head = os.pread(self._descriptor, 8, position)
        yield b"".join(gathered)


def _bytes_of_pixels(header: bytes) -> int:
    """What the image data of a PNG of this header have, without interlacing (W3C PNG, 9.1, 11.2.1)."""
    width, height, depth, colour = (int.from_bytes(header[start:end]) for start, end in ((16, 20), (20, 24), (24, 25), (25, 26)))
    return height * (1 + -(-width * depth * _SAMPLES.get(colour, 4) // 8))


def _stored(data: bytes) -> Iterator[bytes | memoryview]:
    whole = memoryview(data)
    for start in range(0, len(data), _STORED_BYTES):
        size = min(_STORED_BYTES, len(data) - start)
        yield struct.pack("<BHH", 0, size, size ^ 0xFFFF)
        yield whole[start : start + size]


def _chunk(*parts: bytes | memoryview) -> bytes:
    # Pillow does not look at the checksum of image data; that of what was compressed, zlib has checked
    return b"".join((struct.pack(">L4s", sum(map(len, parts)), b"IDAT"), *parts, bytes(4)))
