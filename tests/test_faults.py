"""Faults that are put in on purpose: each ends in one clear error, and leaves no thread, descriptor or memory behind."""

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging import mapped
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.tiler import Tile, Tiler, tile
from lambdazoom.model.errors import CorruptImage, StorageError
from lambdazoom.model.geometry import Box, Pyramid, Recipe
from lambdazoom.publishing.export import export
from tests.leftovers import CUT_OFF, RECIPE, Held, ends_with, exported, leaving_nothing_behind
from tests.leftovers import drawn as drawn  # a fixture
from tests.leftovers import path as path  # a fixture
from tests.leftovers import written as written  # a fixture
from tests.tiff_by_hand import directory_first
from tests.tiling import MAX_PIXELS, cut

# What there is of ours


def test_what_a_run_holds_is_seen_here(path: Path) -> None:
    """Or the tests below would prove nothing."""
    seen = list[Held]()
    before = Held.now()
    with leaving_nothing_behind():
        exported(path, lambda done: seen.append(Held.now()) if done == 20 else None)
    (held,) = seen
    assert not held.is_within(before)
    assert held.threads["tile_0"] == 1
    assert any("memfd:tile" in target for target in held.descriptors)
    assert held.mapped_bytes > before.mapped_bytes


# The image


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_truncated_image(share: float, path: Path, drawn: Image.Image) -> None:
    if path.suffix == ".tif":  # in ours the directory comes last, and without it nothing is known
        path.write_bytes(directory_first(np.asarray(drawn), 128))
    os.truncate(path, int(path.stat().st_size * share))
    ends_with(CorruptImage, CUT_OFF, path)


def test_a_damaged_tile_in_the_middle(written: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(written / "scan.tif", tmp_path))
    with TiffImageFile(path) as image, path.open("r+b") as file:
        file.seek(image.tag_v2[324][120])
        file.write(b"\xff" * 2000)
    ends_with(CorruptImage, r"scan\.tif is damaged and can't be decoded \(decoder error -2\)\. Replace it with a whole file\.", path)


def test_what_went_wrong_with_the_last_piece_is_never_overlooked() -> None:
    """Between the end of a piece and the word on what was wrong with it, nobody may find that all is over."""

    class Slow(Tiler):
        def _guarded(self, work: Callable[[], None]) -> None:
            def slowly() -> None:
                try:
                    work()
                except CorruptImage:
                    time.sleep(0.1)
                    raise

            super()._guarded(slowly)

    def fail() -> None:
        raise CorruptImage("scan.tif is damaged.")

    with Slow(Pyramid(300, 200, Recipe()), "L", lambda _: None, workers=1) as tiler:
        tiler.decode(Rows(0, 200), fail)
        with pytest.raises(CorruptImage):
            tiler.finish()


def test_a_file_that_is_cut_while_it_is_read(path: Path) -> None:
    def cut_short(done: int) -> None:
        if done == 5:
            os.truncate(path, 50_000)

    ends_with(CorruptImage, CUT_OFF, path, cut_short)


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(path: Path) -> None:
    expected = cut(path, RECIPE)
    with leaving_nothing_behind():
        found = cut(path, RECIPE, watch=lambda _: path.unlink(missing_ok=True))
    assert found == expected


# The store


@pytest.mark.parametrize("good", [0, 100])
def test_a_store_that_fails(good: int, path: Path) -> None:
    tiles, error = list[Tile](), StorageError("The store did not answer.")

    def sink(each: Tile) -> None:
        if len(tiles) >= good:
            raise error
        tiles.append(each)

    with leaving_nothing_behind(), open_source(path, path.name, MAX_PIXELS) as source, pytest.raises(StorageError) as caught:
        tile(source, Pyramid(source.width, source.height, RECIPE), sink)
    assert caught.value is error


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where one may be mounted; else a folder in which no room is left for us."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk(path: Path, tmp_path: Path) -> None:
    """A real one where tests may mount one; elsewhere /dev/full takes the place of each tile's file."""
    with small_disk(tmp_path / "small") as folder:
        opened = open

        def open_full(name: str, mode: str) -> object:
            return opened("/dev/full" if mode == "wb" else name, mode)

        with leaving_nothing_behind(), pytest.MonkeyPatch.context() as patched, pytest.raises(StorageError) as caught:
            if not os.path.ismount(folder):
                patched.setattr("builtins.open", open_full)
            export(path, folder, Recipe(128, format="png"), MAX_PIXELS, lambda *_: None)
        assert str(caught.value).endswith(f"{os.strerror(errno.ENOSPC)}.")
        assert list(folder.iterdir()) == []


def test_progress_that_can_not_be_shown(path: Path) -> None:
    def show(done: int) -> None:
        if done == 7:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    ends_with(StorageError, re.escape(f"{path.parent / 'out'}: Broken pipe."), path, show)


# The threads


@pytest.mark.parametrize("kind", [MemoryError, SystemExit, ValueError])
def test_a_thread_that_dies_while_it_encodes(kind: type[BaseException], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, calls = mapped.encode_jpeg, list[int]()

    def encode_until(image: Image.Image, box: Box, quality: int, subsampling: str, descriptor: int) -> None:
        calls.append(1)
        if len(calls) > 30:
            raise kind("no more")
        encode(image, box, quality, subsampling, descriptor)

    monkeypatch.setattr(mapped, "encode_jpeg", encode_until)
    ends_with(kind, "no more", path)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_no_room_for_one_thread_more(threads: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python says it when the system refuses; it is not the image's fault."""
    start, started = threading.Thread.start, list[threading.Thread]()

    def start_a_few(thread: threading.Thread) -> None:
        if len(started) >= threads:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_a_few)
    with leaving_nothing_behind(), open_source(path, path.name, MAX_PIXELS) as source, pytest.raises(MemoryError):
        tile(source, Pyramid(source.width, source.height, RECIPE), lambda _: None, workers=8)


def test_a_tiler_that_is_closed_half_way(drawn: Image.Image) -> None:
    with leaving_nothing_behind():
        with Tiler(Pyramid(*drawn.size, RECIPE), "RGB", lambda _: None) as tiler:
            tiler.canvas.pixels.paste(drawn.crop((0, 0, drawn.width, 1500)))
            tiler.add(Rows(0, 1500))
        assert tiler.canvas.memory is not None
        del tiler


# Address space

CONFINED = """
import os, resource, sys, threading
from pathlib import Path
from lambdazoom.imaging import decode, mapped
from lambdazoom.cli import main
from lambdazoom.publishing import export
mapped.can_decode("JPEG")
used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
limit = used + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = len(os.listdir("/proc/self/fd"))
code = main(["tile", sys.argv[2], sys.argv[3]])
assert threading.active_count() == 1, threading.enumerate()
assert len(os.listdir("/proc/self/fd")) == before
sys.exit(code)
"""


@pytest.mark.parametrize("megabytes", [4, 20, 60, 1000])
def test_no_address_space(megabytes: int, path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONFINED, str(megabytes << 20), str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if megabytes == 1000:
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode in (0, 1), done.stderr
    if done.returncode:
        assert done.stderr == "lambdazoom: This needs more memory than there is. Give it more, or save the image smaller.\n"
        assert list(tmp_path.glob("out/*")) == list(tmp_path.glob("out/.*")) == []
