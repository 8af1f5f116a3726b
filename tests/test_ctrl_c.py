"""Ctrl-C, wherever it comes: the run ends at once, and leaves no thread, descriptor or memory behind."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.tiler import Tile, tile
from lambdazoom.model.geometry import Pyramid
from tests.leftovers import RECIPE, SIZE, ends_with, leaving_nothing_behind
from tests.leftovers import drawn as drawn  # a fixture
from tests.leftovers import path as path  # a fixture
from tests.leftovers import written as written  # a fixture
from tests.tiling import MAX_PIXELS
from tests.waiting import wait_until


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
