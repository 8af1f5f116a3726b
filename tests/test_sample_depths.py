"""HEIC and AVIF of 10 and 12 bits a sample: the record says that they were reduced; the oracle of depths is exiftool."""

import io
from pathlib import Path

import pytest

from lambdazoom.imaging.boxes import bits_of_avif
from lambdazoom.metadata.exiftool import ExifTool
from tests.conformance.deep import avif, heic
from tests.conformance.seeds import by_pillow, deep, drawn, glass
from tests.files import opened


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_an_avif_of_more_than_8_bits_says_that_it_was_reduced(bits: int, exiftool_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "cat.avif"
    path.write_bytes(avif(deep("RGB"), bits))
    with ExifTool(exiftool_bundle) as exiftool:
        theirs = str(exiftool.read(path).tags["QuickTime:ImagePixelDepth"]["text"])
    assert set(theirs.split()) == {str(bits)}
    assert opened(path).remarks == ((f"{bits} bits a sample were reduced to 8.",) if bits > 8 else ())


@pytest.mark.parametrize("bits", [10, 12])
def test_a_heic_of_more_than_8_bits_says_that_it_was_reduced(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "cat.heic"
    path.write_bytes(heic(bits))
    assert opened(path).remarks == (f"{bits} bits a sample were reduced to 8.",)


def test_what_pillow_writes_has_8_bits(tmp_path: Path) -> None:
    path = tmp_path / "cat.avif"
    for image in (drawn(), glass()):
        path.write_bytes(by_pillow(image, "AVIF"))
        assert not any("bits" in remark for remark in opened(path).remarks)


@pytest.mark.parametrize("size", [0, 3, 11, 40, 100, 200, 300])
def test_boxes_that_are_cut_off_tell_nothing_or_the_truth(size: int) -> None:
    assert bits_of_avif(io.BytesIO(avif(deep("RGB"), 10)[:size])) in (8, 10)


@pytest.mark.parametrize("data", [b"\0" * 99, b"\0\0\0\x08meta", b"\xff\xff\xff\xffmeta" + bytes(20), b"\0\0\0\x01meta" + bytes(20)])
def test_what_are_no_boxes_has_8_bits(data: bytes) -> None:
    file = io.BytesIO(data)
    file.seek(5)
    assert bits_of_avif(file) == 8
    assert file.tell() == 5
