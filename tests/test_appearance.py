"""How a file is shown: upright, in sRGB, its transparent parts on a background; the oracle is libvips."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lambdazoom.imaging.formats import Wishes
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.geometry import MAX_PIXELS
from lambdazoom.model.settings import Settings
from tests.conftest import picture
from tests.decoding import decode
from tests.files import by_libvips, chunk, numbers, opened, pillow_warns, pixels_of, png, saved, signpost, vips_image, wide_gamut_profile

ON_WHITE = ("Transparent parts are shown on white.",)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_every_orientation_comes_out_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(signpost(), tmp_path / f"turned.{suffix}", exif=exif)
    upright = by_libvips(path).autorot()
    found = pixels_of(path)
    assert found.shape == ((61, 97, 3) if orientation < 5 else (97, 61, 3))
    assert np.abs(found - numbers(upright)).max() <= 2  # two JPEG decoders


@pillow_warns
@pytest.mark.parametrize(
    "broken", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0rubbish" * 9], ids=["empty", "cut off", "rubbish"]
)
def test_a_broken_exif_block_turns_nothing_and_breaks_nothing(broken: bytes, tmp_path: Path) -> None:
    path = saved(signpost(), tmp_path / "odd.png")
    whole = path.read_bytes()
    path.write_bytes(whole[:33] + chunk(b"eXIf", broken) + whole[33:])
    assert np.array_equal(pixels_of(path), numbers(signpost()))


# Colour


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_an_image_with_another_profile_comes_out_in_srgb_as_by_libvips(suffix: str, tmp_path: Path) -> None:
    wide = vips_image(picture(320, 240)).icc_transform("p3")
    path = tmp_path / f"wide.{suffix}"
    wide.write_to_file(f"{path}[Q=95]" if suffix != "tif" else str(path), keep="icc")
    tagged = by_libvips(path)
    theirs = numbers(tagged.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True))
    untouched = numbers(tagged)
    found = pixels_of(path)
    assert np.abs(untouched - theirs).mean() > 2  # the profile does matter
    assert np.abs(found - theirs).mean() < 0.5
    assert opened(path).remarks == ()


def test_a_cmyk_image_is_converted_by_its_profile(tmp_path: Path) -> None:
    for suffix in ("jpg", "tif"):
        path = tmp_path / f"print.{suffix}"
        vips_image(picture(320, 240)).icc_transform("cmyk", input_profile="srgb").write_to_file(str(path))
        theirs = by_libvips(path).icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
        assert opened(path).header.mode == "CMYK"
        assert np.abs(pixels_of(path) - numbers(theirs)).mean() < 1


def test_a_cmyk_jpeg_without_a_profile_is_not_inverted(tmp_path: Path) -> None:
    path = saved(picture(320, 240).convert("CMYK"), tmp_path / "print.jpg", quality=95)
    assert b"Adobe" in path.read_bytes()[:64]
    assert np.abs(pixels_of(path) - numbers(picture(320, 240))).mean() < 6


@pytest.mark.parametrize("profile", [b"no profile at all", b"\0" * 200], ids=["text", "zeros"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_broken_profile_is_remarked_on_and_the_image_shown(suffix: str, profile: bytes, tmp_path: Path) -> None:
    plain = saved(picture(320, 240), tmp_path / f"plain.{suffix}")
    path = saved(picture(320, 240), tmp_path / f"broken.{suffix}", icc_profile=profile)
    (remark,) = opened(path).remarks
    assert remark.startswith("Its colour profile could not be used (")
    assert remark.endswith("); the colours are shown as sRGB.")
    assert np.array_equal(pixels_of(path), pixels_of(plain))


def test_a_profile_of_another_colour_space_is_remarked_on(tmp_path: Path) -> None:
    path = saved(picture(320, 240).convert("L"), tmp_path / "grey.png", icc_profile=wide_gamut_profile())
    assert len(opened(path).remarks) == 1
    assert np.array_equal(pixels_of(path), numbers(picture(320, 240).convert("L")))


def test_the_colours_of_a_palette_are_converted_by_its_profile(tmp_path: Path) -> None:
    few = picture(320, 240).quantize(64)
    path = saved(few, tmp_path / "few.png", icc_profile=wide_gamut_profile())
    theirs = by_libvips(path).icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    assert np.abs(pixels_of(path) - numbers(theirs)).mean() < 0.5
    assert np.abs(pixels_of(path) - numbers(few)).mean() > 2


# Transparency


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_shown_on_white(mode: str, suffix: str, tmp_path: Path) -> None:
    image = picture(320, 240)
    image.putalpha(picture(320, 240, seed=2).convert("L"))
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    path = saved(image.convert(mode), tmp_path / f"glass.{suffix}", **options)
    theirs = by_libvips(path).flatten(background=[255]).colourspace("srgb")
    assert np.abs(pixels_of(path) - numbers(theirs)).max() <= 1
    assert opened(path).remarks == ON_WHITE


def test_transparent_entries_of_a_palette_are_shown_on_white(tmp_path: Path) -> None:
    few = picture(320, 240).quantize(16)
    for path in (
        saved(few, tmp_path / "one.png", transparency=3),
        saved(few, tmp_path / "half.png", transparency=bytes(range(0, 256, 16))),
        saved(few, tmp_path / "one.gif", transparency=3),
    ):
        theirs = by_libvips(path).flatten(background=[255]).colourspace("srgb")
        assert np.abs(pixels_of(path) - numbers(theirs)).max() <= 1
        assert opened(path).remarks == ON_WHITE


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "transparent"),
    [
        (1, 0, b"\x50", b"\0\0"),
        (2, 0, b"\xc7", b"\0\x03"),
        (4, 0, b"\x0f\xf3", b"\0\x0f"),
        (8, 0, bytes((5, 9, 5, 200)), b"\0\x05"),
        (8, 2, bytes((5, 9, 5, 200, 7, 7, 1, 2, 3, 5, 9, 5)), b"\0\x05\0\x09\0\x05"),
        (16, 0, struct.pack(">4H", 0x1234, 0x8000, 0xFFFF, 0x1234), b"\x12\x34"),
        (16, 0, struct.pack(">4H", 0, 1, 128, 129), b"\0\0"),
        (16, 2, struct.pack(">12H", 0x1234, 1, 2, 0x8000, 3, 4, 0, 0, 0, 0x1234, 1, 2), b"\x12\x34\0\x01\0\x02"),
    ],
    ids=["1-bit", "2-bit", "4-bit", "grey", "colour", "16-bit grey", "16-bit grey and its neighbours", "16-bit colour"],
)
def test_the_colour_that_a_png_calls_transparent_is_shown_as_white(
    depth: int, colour_type: int, row: bytes, transparent: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "key.png"
    path.write_bytes(png(4, 1, depth, colour_type, b"\0" + row, chunk(b"tRNS", transparent)))
    samples = 2**depth - 1
    theirs = by_libvips(path)
    flat = theirs.flatten(background=[65535 if samples > 255 else 255])
    expected = numbers(flat) // (257 if samples > 255 else 1)
    assert ON_WHITE[0] in opened(path).remarks
    assert np.abs(pixels_of(path) - expected.reshape(1, 4, -1)).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_background_can_be_chosen(mode: str, tmp_path: Path) -> None:
    image = picture(320, 240)
    image.putalpha(picture(320, 240, seed=2).convert("L"))
    path = saved(image.convert(mode), tmp_path / "glass.png")
    found = decode(path, path.name, MAX_PIXELS, Wishes(background="#204080"))
    theirs = by_libvips(path).colourspace("srgb").flatten(background=[0x20, 0x40, 0x80])
    assert np.abs(numbers(found.pixels) - numbers(theirs)).max() <= 1
    assert found.remarks == ("Transparent parts are shown on #204080.",)
    assert decode(path, path.name, MAX_PIXELS, Wishes(background="#808080")).pixels.mode == mode.removesuffix("A")


def test_another_background_makes_another_recipe() -> None:
    """So that what was published on the old one is noticed."""
    environment = {"LAMBDAZOOM_BACKGROUND": "#204080", "LAMBDAZOOM_FORMAT": "png"}
    assert Settings.from_env(environment).recipe.fingerprint != Settings.from_env({"LAMBDAZOOM_FORMAT": "png"}).recipe.fingerprint
    with pytest.raises(SettingsError, match=r"LAMBDAZOOM_BACKGROUND is 'blue'; it must be a colour as #rrggbb\."):
        Settings.from_env({"LAMBDAZOOM_BACKGROUND": "blue"})
