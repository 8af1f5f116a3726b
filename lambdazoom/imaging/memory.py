"""Memory for pixels, straight from the system and back to it while a picture is still being read; no Pillow here.

Fresh memory costs more than halving the pixels in it, unless it comes in huge pages; and a picture that streams needs its
first rows no longer when its last ones arrive. What the first ones were in is then moved behind: the system need not fill it
with zeros again, an eighth of all time. Huge pages, moving, giving back, and seeing what was written are each optional.
"""

import ctypes
import mmap
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO

REGION = 2 << 20  # bytes: what is given back, and looked at, at once; a huge page on x86-64 and on arm64 with pages of 4 KiB

_HUGE_PAGE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")  # where the system has them
_MAY_MOVE, _FIXED, _DONT_UNMAP = 1, 2, 4  # mremap(2)
_LOWEST_BITS = bytes(number & 1 for number in range(256))
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)  # named from Python 3.13 on


class PixelMemory:
    """`size` bytes in `buffer`, from `start` on, at first zeros; only what is written to takes memory.

    It is written from the front to the back, each byte once, and given up from the front: `written` and `release`. If `expect` is
    called, too, rows of `stride` bytes are written, and where `written` is asked for, the last byte of each must not be 0 then.
    """

    def __init__(self, size: int, stride: int = 0) -> None:
        whole = -(-size // REGION) * REGION
        # one region more, so that ours can begin where one begins, and share none with a neighbour
        self.buffer = mmap.mmap(-1, whole + REGION, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self.start = -self._address % REGION
        self._address += self.start
        self._stride = stride
        self._regions = whole // REGION
        self._touched = 0  # regions from the front that hold something
        self._moving = Lock()  # guards all below
        self._released = self._gone = 0  # regions from the front: not needed any more; those of them that are moved or given back
        self._moved_to = 0  # regions from the front: up to there all are written to, or hold what was moved there
        self._expected = 0  # bytes from the front
        self._is_kept = False  # what is released, to be moved
        self._advise("MADV_HUGEPAGE", 0, self._regions)
        self._residency = _Residency()
        is_empty = not (self._residency.of(self._address) or self._residency.of(self._address + whole - REGION))
        self.buffer[self.start] = 0  # of what nobody has written to yet, the first byte
        if not is_empty or not self._residency.of(self._address):
            self._residency.is_known = False  # locked memory, or a system that only says that it knows

    def written(self) -> int:
        """How many bytes from the front are surely there. It lags behind by up to two regions; 0 where the system doesn't tell."""
        while self._touched < self._regions and self._is_begun(self._touched):
            self._touched += 1
        return max(0, self._touched - 1) * REGION  # the last one may still be written to

    def expect(self, end: int) -> None:
        """Say that bytes up to `end` are about to be written, and none behind them that `written` can't see.

        Those of earlier calls may be being written to now. What was released is moved to where they come.
        """
        with self._moving:
            first = self._first_unwritten()
            self._expected = max(self._expected, end)
            regions = min(self._released - self._gone, self._regions - first)
            self._is_kept = 0 < self._stride <= REGION and _mremap() is not None
            if self._is_kept and regions > 0:
                self._move(self._gone, first, regions)

    def release(self, end: int) -> None:
        """Give up what lies before byte `end`; it is never read again."""
        with self._moving:
            self._released = max(self._released, self._regions if end >= self._regions * REGION else end // REGION)
            if not self._is_kept or self._first_unwritten() >= self._regions:
                self._give_back()

    def forget_unwritten(self) -> None:
        """Let what was moved be zeros, as far as nobody has written to it since, or is going to."""
        self.written()
        unwritten = (last for last in self._row_ends(max(0, self._touched - 1), self._moved_to) if not self.buffer[last])
        if last := next(unwritten, 0):
            row = last + 1 - self._stride - self.start
            ctypes.memset(self._address + row, 0, self._moved_to * REGION - row)

    def close(self) -> None:
        """Give all of it back; no picture over it may be used any more."""
        self._advise("MADV_DONTNEED", 0, self._regions)
        with suppress(BufferError):  # such a picture still exists, in a traceback say: the address space goes when it goes
            self.buffer.close()

    def _is_begun(self, region: int) -> bool:
        if region < self._moved_to:
            return any(self.buffer[last] for last in self._row_ends(region, region + 1)[:1])
        return self._residency.of(self._address + region * REGION)

    def _first_unwritten(self) -> int:
        """From this region on, nobody has written or is writing, and nothing was moved."""
        return max(self._touched, self._moved_to, -(-self._expected // REGION))

    def _row_ends(self, first: int, end: int) -> range:
        """Where in the buffer the last bytes of rows lie, in these regions."""
        if first >= end:
            return range(0)
        row = first * REGION // self._stride
        return range(self.start + (row + 1) * self._stride - 1, self.start + end * REGION, self._stride)

    def _move(self, source: int, target: int, regions: int) -> None:
        """Have the memory of some regions in the place of others, of which nothing is needed."""
        move, size = _mremap(), regions * REGION
        address, wanted = (self._address + region * REGION for region in (source, target))
        if move and move(address, size, size, _MAY_MOVE | _FIXED | _DONT_UNMAP, wanted) == wanted:
            ends = self._row_ends(target, target + regions)
            self.buffer[ends.start : ends.stop : ends.step] = bytes(len(ends))
            self._gone, self._moved_to = source + regions, target + regions
        else:
            self._give_back()

    def _give_back(self) -> None:
        if self._released > self._gone:
            self._advise("MADV_DONTNEED", self._gone, self._released)
            self._gone = self._released

    def _advise(self, name: str, first: int, end: int) -> None:
        advice = getattr(mmap, name, None)
        if advice is not None:
            with suppress(OSError):  # a kernel without it: more time or more memory, the same pixels
                self.buffer.madvise(advice, self.start + first * REGION, (end - first) * REGION)


def pixel_memory(size: int, stride: int = 0) -> PixelMemory | None:
    """Such memory; None if so much address space is not to be had here."""
    try:
        return PixelMemory(size, stride)
    except (OSError, ValueError, OverflowError):
        return None


class _Residency:
    """Which regions of fresh memory the system has had to fill: mincore(2)."""

    def __init__(self) -> None:
        self._pages = ctypes.create_string_buffer(REGION // mmap.PAGESIZE)
        self.is_known = not _has_larger_pages()  # else one write would fill more than a region, and say too much
        try:
            self._mincore = ctypes.PyDLL(None).mincore  # too short to let others have the GIL, and then wait for it
        except (OSError, AttributeError):
            self.is_known = False
        else:
            self._mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)

    def of(self, address: int) -> bool:
        """Whether anything of the region at this address is there."""
        if not self.is_known or self._mincore(address, REGION, self._pages) != 0:
            return False
        return 1 in self._pages.raw.translate(_LOWEST_BITS)


def _has_larger_pages() -> bool:
    try:
        return int(_HUGE_PAGE.read_text(encoding="ascii")) > REGION
    except (OSError, ValueError):
        return mmap.PAGESIZE > REGION


@cache
def _mremap() -> Callable[..., int] | None:
    """The system's, where it has one that can leave the source in its place, empty (Linux 5.7)."""
    try:
        function = ctypes.PyDLL(None).mremap
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p)
    function.restype = ctypes.c_void_p
    return function


def resident_memory() -> int:
    """The memory that this process holds now, in bytes; where the system doesn't tell, the most that it has held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int:
    """The most memory that this process has held at once since `forget_peak`, else since its start, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, ValueError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Let `peak_memory` begin anew, where the system can (Linux: proc(5), clear_refs)."""
    with suppress(OSError):
        os.write(_clear_refs(), b"5")


@cache
def _clear_refs() -> int:
    """Opened once, for good: a process that has hidden its environment (metadata.process) can't open it any more, but write to it."""
    return os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)


def anonymous_file() -> BinaryIO:
    """A file without a name, in memory where the system has such (memfd), for what only writes to a real descriptor."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("tile", os.MFD_CLOEXEC), "w+b", buffering=0)
    import tempfile  # elsewhere nobody needs it here, and it takes as long to load as Pillow's core

    return tempfile.TemporaryFile(buffering=0)
