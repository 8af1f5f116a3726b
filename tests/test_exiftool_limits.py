"""Files that want too much of exiftool, and damaged ones by the thousand: bounded in memory, bytes and time, and the next file is read."""

import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.metadata.process import MAX_REPLY_BYTES, MEMORY_BYTES
from lambdazoom.model.errors import ExifToolFailed, ExifToolTimeout, UnsupportedImage
from lambdazoom.publishing.raws import picture_of
from tests import raws
from tests.conformance import fuzz
from tests.conformance.seeds import by_pillow, drawn, with_chunks
from tests.conftest import picture
from tests.files import chunk

PROJECT = Path(__file__).parents[1]
SECONDS = 8
LARGE = (320, 240)


@pytest.fixture
def exiftool(exiftool_bundle: Path) -> Iterator[ExifTool]:
    with ExifTool(exiftool_bundle, seconds=20) as running:
        yield running


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A raw camera file of which all can be read."""
    path = tmp_path / "sound.nef"
    path.write_bytes(raws.nef(raws.jpeg(picture(*LARGE)), LARGE))
    return path


def with_text_of(size: int) -> bytes:
    """A PNG with a text that inflates to so many bytes, times 16 MiB (RFC 1950, 1951): the same piece again and again."""
    length = 2**24
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(b"a" * length) + packer.flush(zlib.Z_FULL_FLUSH)
    low, high = 1, 0
    for _ in range(size):
        high = (high + length * low + ord("a") * (length * (length + 1) // 2)) % 65521
        low = (low + ord("a") * length) % 65521
    packed = b"\x78\xda" + piece * size + b"\x03\0" + struct.pack(">HH", high, low)
    return with_chunks(by_pillow(drawn(), "PNG"), chunk(b"zTXt", b"Comment\0\0" + packed))


def test_no_damaged_file_is_read_otherwise_than_it_should(tmp_path: Path) -> None:
    """By hand: `python -m tests.conformance.fuzz_metadata --seconds 600`, and `--case N` for one that went wrong."""
    command = [sys.executable, "-m", "tests.conformance.fuzz_metadata", "--seconds", str(SECONDS)]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=20 * SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = {name: int(count) for name, count in re.findall(r"([a-z-]+)=(\d+)", done.stdout)}
    assert fuzz.WRONG not in counts, done.stderr[:3000]
    assert sum(counts.values()) >= len(fuzz.files()) + 60
    assert {"read", "exiftool-failed", "raw-shown", "raw-unsupported-image"} <= set(counts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits the memory of another process")
def test_a_text_that_inflates_to_gigabytes_takes_neither_the_memory_nor_the_next_file(
    exiftool: ExifTool, sound: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(with_text_of(256))
    assert path.stat().st_size < 5 * 2**20
    with pytest.raises(ExifToolFailed, match="stopped in the middle"):
        exiftool.read(path)
    assert exiftool.read(sound).tags["File:FileType"]["text"] == "NEF"


def test_a_text_that_inflates_to_more_than_any_file_has_to_say_is_not_taken(exiftool: ExifTool, sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(with_text_of(5))
    assert MAX_REPLY_BYTES < 5 * 2**24
    with pytest.raises(ExifToolFailed, match="says more than 67,108,864 bytes"):
        exiftool.read(path)
    assert exiftool.read(sound).tags["File:FileType"]["text"] == "NEF"


def test_a_preview_of_more_bytes_than_are_taken_is_none(exiftool: ExifTool, sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "cat.raf"
    path.write_bytes(raws.raf(raws.jpeg(picture(*LARGE)) + bytes(MAX_REPLY_BYTES), LARGE))
    with (
        pytest.raises(UnsupportedImage, match=r"without a preview that could be shown\. Save it as JPEG or TIFF\."),
        picture_of(path, "cat.raf", lambda: nullcontext(exiftool)),
    ):
        pass
    assert exiftool.read(sound).tags["File:FileType"]["text"] == "NEF"


def test_a_hung_exiftool_ends_the_taking_out_and_the_next_file_is_shown(exiftool_bundle: Path, sound: Path) -> None:
    with ExifTool(exiftool_bundle, seconds=5) as exiftool:
        exiftool.read(sound)
        child = exiftool.pid
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(ExifToolTimeout):
            exiftool.extract(sound, "EXIF:SubIFD:JpgFromRaw")
        assert exiftool.pid is None
        with picture_of(sound, "sound.nef", lambda: nullcontext(exiftool)) as found:
            assert found.remarks


def test_the_bytes_of_a_tag_are_those_of_the_file(exiftool: ExifTool, sound: Path) -> None:
    assert exiftool.extract(sound, "EXIF:SubIFD:JpgFromRaw") == raws.jpeg(picture(*LARGE))
    assert exiftool.extract(sound, "EXIF:SubIFD:PreviewImage") == b""


@pytest.mark.parametrize(
    "key", ["", "EXIF:Make\n-if\nsystem('id')", "-ver", "Ver", "G0:1", "Präview", "EXIF::Make", "Make=x", "Make<Model", "*"]
)
def test_a_key_that_is_none_of_exiftools_is_not_asked_for(key: str, exiftool: ExifTool, sound: Path) -> None:
    whole = sound.read_bytes()
    assert exiftool.extract(sound, key) == b""
    assert exiftool.pid is None
    assert sound.read_bytes() == whole


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_process_may_hold_only_so_much_and_leaves_no_core(exiftool: ExifTool, sound: Path) -> None:
    exiftool.read(sound)
    limits = Path(f"/proc/{exiftool.pid}/limits").read_text()
    assert re.search(rf"^Max address space +{MEMORY_BYTES} +{MEMORY_BYTES} ", limits, re.MULTILINE)
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
