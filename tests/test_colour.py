"""Colours come out as libvips's own conversion has them, under profiles of every make; the profiles are written in the test."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lambdazoom.imaging.boxes import profile_of_jp2
from lambdazoom.imaging.colour import is_srgb
from tests import icc
from tests.conformance.tiffs import tags
from tests.files import by_libvips, chunk, coloured, numbers, opened, pixels_of, saved, vips_image
from tests.tiff_by_hand import LONG, tiff_of

PROFILES = {
    f"{make} {name}, version {version}": written(points, gamma, version)
    for version in (2, 4)
    for make, written in (("matrix", icc.matrix), ("table", icc.table))
    for name, points, gamma in (("Adobe", icc.ADOBE, 2.2), ("wide", icc.WIDE, 1.8), ("linear", icc.SRGB, 1.0))
}


def chart() -> Image.Image:
    """4,096 colours, evenly from all of RGB."""
    steps = np.arange(0, 256, 17)
    red, green, blue = np.meshgrid(steps, steps, steps, indexing="ij")
    return Image.fromarray(np.stack([red, green, blue], axis=-1).reshape(64, 64, 3).astype(np.uint8))


def as_srgb(pixels: NDArray[np.int64]) -> pyvips.Image:
    return pyvips.Image.new_from_array(pixels.astype(np.uint8)).copy(interpretation="srgb")


def converted(path: Path) -> pyvips.Image:
    return by_libvips(path).icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)


def distances(path: Path, theirs: pyvips.Image) -> tuple[float, float]:
    """CIEDE2000 between ours and theirs, by libvips: the mean and the worst."""
    found = as_srgb(pixels_of(path)).dE00(theirs.copy(interpretation="srgb"))
    return found.avg(), found.max()


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_chart_of_colours_comes_out_as_by_libvips(name: str, suffix: str, tmp_path: Path) -> None:
    path = saved(chart(), tmp_path / f"chart.{suffix}", icc_profile=PROFILES[name])
    untouched = as_srgb(numbers(chart())).dE00(converted(path))
    assert untouched.max() > 5  # the profile does matter
    mean, worst = distances(path, converted(path))
    assert (mean <= 1, worst <= 3) == (True, True), (mean, worst)
    assert opened(path).remarks == ()


@pytest.mark.parametrize("version", [2, 4])
def test_grey_with_a_profile_comes_out_as_by_libvips(version: int, tmp_path: Path) -> None:
    grey = Image.frombytes("L", (256, 4), bytes(range(256)) * 4)
    path = saved(grey, tmp_path / "grey.png", icc_profile=icc.grey(1.0, version))
    theirs = converted(path)
    assert np.abs(numbers(grey) - numbers(theirs)).max() > 20
    mean, worst = distances(path, theirs)
    assert (mean <= 1, worst <= 3) == (True, True), (mean, worst)


def test_grey_of_a_curve_like_that_of_srgb_stays_grey_and_streams(tmp_path: Path) -> None:
    grey = Image.frombytes("L", (256, 4), bytes(range(256)) * 4)
    path = saved(grey, tmp_path / "grey.png", icc_profile=icc.grey_of_srgb())
    assert (opened(path).way, opened(path).pixels.mode) == ("row by row", "L")
    assert distances(path, converted(path))[1] <= 1


def test_what_a_profile_is_called_says_nothing(tmp_path: Path) -> None:
    called = icc.matrix(icc.WIDE, 1.8, 2).replace(b"test 2", b"sRGB 2")
    path = saved(chart(), tmp_path / "chart.png", icc_profile=called)
    assert distances(path, converted(path))[1] <= 3


def test_pixels_whose_profile_changes_nothing_stream(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(chart(), tmp_path / "chart.png", icc_profile=srgb)
    assert opened(path).way == "row by row"
    assert not is_srgb(PROFILES["matrix Adobe, version 2"])


# Without a profile


def exif_that_says_adobe(index: str = "R03", space: int = 0xFFFF) -> Image.Exif:
    exif = Image.Exif()
    interoperability = {1: index}
    exif.get_ifd(0x8769).update({0xA001: space, 0xA005: interoperability})
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_flag_by_which_cameras_tell_adobe_rgb_is_heeded(suffix: str, tmp_path: Path) -> None:
    kinds: dict[str, dict[str, object]] = {"jpg": {"quality": 100, "subsampling": "4:4:4"}, "webp": {"lossless": True}}
    options = kinds.get(suffix, {})
    path = saved(chart(), tmp_path / f"camera.{suffix}", exif=exif_that_says_adobe().tobytes(), **options)
    tagged = saved(chart(), tmp_path / f"tagged.{suffix}", icc_profile=icc.matrix(icc.ADOBE, 563 / 256, 2), **options)
    mean, worst = distances(path, converted(tagged))
    assert (mean <= 1, worst <= 3) == (True, True), (mean, worst)
    assert opened(path).remarks == ("Its EXIF block says Adobe RGB; the colours were converted.",)


@pytest.mark.parametrize(("index", "space"), [("R98", 1), ("R98", 0xFFFF), ("R03", 1), ("", 0xFFFF)])
def test_other_flags_change_nothing(index: str, space: int, tmp_path: Path) -> None:
    path = saved(chart(), tmp_path / "camera.png", exif=exif_that_says_adobe(index, space).tobytes())
    assert np.array_equal(pixels_of(path), numbers(chart()))


def test_an_embedded_profile_goes_before_the_flag(tmp_path: Path) -> None:
    path = saved(chart(), tmp_path / "camera.png", exif=exif_that_says_adobe().tobytes(), icc_profile=icc.matrix(icc.WIDE, 1.8, 2))
    assert distances(path, converted(path))[1] <= 3


def png_that_says(path: Path, image: Image.Image, *chunks: bytes) -> Path:
    whole = saved(image, path).read_bytes()
    path.write_bytes(whole[:33] + b"".join(chunks) + whole[33:])
    return path


def gamma_chunk(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 / gamma)))


def points_chunk(points: icc.Points) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * part) for point in points for part in point)))


@pytest.mark.parametrize("gamma", [1.0, 1.5, 1.8, 2.8])
@pytest.mark.parametrize("points", [None, icc.WIDE, icc.ADOBE], ids=["sRGB's points", "wide", "Adobe"])
def test_gamma_and_chromaticities_of_a_png_are_heeded(points: icc.Points | None, gamma: float, tmp_path: Path) -> None:
    chunks = [gamma_chunk(gamma)] + ([points_chunk(points)] if points else [])
    path = png_that_says(tmp_path / "told.png", chart(), *chunks)
    tagged = saved(chart(), tmp_path / "tagged.png", icc_profile=icc.matrix(points or icc.SRGB, gamma, 2))
    mean, worst = distances(path, converted(tagged))
    assert (mean <= 1, worst <= 3) == (True, True), (mean, worst)
    assert opened(path).remarks == ("The colours were converted by what its PNG chunks say of them (gAMA, cHRM).",)


def test_the_gamma_of_a_grey_png_is_heeded(tmp_path: Path) -> None:
    grey = Image.frombytes("L", (256, 4), bytes(range(256)) * 4)
    path = png_that_says(tmp_path / "told.png", grey, gamma_chunk(1.0))
    tagged = saved(grey, tmp_path / "tagged.png", icc_profile=icc.grey(1.0, 2))
    assert distances(path, converted(tagged))[1] <= 3


@pytest.mark.parametrize(
    "chunks",
    [
        (gamma_chunk(2.2),),
        (gamma_chunk(2.2), points_chunk(icc.SRGB)),
        (points_chunk(icc.SRGB),),
        (chunk(b"sRGB", b"\0"), gamma_chunk(1.0), points_chunk(icc.WIDE)),
        (gamma_chunk(1e4),),
        (gamma_chunk(1.0), points_chunk(((0.3, 0.3),) * 4)),
        (gamma_chunk(1.0), points_chunk(((0.3, 0.0),) * 4)),
    ],
    ids=["gamma of sRGB", "both of sRGB", "points of sRGB", "sRGB goes before", "absurd gamma", "points in one place", "no points"],
)
def test_chunks_that_tell_of_srgb_or_of_nothing_change_nothing(chunks: tuple[bytes, ...], tmp_path: Path) -> None:
    path = png_that_says(tmp_path / "told.png", chart(), *chunks)
    assert np.array_equal(pixels_of(path), numbers(chart()))
    assert opened(path).remarks == ()
    assert opened(path).way == "row by row"


NAMED = b"\1\0\0" + struct.pack(">I", 16)  # sRGB
ADOBE = icc.matrix(icc.ADOBE, 2.2, 2)
BOXES: dict[str, tuple[bytes, ...]] = {
    "restricted": (b"\2\0\0" + ADOBE,),
    "any": (b"\3\0\0" + ADOBE,),
    "before a name": (b"\2\0\0" + ADOBE, NAMED),
    "behind a vendor's own": (b"\4\0\0" + bytes(30), b"\2\0\0" + ADOBE),
    "behind a name that we don't know": (b"\1\0\0" + struct.pack(">I", 21), b"\3\0\0" + ADOBE),
    "large": (b"\2\0\0" + ADOBE.ljust(1_200_000, b"\0"),),
}


@pytest.mark.parametrize("kind", BOXES)
def test_the_profile_of_a_jpeg_2000_file_is_heeded(kind: str, tmp_path: Path) -> None:
    path, tagged = tmp_path / "chart.jp2", saved(chart(), tmp_path / "chart.png", icc_profile=ADOBE)
    path.write_bytes(coloured(saved(chart(), path, irreversible=False).read_bytes(), *BOXES[kind]))
    assert np.abs(pixels_of(path) - numbers(chart())).max() > 20
    assert np.array_equal(pixels_of(path), pixels_of(tagged))
    assert opened(path).remarks == ()


def test_the_grey_profile_of_a_jpeg_2000_file_is_heeded(tmp_path: Path) -> None:
    path, tagged = tmp_path / "grey.jp2", tmp_path / "grey.png"
    grey = chart().convert("L")
    saved(grey, tagged, icc_profile=icc.grey(1.0, 2))
    path.write_bytes(coloured(saved(grey, path, irreversible=False).read_bytes(), b"\2\0\0" + icc.grey(1.0, 2)))
    assert np.array_equal(pixels_of(path), pixels_of(tagged))


@pytest.mark.parametrize("boxes", [(NAMED,), (NAMED, b"\2\0\0" + ADOBE), (b"\2",), (b"",), ()])
def test_where_a_jpeg_2000_file_names_srgb_or_nothing_no_profile_counts(boxes: tuple[bytes, ...], tmp_path: Path) -> None:
    path = saved(chart(), tmp_path / "chart.jp2", irreversible=False)
    with path.open("rb") as file:
        assert profile_of_jp2(file) is None
    data = coloured(path.read_bytes(), *boxes)
    assert profile_of_jp2(io.BytesIO(data)) is None


def test_a_codestream_alone_has_no_profile(tmp_path: Path) -> None:
    path = saved(chart(), tmp_path / "chart.j2k", irreversible=False)
    assert np.array_equal(pixels_of(path), numbers(chart()))


def test_lab_comes_out_as_it_was_drawn(tmp_path: Path) -> None:
    """CIE L*a*b* of 8 bits, under D50 as TIFF 6.0, section 23 has it; made by libvips from sRGB."""
    lab = vips_image(chart()).icc_import(input_profile="srgb", pcs="lab", intent="relative").numpy()
    stored = np.concatenate([(lab[:, :, :1] * 2.55).round().astype(np.uint8), lab[:, :, 1:].round().astype(np.int8).view(np.uint8)], axis=2)
    told = tags(3, 8) | {256: (LONG, 64), 257: (LONG, 64), 278: (LONG, 64)}
    path = tmp_path / "lab.tif"
    path.write_bytes(tiff_of([stored.tobytes()], told))
    assert opened(path).header.mode == "LAB"
    assert distances(path, vips_image(chart()))[0] <= 1
