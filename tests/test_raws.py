"""Raw camera files: recognised by content, shown by their largest preview, upright, with a remark; else refused with a way out.

The files are made by hand (tests/raws.py); the oracle is exiftool's own command line, which takes a preview out to compare it with.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.formats import looks_like_an_image
from lambdazoom.imaging.previews import Preview, preview_of, with_orientation
from lambdazoom.imaging.raw import is_raw
from lambdazoom.imaging.signatures import is_image_name
from lambdazoom.imaging.upright import orientation, turned
from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import ImageTooLarge, UnsupportedImage
from lambdazoom.model.geometry import Recipe
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Outcome
from lambdazoom.publishing.export import export
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.raws import picture_of
from lambdazoom.publishing.workspace import Workspace
from tests import raws
from tests.conformance.seeds import SIZE, adobe_flag, by_pillow, drawn
from tests.conftest import picture
from tests.decoding import Decoded, decode
from tests.files import refused
from tests.tiff_by_hand import LONG, SHORT, tiff_of

PROJECT = Path(__file__).parents[1]
LARGE = (320, 240)
Maker = Callable[[bytes, tuple[int, int]], bytes]

OF_CAMERAS = {  # each can say how it is turned
    "cat.nef": raws.nef,
    "cat.arw": raws.arw,
    "cat.pef": raws.pef,
    "cat.cr2": raws.cr2,
    "cat.cr3": raws.cr3,
    "cat.rw2": raws.rw2,
    "cat.orf": raws.orf,
}
MAKERS: dict[str, Maker] = {
    "cat.dng": lambda preview, size: raws.dng([preview], size),
    "most-significant-first.dng": lambda preview, size: raws.dng([preview], size, order=">"),
    "linear.dng": lambda preview, size: raws.dng([preview], size, photometric=raws.LINEAR),
    **OF_CAMERAS,
    "cat.raf": raws.raf,
}
TURNED: dict[str, Callable[[bytes, tuple[int, int], int], bytes]] = {
    "cat.dng": lambda preview, size, orientation: raws.dng([preview], size, orientation),
    **OF_CAMERAS,
}


@pytest.fixture(scope="module")
def exiftool(exiftool_bundle: Path) -> ExifTool:
    return ExifTool(exiftool_bundle)


@pytest.fixture
def show(exiftool: ExifTool) -> Callable[[Path], Decoded]:
    """What is shown of a file, and all that is said of it."""

    def shown(path: Path) -> Decoded:
        with picture_of(path, path.name, lambda: nullcontext(exiftool)) as found:
            decoded = decode(found.path, path.name, 10**8)
        return Decoded(decoded.pixels, decoded.header, (*found.remarks, *decoded.remarks), decoded.way)

    return shown


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and bool(np.array_equal(np.asarray(one), np.asarray(other)))


@pytest.mark.parametrize("name", MAKERS)
def test_the_preview_is_shown_and_the_record_says_so(
    name: str, show: Callable[[Path], Decoded], exiftool_bundle: Path, tmp_path: Path
) -> None:
    preview = raws.jpeg(picture(*LARGE))
    path = tmp_path / name
    path.write_bytes(MAKERS[name](preview, LARGE))
    tags = ["-b", "-JpgFromRaw", "-PreviewImage"]
    theirs = subprocess.run([exiftool_bundle, "-config", "", *tags, path], capture_output=True, check=True, timeout=60).stdout
    assert theirs == preview
    found = show(path)
    assert same(found.pixels, pixels(preview))
    assert found.remarks == ("It is a raw camera file: its embedded preview of 320 × 240 pixels is shown.",)
    assert is_raw(path)
    assert is_image_name(name)
    assert looks_like_an_image(path)


@pytest.mark.parametrize("name", MAKERS)
def test_without_exiftool_none_of_its_small_pictures_is_taken_for_the_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(MAKERS[name](raws.jpeg(picture(*LARGE)), LARGE))
    assert refused(path, UnsupportedImage) == f"{name} is a raw camera file, of which only a preview can be shown. Save it as JPEG or TIFF."


def test_the_name_is_not_asked(show: Callable[[Path], Decoded], tmp_path: Path) -> None:
    """A raw file of another name is one; a TIFF, a JPEG and a text that are called so are none."""
    path = tmp_path / "holiday.jpg"
    path.write_bytes(raws.nef(raws.jpeg(picture(*LARGE)), LARGE))
    assert show(path).remarks[0].startswith("It is a raw camera file")
    for name, data in {"scan.dng": by_pillow(drawn(), "TIFF"), "cat.cr2": by_pillow(drawn(), "JPEG"), "notes.nef": b"Dear diary"}.items():
        (tmp_path / name).write_bytes(data)
        assert not is_raw(tmp_path / name)
    assert show(tmp_path / "scan.dng").remarks == ()


def test_of_several_the_one_with_the_most_pixels_is_shown(show: Callable[[Path], Decoded], tmp_path: Path) -> None:
    path = tmp_path / "cat.dng"
    busy, plain = raws.jpeg(picture(240, 180)), raws.jpeg(Image.new("RGB", LARGE, "navy"))
    assert len(busy) > len(plain)
    for order in ([busy, plain], [plain, busy]):
        path.write_bytes(raws.dng(order, LARGE))
        assert show(path).pixels.size == LARGE


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("turn", [3, 6])
def test_the_raw_files_orientation_turns_a_preview_that_has_none(
    name: str, turn: int, show: Callable[[Path], Decoded], tmp_path: Path
) -> None:
    preview = raws.jpeg(picture(*LARGE))
    path = tmp_path / name
    path.write_bytes(TURNED[name](preview, LARGE, turn))
    by_hand = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270}[turn]
    found = show(path)
    assert same(found.pixels, pixels(preview).transpose(by_hand))
    assert ("240 × 320" if turn == 6 else "320 × 240") in found.remarks[0]


def test_a_preview_that_tells_its_own_orientation_is_turned_by_that(show: Callable[[Path], Decoded], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    preview = raws.jpeg(picture(*LARGE), exif=exif)
    for name, data in {"cat.nef": raws.nef(preview, LARGE, 3), "cat.raf": raws.raf(preview, LARGE)}.items():
        (tmp_path / name).write_bytes(data)
        assert same(show(tmp_path / name).pixels, pixels(preview).transpose(Image.Transpose.ROTATE_90))


@pytest.mark.parametrize("name", MAKERS)
def test_a_small_preview_is_shown_and_called_small(name: str, show: Callable[[Path], Decoded], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(MAKERS[name](raws.jpeg(picture(*LARGE)), (1280, 960)))
    (said,) = show(path).remarks
    assert said.startswith("It is a raw camera file of 1,280 × 960 pixels: only its small embedded preview of 320 × 240 pixels is shown.")
    assert said.endswith("Develop it and upload a JPEG or TIFF to see all of it.")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (raws.nef(raws.jpeg(picture(160, 120)), (8256, 5504)), "of 8,256 × 5,504 pixels whose largest preview has 160 × 120 pixels"),
        (raws.dng([], LARGE), "without a preview that could be shown"),
        (raws.tiff([raws.mosaic(LARGE)]), "without a preview that could be shown"),
        (raws.nef(b"\xff\xd8\xff\xc3\0\x0b\x08\0\xf0\x01\x40\x01\1\x11\0" + bytes(200), LARGE), "without a preview that could be shown"),
        (raws.cr2(raws.jpeg(picture(*LARGE)), LARGE)[:400], "without a preview that could be shown"),
        (raws.raf(raws.jpeg(picture(*LARGE)), LARGE)[:100], "whose preview could not be taken out: exiftool can't read this file"),
        (b"FOVb" + bytes(60), "preview"),
        (b"II\x1a\0\0\0HEAPCCDR" + bytes(60), "preview"),
        (b"\0MRM" + bytes(60), "preview"),
    ],
    ids=["a thumbnail alone", "none", "raw data alone", "lossless", "cut off", "beyond exiftool", "Sigma", "old Canon", "Minolta"],
)
def test_without_a_picture_to_zoom_into_it_is_refused_with_a_way_out(data: bytes, said: str, exiftool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / "cat.raw"
    path.write_bytes(data)
    with pytest.raises(UnsupportedImage) as caught, picture_of(path, "cat.raw", lambda: nullcontext(exiftool)):
        pass
    assert str(caught.value).startswith("cat.raw is a raw camera file ")
    assert said in str(caught.value)
    assert str(caught.value).endswith("Save it as JPEG or TIFF.")


def test_the_limit_of_pixels_holds_for_the_preview(exiftool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / "cat.nef"
    path.write_bytes(raws.nef(raws.jpeg(picture(*LARGE)), LARGE))
    with (
        picture_of(path, "cat.nef", lambda: nullcontext(exiftool)) as found,
        pytest.raises(ImageTooLarge, match=r"cat\.nef claims 320 × 240 pixels; 1,000 are allowed"),
        open_source(found.path, "cat.nef", 1000),
    ):
        pass


def test_directories_that_lead_in_circles_or_nowhere_end(tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    circle = tiff_of([bytes(12)], {256: (LONG, 2), 257: (LONG, 2), 262: (SHORT, 2), 330: (LONG, [8 + 12] * 4)})
    for data in (circle, b"II*\0\xff\xff\xff\xff", b"MM\0+\0\x08\0\0" + b"\xff" * 8, b"II*\0", b"II*\0\x08\0\0\0\xff\xff" + bytes(99)):
        path.write_bytes(data)
        assert not is_raw(path)


def test_a_big_tiff_with_a_mosaic_is_raw(tmp_path: Path) -> None:
    path = tmp_path / "big.dng"
    entry = b"\x06\x01\x03\0" + (1).to_bytes(8, "little") + (32803).to_bytes(8, "little")
    path.write_bytes(b"II+\0\x08\0\0\0" + (16).to_bytes(8, "little") + (1).to_bytes(8, "little") + entry + bytes(8))
    assert is_raw(path)


def test_a_header_without_orientation_gets_one_and_keeps_its_flag_for_adobe_rgb() -> None:
    flagged = by_pillow(drawn(), "JPEG", exif=adobe_flag())
    for data in (flagged, by_pillow(drawn(), "JPEG")):
        assert preview_of(data) == Preview(*SIZE, None)
        told = with_orientation(data, 6)
        assert preview_of(told) == Preview(*SIZE, 6)
        with Image.open(io.BytesIO(told)) as image:
            assert orientation(image) == 6
            assert same(turned(image, orientation(image)).convert("RGB"), pixels(data).transpose(Image.Transpose.ROTATE_270))
            assert (image.getexif().get_ifd(0x8769).get(0xA001) == 0xFFFF) == (data is flagged)
    broken = flagged[:24] + b"\xff" * 20 + flagged[44:]
    assert preview_of(with_orientation(broken, 6)) == Preview(*SIZE, 6)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\0\x08\x08\0\0\0\x09\1", b"\xff\xd8\xff\xe0\0\0", b"GIF89a"]
)
def test_what_is_no_jpeg_is_no_preview(data: bytes) -> None:
    assert preview_of(data) is None


def test_a_raw_file_in_the_source_is_published_with_its_own_metadata(
    workspace: Workspace, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "temporary"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    (source / "cat.nef").write_bytes(raws.nef(raws.jpeg(picture(900, 600)), (900, 600), 6))
    record = settle(ImageKey("cat.nef"), workspace)
    assert record is not None
    assert (record.tiles and record.tiles.outcome, record.metadata and record.metadata.outcome) == (Outcome.DONE, Outcome.DONE)
    assert (record.width, record.height) == (600, 900)
    assert record.remarks == ("It is a raw camera file: its embedded preview of 600 × 900 pixels is shown.",)
    assert record.caption.camera == "NIKON D850"
    assert '"NEF"' in (workspace.metadata.read(ImageKey("cat.nef").metadata).data).decode()
    assert list(private.iterdir()) == []


def test_one_that_is_refused_says_so_on_its_record(workspace: Workspace, source: Path) -> None:
    (source / "cat.dng").write_bytes(raws.dng([], LARGE))
    record = settle(ImageKey("cat.dng"), workspace)
    assert record is not None
    assert record.tiles is not None
    assert (record.tiles.outcome, record.tiles.code) == (Outcome.FAILED, "unsupported-image")
    assert record.metadata is not None
    assert record.metadata.outcome == Outcome.DONE


def test_tile_shows_one_too(tmp_path: Path) -> None:
    path = tmp_path / "-if\nsystem('id').nef"  # no name to give to exiftool
    path.write_bytes(raws.nef(raws.jpeg(picture(*LARGE)), LARGE))
    report = export(path, tmp_path / "out", Recipe(), 10**8, lambda *_: None)
    assert report.remarks == ("It is a raw camera file: its embedded preview of 320 × 240 pixels is shown.",)


def test_tile_without_exiftool_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "cat.nef"
    path.write_bytes(raws.nef(raws.jpeg(picture(*LARGE)), LARGE))
    environment = {"PATH": "/usr/bin:/bin", "LAMBDAZOOM_EXIFTOOL": "/nowhere/exiftool"}
    command = [sys.executable, "-m", "lambdazoom", "tile", str(path), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "lambdazoom: cat.nef is a raw camera file, of which exiftool is to find the preview. /nowhere/exiftool is no program"
    )
    assert done.stderr.endswith("Or: Save it as JPEG or TIFF.\n")
    (tmp_path / "plain.jpg").write_bytes(raws.jpeg(picture(*LARGE)))
    command = [sys.executable, "-m", "lambdazoom", "tile", str(tmp_path / "plain.jpg"), str(tmp_path / "out")]
    assert subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=False, timeout=60).returncode == 0
