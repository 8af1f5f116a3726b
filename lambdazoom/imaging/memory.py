"""Memory for pixels, straight from the system and back to it while a picture is still being read; no Pillow here.

Fresh memory costs more than halving the pixels in it, unless it comes in huge pages; and a picture that streams needs its
first rows no longer when its last ones arrive. Huge pages, giving back, and seeing what was written are each optional.
"""

import ctypes
import mmap
import os
import resource
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

REGION = 2 << 20  # bytes: what is given back, and looked at, at once; a huge page on x86-64 and on arm64 with pages of 4 KiB

_HUGE_PAGE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")  # where the system has them
_LOWEST_BITS = bytes(number & 1 for number in range(256))
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)  # named from Python 3.13 on


class PixelMemory:
    """`size` bytes of zeros in `buffer`, from `start` on; only what is written to takes memory.

    It is written from the front to the back, each byte once, and given back from the front: `written` and `release`.
    """

    def __init__(self, size: int) -> None:
        whole = -(-size // REGION) * REGION
        # one region more, so that ours can begin where one begins, and share none with a neighbour
        self.buffer = mmap.mmap(-1, whole + REGION, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self.start = -self._address % REGION
        self._address += self.start
        self._regions = whole // REGION
        self._released = 0
        self._touched = 0  # regions from the front that hold something
        self._advise("MADV_HUGEPAGE", 0, self._regions)
        self._residency = _Residency()
        is_empty = not (self._residency.of(self._address) or self._residency.of(self._address + whole - REGION))
        self.buffer[self.start] = 0  # of what nobody has written to yet, the first byte
        if not is_empty or not self._residency.of(self._address):
            self._residency.is_known = False  # locked memory, or a system that only says that it knows

    def written(self) -> int:
        """How many bytes from the front are surely there. It lags behind by up to two regions; 0 where the system doesn't tell."""
        while self._touched < self._regions and self._residency.of(self._address + self._touched * REGION):
            self._touched += 1
        return max(0, self._touched - 1) * REGION  # the last one may still be written to

    def reaches(self, offset: int) -> bool:
        """Whether anything near this byte was written; True where the system doesn't tell."""
        return not self._residency.is_known or self._residency.of(self._address + offset // REGION * REGION)

    def release(self, end: int) -> None:
        """Give back what lies before byte `end`; it is never read again."""
        regions = self._regions if end >= self._regions * REGION else end // REGION
        if regions > self._released:
            self._advise("MADV_DONTNEED", self._released, regions)
            self._released = regions

    def close(self) -> None:
        """Give all of it back; no picture over it may be used any more."""
        self.release(self._regions * REGION)
        with suppress(BufferError):  # such a picture still exists, in a traceback say: the address space goes when it goes
            self.buffer.close()

    def _advise(self, name: str, first: int, end: int) -> None:
        advice = getattr(mmap, name, None)
        if advice is not None:
            with suppress(OSError):  # a kernel without it: more time or more memory, the same pixels
                self.buffer.madvise(advice, self.start + first * REGION, (end - first) * REGION)


def pixel_memory(size: int) -> PixelMemory | None:
    """Such memory; None if so much address space is not to be had here."""
    try:
        return PixelMemory(size)
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
