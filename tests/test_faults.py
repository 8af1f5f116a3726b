"""Faults that are put in on purpose: each ends in one clear error, and leaves no thread, descriptor or memory behind."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging import mapped
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.tiler import Tile, Tiler, tile
from lambdazoom.model.errors import CorruptImage, StorageError
from lambdazoom.model.geometry import Box, Pyramid, Recipe
from lambdazoom.publishing.export import export
from tests.conftest import picture
from tests.test_tiff_bands import directory_first
from tests.tiling import MAX_PIXELS, cut, threads_of_ours

SIZE = (1500, 2600)
SUFFIXES = ("jpg", "png", "tif")
RECIPE = Recipe(128)
CUT_OFF = r"scan\.\w+ is cut off(; \d+ % could be read)?\. Upload it again(, or set LAMBDAZOOM_TRUNCATED=accept and retry)?\."


@pytest.fixture(scope="module")
def drawn() -> Image.Image:
    """A picture that compresses badly, so that reading it takes a while."""
    noise = Image.effect_noise(SIZE, 60).convert("RGB")
    return Image.blend(picture(*SIZE), noise, 0.5)


@pytest.fixture(scope="module")
def written(drawn: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of each kind that streams."""
    folder = tmp_path_factory.mktemp("written")
    drawn.save(folder / "scan.jpg", quality=95)
    drawn.save(folder / "scan.png", compress_level=1)
    data = pyvips.Image.new_from_memory(drawn.tobytes(), *drawn.size, 3, "uchar").copy(interpretation="srgb")
    data.tiffsave(str(folder / "scan.tif"), compression="lzw", tile=True, tile_width=128, tile_height=128)
    return folder


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, written: Path, tmp_path: Path) -> Path:
    """One of them, to be ruined."""
    return Path(shutil.copy(written / f"scan.{request.param}", tmp_path))


# What there is of ours


@dataclass(frozen=True)
class Held:
    """What a run holds while it works. `mapped_bytes` are those of mappings that want huge pages: nobody else asks for them."""

    threads: Counter[str]
    descriptors: Counter[str]
    mapped_bytes: int

    @classmethod
    def now(cls) -> "Held":
        descriptors = Counter(target for name in os.listdir("/proc/self/fd") if (target := _target(name)))  # noqa: PTH208
        return cls(Counter(threads_of_ours()), descriptors, sum(_wanting_huge_pages()))

    def is_within(self, other: "Held") -> bool:
        return self.threads <= other.threads and self.descriptors <= other.descriptors and self.mapped_bytes <= other.mapped_bytes


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    except OSError:  # the listing's own, and already gone
        return ""


def _wanting_huge_pages() -> Iterator[int]:
    size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size = int(line.split()[1]) * 1024
        if line.startswith("VmFlags:") and {"hg", "nr"} <= set(line.split()):
            yield size


@contextmanager
def leaving_nothing_behind() -> Iterator[None]:
    """Fails if a second later more is held than before."""
    before = Held.now()
    yield
    deadline = time.monotonic() + 1
    while not Held.now().is_within(before):
        assert time.monotonic() < deadline, (before, Held.now())
        time.sleep(0.01)


def exported(path: Path, watch: Callable[[int], None] = lambda _: None) -> None:
    """As `tile` does it; `watch` hears how many tiles are done."""
    export(path, path.parent / "out", RECIPE, MAX_PIXELS, lambda done, _: watch(done))


def ends_with(error: type[BaseException], sentence: str, path: Path, watch: Callable[[int], None] = lambda _: None) -> None:
    with leaving_nothing_behind():
        with pytest.raises(error) as caught:
            exported(path, watch)
        assert type(caught.value) is error
        assert re.fullmatch(sentence, str(caught.value)), str(caught.value)
        del caught
    assert list(path.parent.glob("out/*")) == list(path.parent.glob("out/.*")) == []


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
    ends_with(CorruptImage, r"scan\.tif is damaged and can't be decoded \(decoder error -2\)\. Upload it again\.", path)


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


# Ctrl-C


def interrupt() -> None:
    """A real signal, to the main thread."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as Python takes it by itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("tiles", [1, 50, 200])
def test_ctrl_c_while_it_decodes(tiles: int, path: Path, ctrl_c: None) -> None:
    ends_with(KeyboardInterrupt, "", path, lambda done: interrupt() if done == tiles else None)


def interrupted_when(path: Path, image_height: int) -> None:
    """Ctrl-C while the store holds all up: the main thread waits, for room or for the end."""
    opened, done = threading.Event(), list[Tile]()

    def sink(each: Tile) -> None:
        opened.wait(20)
        done.append(each)

    def press_and_open() -> None:
        time.sleep(0.6)
        interrupt()
        time.sleep(0.1)
        opened.set()

    with Image.open(path) as image:
        assert image.height == image_height
    with leaving_nothing_behind(), open_source(path, path.name, MAX_PIXELS) as source:
        pressing = threading.Thread(target=press_and_open)
        pressing.start()
        pyramid = Pyramid(source.width, source.height, RECIPE)
        with pytest.raises(KeyboardInterrupt):
            tile(source, pyramid, sink)
        pressing.join()
        assert 0 < len(done) < pyramid.tile_count / 2, "what waited was given up"


def test_ctrl_c_while_it_waits_for_room(path: Path, ctrl_c: None) -> None:
    interrupted_when(path, SIZE[1])


def test_ctrl_c_while_it_waits_for_the_end(drawn: Image.Image, tmp_path: Path, ctrl_c: None) -> None:
    path = tmp_path / "low.jpg"
    drawn.crop((0, 0, 1800, 400)).save(path)
    interrupted_when(path, 400)


def test_ctrl_c_ends_the_command(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lambdazoom", "tile", str(path), str(tmp_path / "out"), "--tile-size", "16", "--format", "webp"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(tmp_path.glob("out/.scan_files-*/12/*"))) > 20)
    process.send_signal(signal.SIGINT)
    pressed = time.monotonic()
    output, errors = process.communicate(timeout=30)
    assert time.monotonic() - pressed < 5
    assert (process.returncode, output, errors.splitlines()[-1]) == (1, "", "lambdazoom: stopped.")
    assert list((tmp_path / "out").iterdir()) == []


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Address space

CONFINED = """
import os, resource, sys, threading
from pathlib import Path
from lambdazoom.imaging import decode, mapped
from lambdazoom.cli import main
from lambdazoom.publishing import export
mapped.can_map()
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
