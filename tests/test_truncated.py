"""Files that end too early: refused with the share that could be read, or published with a warning, if that is wished for."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lambdazoom.imaging.formats import Wishes
from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.geometry import MAX_PIXELS
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import generations
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from tests.conftest import picture
from tests.decoding import decode
from tests.files import numbers, opened, pixels_of, refused, saved
from tests.tiff_by_hand import colour, directory_first

ACCEPTED = Wishes(accepts_truncated=True)
WAYS: dict[str, tuple[str, dict[str, object], str]] = {
    "JPEG row by row": ("jpg", {"quality": 95}, "row by row"),
    "PNG row by row": ("png", {}, "row by row"),
    "TIFF band by band": ("tif", {}, "band by band"),
    "turned JPEG": ("jpg", {"quality": 95, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"}, "whole"),
    "BMP": ("bmp", {}, "whole"),
    "TGA": ("tga", {}, "whole"),
}


def cut_off(path: Path, share: float) -> Path:
    os.truncate(path, int(path.stat().st_size * share))
    return path


def drawn(tmp_path: Path, way: str) -> tuple[Path, Path]:
    """Two files of the same picture, the second of which is to be cut."""
    suffix, options, expected = WAYS[way]
    whole, cut = (saved(picture(900, 1200), tmp_path / f"{name}.{suffix}", **options) for name in ("whole", "cut"))
    assert opened(whole).way == expected
    return whole, cut


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("way", WAYS)
def test_the_share_that_could_be_read_is_told(way: str, share: float, tmp_path: Path) -> None:
    _, cut = drawn(tmp_path, way)
    sentence = refused(cut_off(cut, share), CorruptImage)
    assert sentence.startswith(f"{cut.name} is cut off; ")
    assert sentence.endswith(" % could be read. Replace it with a whole file, or set LAMBDAZOOM_TRUNCATED=accept and retry.")
    told = int(sentence.split("; ")[1].split(" ")[0])
    assert abs(told - 100 * share) < 30  # the lower rows of this picture are busier


@pytest.mark.parametrize("way", WAYS)
def test_what_could_be_read_is_shown_if_that_is_wished_for(way: str, tmp_path: Path) -> None:
    whole, cut = drawn(tmp_path, way)
    exact = pixels_of(whole)
    found = decode(cut_off(cut, 0.7), cut.name, MAX_PIXELS, ACCEPTED)
    (remark,) = found.remarks
    assert remark.startswith("The file is cut off: ")
    assert remark.endswith(" % could be read, the rest is empty. Replace it with a whole file.")
    same = (numbers(found.pixels) == exact).all(axis=2).mean()
    assert 0.35 < same < 0.95
    shown = numbers(found.pixels).any(axis=2)
    assert (numbers(found.pixels) == exact).all(axis=2)[shown].mean() > 0.95


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_file_is_not_remarked_on(way: str, tmp_path: Path) -> None:
    whole, _ = drawn(tmp_path, way)
    assert decode(whole, whole.name, MAX_PIXELS, ACCEPTED).remarks == ()


def upright_or_turned(size: tuple[int, int], is_turned: bool, path: Path, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6 if is_turned else 1
    return saved(picture(*size), path, exif=exif, **options).read_bytes()


JPEGS: dict[str, dict[str, object]] = {
    "4:4:4": {"subsampling": "4:4:4", "quality": 95},
    "4:2:0": {"subsampling": "4:2:0"},
    "restarted": {"subsampling": "4:2:2", "restart_marker_rows": 1},
    "few codes": {"subsampling": "4:1:1", "quality": 30, "optimize": True},
}


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("is_turned", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("size", [(7, 5), (310, 250), (900, 1100)], ids="{0[0]}×{0[1]}".format)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_mark_is_whole(kind: str, size: tuple[int, int], is_turned: bool, missing: int, tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    whole = upright_or_turned(size, is_turned, path, **JPEGS[kind])
    exact = pixels_of(path)
    path.write_bytes(whole[:-missing])
    found = opened(path)
    assert found.remarks == ()
    assert np.array_equal(numbers(found.pixels), exact)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("is_turned", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("side", [100, 300, 700, 1500])
def test_an_end_mark_does_not_make_a_jpeg_whole(side: int, is_turned: bool, share: float, tmp_path: Path) -> None:
    """libjpeg makes up what is missing before it, in grey."""
    path = tmp_path / "scan.jpg"
    whole = upright_or_turned((side, side), is_turned, path, quality=90)
    path.write_bytes(whole[: int(len(whole) * share)] + b"\xff\xd9")
    sentence = refused(path, CorruptImage)
    assert sentence.startswith("scan.jpg is cut off; ")
    if " 0 %" not in sentence:
        (remark,) = decode(path, path.name, MAX_PIXELS, ACCEPTED).remarks
        assert remark.startswith("The file is cut off: ")


def test_tiles_behind_the_end_are_left_out_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "scan-014.tif"
    path.write_bytes(directory_first(colour(), 16))
    exact = pixels_of(path)
    cut_off(path, 0.71)
    sentence = "scan-014.tif is cut off; 36 % could be read. Replace it with a whole file, or set LAMBDAZOOM_TRUNCATED=accept and retry."
    assert refused(path, CorruptImage) == sentence  # in whole bands of 256 rows
    found = numbers(decode(path, path.name, MAX_PIXELS, ACCEPTED).pixels)
    assert np.array_equal(found[:256], exact[:256])
    assert not found[256:].any()


@pytest.mark.parametrize("suffix", ["webp", "jp2", "avif", "gif"])
def test_where_what_was_read_can_not_be_told_the_file_stays_refused(suffix: str, tmp_path: Path) -> None:
    path = cut_off(saved(picture(300, 200), tmp_path / f"cut.{suffix}"), 0.6)
    with pytest.raises(CorruptImage) as raised:
        decode(path, path.name, MAX_PIXELS, ACCEPTED)
    assert str(raised.value).endswith("Replace it with a whole file.")


def test_damage_that_is_no_missing_end_stays_refused(tmp_path: Path) -> None:
    path = saved(picture(300, 200), tmp_path / "damaged.png")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 40] = b"\xff" * 40
    path.write_bytes(whole)
    with pytest.raises(CorruptImage):
        decode(path, path.name, MAX_PIXELS, ACCEPTED)


def test_the_setting_publishes_with_a_warning_on_the_record(workspace: Workspace, environment: dict[str, str], source: Path) -> None:
    cut_off(saved(picture(900, 1200), source / "scan-014.jpg"), 0.7)
    image = ImageKey("scan-014.jpg")
    record = settle(image, workspace)
    assert record is not None
    assert record.state(workspace.now()) == State.FAILED
    assert "LAMBDAZOOM_TRUNCATED=accept" in record.complaints[0]
    accepting = open_workspace(Settings.from_env({**environment, "LAMBDAZOOM_TRUNCATED": "accept"}))
    try:
        record = settle(image, accepting, wish=Wish(asked=True))
        assert record is not None
        assert record.state(accepting.now()) == State.PUBLISHED
        assert record.remarks[0].startswith("The file is cut off: ")
        assert generations.published(image, accepting.zoom) is not None
    finally:
        accepting.close()


def test_two_at_once_do_not_change_what_the_other_does(tmp_path: Path) -> None:
    """Pillow's own switch for such files is one for the whole process, and is left alone."""
    path = cut_off(saved(picture(900, 1200), tmp_path / "cut.jpg"), 0.7)

    def outcome(wishes: Wishes) -> str:
        try:
            return decode(path, path.name, MAX_PIXELS, wishes).remarks[0][:20]
        except CorruptImage:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(outcome, [Wishes(), ACCEPTED] * 10))
    assert found == ["refused", "The file is cut off:"] * 10
