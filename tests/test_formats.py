"""What comes in, and what becomes of it: turned, converted, composited, or refused with a sentence; the oracle is libvips."""

import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageDraw, TiffImagePlugin

from lambdazoom.imaging.formats import Wishes, looks_like_an_image
from lambdazoom.imaging.signatures import is_image_name
from lambdazoom.model.errors import CorruptImage, ImageError, ImageTooLarge, NotAnImage, NotFound, SettingsError, UnsupportedImage
from lambdazoom.model.geometry import MAX_PIXELS
from lambdazoom.model.settings import Settings
from tests.conftest import picture
from tests.decoding import Decoded, decode

Pixels = NDArray[np.int64]

ON_WHITE = ("Transparent parts are shown on white.",)
FROM_16_BITS = ("16 bits a sample were reduced to 8.",)

pillow_warns = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # it says the same of a TIFF's own tags


def opened(path: Path) -> Decoded:
    found = decode(path, path.name, MAX_PIXELS)
    assert found.pixels.mode in ("RGB", "L")
    assert found.pixels.info == {}
    return found


def pixels_of(path: Path) -> Pixels:
    return np.asarray(opened(path).pixels.convert("RGB")).astype(int)


def by_libvips(path: Path) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(path.read_bytes(), "")  # by name, libvips would remember the file that was there before


def numbers(image: pyvips.Image | Image.Image) -> Pixels:
    return np.asarray(image.numpy() if isinstance(image, pyvips.Image) else image.convert("RGB")).astype(int)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def vips_image(image: Image.Image) -> pyvips.Image:
    interpretation = "srgb" if len(image.getbands()) >= 3 else "b-w"
    loaded = pyvips.Image.new_from_memory(image.tobytes(), *image.size, len(image.getbands()), "uchar")
    return loaded.copy(interpretation=interpretation)


def refused(path: Path, error: type[ImageError]) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(error) as raised:
        decode(path, path.name, MAX_PIXELS)
    assert type(raised.value) is error
    return str(raised.value)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *further: bytes) -> bytes:
    """A PNG by hand (ISO 15948, 11): what Pillow's writer would not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(further) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# Orientation


def signpost() -> Image.Image:
    """A picture that no turning and no mirroring leaves as it is."""
    image = Image.new("RGB", (97, 61), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 48, 20), fill=(220, 30, 30))
    draw.rectangle((70, 30, 96, 60), fill=(30, 60, 200))
    draw.polygon(((10, 60), (10, 30), (40, 60)), fill=(20, 160, 60))
    return image


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


def wide_gamut_profile() -> bytes:
    """Display P3, as libvips carries it."""
    profile: bytes = vips_image(picture(8, 8)).icc_transform("p3").get("icc-profile-data")
    return profile


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


# Modes and depths


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_plain_modes_come_out_as_they_are(mode: str, suffix: str, tmp_path: Path) -> None:
    image = picture(320, 240).quantize(32) if mode == "P" else picture(320, 240).convert(mode)
    path = saved(image, tmp_path / f"plain.{suffix}")
    assert opened(path).header.mode == mode
    assert np.array_equal(pixels_of(path), numbers(image))
    assert opened(path).remarks == ()


@pytest.mark.parametrize("suffix", ["bmp", "gif", "ppm", "tga", "ico", "jp2", "webp", "avif", "psd"])
def test_other_formats_are_opened(suffix: str, tmp_path: Path) -> None:
    options: dict[str, dict[str, object]] = {
        "ico": {"sizes": [(200, 100)]},
        "webp": {"lossless": True},
        "avif": {"quality": 100, "subsampling": "4:4:4"},
    }
    image = signpost().resize((200, 100))
    path = tmp_path / f"picture.{suffix}"
    if suffix == "psd":
        path.write_bytes(photoshop(image))
    else:
        saved(image, path, **options.get(suffix, {}))
    assert np.abs(pixels_of(path) - numbers(image)).mean() < 3


def photoshop(image: Image.Image) -> bytes:
    """A PSD of no layers, uncompressed (Adobe Photoshop File Formats Specification)."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, image.height, image.width, 8, 3)
    return header + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + b"".join(band.tobytes() for band in image.split())


def ramp() -> NDArray[np.uint16]:
    """All of 0 to 65,535, in steps."""
    return np.linspace(0, 65535, 256 * 64).round().astype(np.uint16).reshape(64, 256)


def grey_tiff(samples: NDArray[np.uint16], order: str = "<", white: int = 65535) -> bytes:
    """Grey, 16 bits, Intel (<) or Motorola (>) order, with white at either end (TIFF 6.0, section 2)."""
    height, width = samples.shape
    data = samples.astype(f"{order}u2").tobytes()
    wide = [(256, width), (257, height), (273, 8 + 2 + 8 * 12 + 4), (278, height), (279, len(data))]
    short = [(258, 16), (259, 1), (262, 1 if white else 0)]
    entries = {tag: struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in wide}
    entries |= {tag: struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in short}
    start = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries))
    return start + b"".join(entry for _, entry in sorted(entries.items())) + bytes(4) + data


@pytest.mark.parametrize("name", ["scan.png", "scan.tif", "motorola.tif", "scan.pgm"])
def test_16_bits_of_grey_are_scaled_and_not_clipped(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "motorola.tif":
        path.write_bytes(grey_tiff(ramp(), ">"))
    elif name == "scan.pgm":
        path.write_bytes(b"P5 256 64 65535\n" + ramp().astype(">u2").tobytes())
    else:
        Image.fromarray(ramp()).save(path)
        assert by_libvips(path).format == "ushort"
    exact = ramp()[:, :, None] / 65535 * 255
    assert np.abs(pixels_of(path) - exact).max() <= 0.51
    assert opened(path).remarks == FROM_16_BITS


def test_16_bits_of_grey_whose_0_is_white_are_no_negative(tmp_path: Path) -> None:
    path = tmp_path / "negative.tif"
    path.write_bytes(grey_tiff(ramp(), white=0))
    theirs = by_libvips(path)
    assert theirs(0, 0) == [65535]
    assert np.abs(pixels_of(path) - numbers(theirs)[:, :, None] / 257).max() <= 0.51


def test_16_bits_of_colour_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    for suffix in ("png", "tif"):
        path = tmp_path / f"deep.{suffix}"
        deep = pyvips.Image.new_from_memory(ramp().tobytes(), 256, 64, 1, "ushort")
        deep.bandjoin([deep.rot180(), deep]).copy(interpretation="rgb16").write_to_file(str(path))
        exact = np.stack([ramp(), ramp()[::-1, ::-1], ramp()], axis=2) / 65535 * 255
        assert np.abs(pixels_of(path) - exact).max() <= 1


def test_samples_that_we_do_not_scale_are_refused_by_name(tmp_path: Path) -> None:
    vips_image(picture(60, 40)).cast("float").write_to_file(str(tmp_path / "light.tif"))
    (tmp_path / "deep.psd").write_bytes(b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 40, 60, 16, 3) + bytes(60 * 40 * 6 + 14))
    for name, sentence in {
        "light.tif": "is a TIFF with samples of a kind that is not opened here. Save it with 8 or 16 bits a sample.",
        "deep.psd": "is a PSD of a kind that is not opened here. Save it with 8 bits a sample in RGB, or as TIFF.",
    }.items():
        assert refused(tmp_path / name, UnsupportedImage) == f"{name} {sentence}"


# Pages


@pytest.mark.parametrize("page", [0, 1, 2])
def test_another_page_is_shown_if_it_is_wished_for(page: int, tmp_path: Path) -> None:
    pages = [picture(90, 60, seed) for seed in range(3)]
    path = saved(pages[0], tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    found = decode(path, path.name, MAX_PIXELS, Wishes(page))
    assert np.array_equal(numbers(found.pixels), numbers(pages[page]))
    assert found.remarks == (f"Page {page + 1} of 3 is shown.",)


def test_a_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    saved(picture(9, 6), tmp_path / "one.tif")
    saved(picture(9, 6), tmp_path / "two.tif", save_all=True, append_images=[picture(9, 6, 2)])
    saved(picture(9, 6), tmp_path / "cat.jpg")
    for name, sentence in {
        "one.tif": "one.tif has one page; there is no page 9. Choose another.",
        "two.tif": "two.tif has 2 pages; there is no page 9. Choose another.",
        "cat.jpg": "cat.jpg is no TIFF: only of those a page can be chosen. Leave the page out.",
    }.items():
        with pytest.raises(UnsupportedImage) as raised:
            decode(tmp_path / name, name, MAX_PIXELS, Wishes(8))
        assert str(raised.value) == sentence


@pytest.mark.parametrize("options", [{}, {"subifd": True}], ids=["as pages", "in SubIFDs"])
def test_the_levels_of_a_pyramid_are_no_pages(options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    pyramid = {"tile": True, "pyramid": True, "tile_width": 64, "tile_height": 64}
    vips_image(picture(900, 700)).write_to_file(str(path), **pyramid, **options)
    found = opened(path)
    assert (found.header.pages, found.remarks, found.way) == (1, (), "band by band")
    assert np.array_equal(pixels_of(path), numbers(picture(900, 700)))


def test_a_mask_that_is_larger_than_the_picture_is_no_page(tmp_path: Path) -> None:
    """Nor is an older thumbnail, whatever its size (TIFF 6.0, SubfileType)."""
    picture(90, 60).save(tmp_path / "one.tif", tiffinfo={254: 4})
    assert "holds nothing but previews" in refused(tmp_path / "one.tif", UnsupportedImage)
    pages = [picture(320, 240), picture(90, 60, 2)]
    frames = tmp_path / "frames.tif"
    with TiffImagePlugin.AppendingTiffWriter(str(frames), True) as written:
        for page, kind in zip(pages, (4, 0), strict=True):
            page.save(written, "TIFF", tiffinfo={254: kind})
            written.newFrame()
    assert np.array_equal(pixels_of(frames), numbers(pages[1]))


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_the_largest_page_of_a_tiff_is_shown(largest: int, tmp_path: Path) -> None:
    pages = [picture(90, 60, seed) for seed in range(3)]
    pages[largest] = picture(320, 240, seed=9)
    path = saved(pages[0], tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    found = opened(path)
    assert np.array_equal(pixels_of(path), numbers(pages[largest]))
    assert (found.header.page, found.header.pages) == (largest, 3)
    assert found.remarks == (f"Page {largest + 1} of 3, the largest, is shown.",)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "mpo"])
def test_of_moving_pictures_the_first_is_shown(suffix: str, tmp_path: Path) -> None:
    frames = [signpost(), signpost().transpose(Image.Transpose.ROTATE_180)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(frames[0], tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert np.abs(pixels_of(path) - numbers(frames[0])).mean() < 6


# Limits


def test_a_header_that_claims_too_much_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    path.write_bytes(png(100_000, 100_000, 8, 2, b"\0" * 1000))
    started = time.monotonic()
    sentence = refused(path, ImageTooLarge)
    assert time.monotonic() - started < 0.5
    assert sentence == "map.png claims 100,000 × 100,000 pixels; 4,000,000,000 are allowed (LAMBDAZOOM_MAX_PIXELS)."


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    path = saved(picture(40, 30), tmp_path / "small.png")
    assert decode(path, "small.png", 1200).pixels.size == (40, 30)
    with pytest.raises(ImageTooLarge):
        decode(path, "small.png", 1199)


def test_what_pillow_takes_for_a_bomb_is_only_large_to_us(tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.write_bytes(png(20_000, 20_000, 1, 0, b"\0" * 1000))
    program = "import sys, pathlib, lambdazoom.imaging.formats as formats; print(formats.looks_like_an_image(pathlib.Path(sys.argv[1])))"
    # in a process of its own: Pillow's limit is of the process, and we lift it at the first image
    done = subprocess.run([sys.executable, "-W", "error", "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


# Broken files


@pillow_warns
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {}),
        ("jpg", {"progressive": True}),
        ("png", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("webp", {}),
        ("gif", {}),
        ("bmp", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_truncated_image_is_corrupt(suffix: str, options: dict[str, object], share: float, tmp_path: Path) -> None:
    whole = saved(picture(320, 240), tmp_path / f"whole.{suffix}", **options).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    sentence = refused(path, CorruptImage)
    assert sentence.startswith("cut.")
    assert " Upload it again" in sentence


def test_a_truncated_jpeg_is_called_cut_off(tmp_path: Path) -> None:
    whole = saved(picture(320, 240), tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert refused(tmp_path / "cut.jpg", CorruptImage).startswith("cut.jpg is cut off; ")


@pillow_warns
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "gif", "bmp"])
def test_an_image_without_the_rest_of_its_header_is_corrupt(suffix: str, tmp_path: Path) -> None:
    path = saved(picture(320, 240), tmp_path / f"stub.{suffix}")
    path.write_bytes(path.read_bytes()[:9])
    assert refused(path, CorruptImage) in (
        f"stub.{suffix} is damaged: its header can't be read. Upload it again.",
        f"stub.{suffix} is cut off. Upload it again.",
    )


def test_a_damaged_place_of_the_pixels_is_not_taken_for_a_fault_of_the_drive(tmp_path: Path) -> None:
    data = bytearray(saved(picture(30, 20), tmp_path / "scan.tif", tiffinfo={274: 2}).read_bytes())
    entry = data.index(struct.pack("<HHI", 273, 4, 1))
    data[entry : entry + 12] = struct.pack("<HHIi", 273, 9, 1, -1)  # a signed number, before the file's beginning
    (tmp_path / "scan.tif").write_bytes(data)
    with pytest.raises(CorruptImage, match=r"can't be decoded \(Invalid argument\)"):
        opened(tmp_path / "scan.tif")


def test_a_damaged_avif_is_corrupt(tmp_path: Path) -> None:
    path = saved(picture(320, 240), tmp_path / "damaged.avif")
    whole = bytearray(path.read_bytes())
    start = whole.index(b"mdat") + 4
    whole[start:] = bytes(len(whole) - start)
    path.write_bytes(whole)
    assert refused(path, CorruptImage).startswith("damaged.avif is damaged")


def zipped() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened_archive:
        opened_archive.writestr("cat.txt", "a cat")
    return archive.getvalue()


NO_IMAGES = {
    "plain text": b"Dear diary,\n\nnothing happened.\n",
    "a ZIP archive": zipped(),
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "an HTML page": b"\n<!DOCTYPE html>\n<html><body>No cat.</body></html>",
    "gzip-compressed data": b"\x1f\x8b\x08\0\0\0\0\0",
    "a video": b"\0\0\0\x20ftypisom\0\0\2\0",
    "a program": b"\x7fELF\2\1\1\0",
    "of no kind that we know": bytes(range(128, 256)) * 9,
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_is_called_by_its_content(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_bytes(NO_IMAGES[kind])
    assert refused(path, NotAnImage) == f"notes.jpg is not an image: its content is {kind}. Replace or delete it in the source."
    assert not looks_like_an_image(path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "nothing.jpg").touch()
    assert refused(tmp_path / "nothing.jpg", NotAnImage) == "nothing.jpg is empty. Upload it again, or delete it in the source."
    assert not looks_like_an_image(tmp_path / "nothing.jpg")


OTHER_IMAGES = {
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "JPEG XL": b"\xff\x0a\xfa\x7f\x01",
    "OpenEXR": b"v/1\x01\2\0\0\0",
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n(made) (file) file\n",
}


@pytest.mark.parametrize("kind", OTHER_IMAGES)
@pytest.mark.parametrize("suffix", ["jpg", "tif", "eps"])
def test_an_image_of_a_kind_that_we_do_not_open_is_called_by_its_kind(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"drawing.{suffix}"
    path.write_bytes(OTHER_IMAGES[kind])
    sentence = f"drawing.{suffix} is an image of the kind {kind}, which is not opened here. Save it as JPEG, PNG or TIFF."
    assert refused(path, UnsupportedImage) == sentence
    assert looks_like_an_image(path)


def test_postscript_is_never_run(tmp_path: Path) -> None:
    """Pillow hands EPS to Ghostscript when its pixels are asked for: a `gs` on the path would have been started."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    drawing = tmp_path / "drawing.eps"
    saved(picture(20, 10), drawing)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ours = "import sys, pathlib, tests.decoding as ours; ours.decode(pathlib.Path(sys.argv[1]), 'drawing.eps', 10**6)"
    done = subprocess.run([sys.executable, "-c", ours, drawing], env=environment, capture_output=True, text=True, check=False)
    assert "UnsupportedImage: drawing.eps is an image of the kind PostScript" in done.stderr
    assert not (tmp_path / "started").exists()
    pillow = "import sys; from PIL import Image; Image.open(sys.argv[1]).load()"
    subprocess.run([sys.executable, "-c", pillow, drawing], env=environment, capture_output=True, check=False)
    assert (tmp_path / "started").exists()  # so the trap was set


def test_a_file_that_vanished_is_no_bad_image(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        decode(tmp_path / "gone.jpg", "gone.jpg", MAX_PIXELS)
    assert str(raised.value) == "gone.jpg was removed while it was being read."


# Names and contents


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "gif", "bmp", "ppm", "jp2", "avif", "ico"])
def test_an_image_is_recognised_whatever_its_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "scan 0001"
    saved(picture(60, 40), path, format=Image.registered_extensions()[f".{suffix}"])
    assert not is_image_name(path.name)
    assert looks_like_an_image(path)
    assert opened(path).pixels.width <= 60


def test_sidecars_and_documents_are_no_images(tmp_path: Path) -> None:
    contents = {
        "cat.xmp": b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>',
        "cat.pdf": b"%PDF-1.4\n1 0 obj\n",
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
        "notes.txt": b"BMW, P5, GIF: none of these is an image.",
        "P6.txt": b"P6 is where we meet.",
        "empty": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert not is_image_name(name)
        assert not looks_like_an_image(tmp_path / name), name


def test_names_of_images_are_known_in_any_case() -> None:
    assert all(map(is_image_name, ("cat.jpg", "trip/CAT.JPEG", "scan.TiF", "a.b.png", "cat.heic", "map.svg", "raw.DNG")))
    assert not any(map(is_image_name, ("cat", "cat.jpg.txt", "cat.pdf", "jpg", ".jpg/cat", "cat.xmp")))
