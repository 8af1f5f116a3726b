"""All modes, depths and formats that are opened, and the page that is shown of several; the oracle is libvips."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from lambdazoom.imaging.formats import Wishes
from lambdazoom.model.errors import UnsupportedImage
from lambdazoom.model.geometry import MAX_PIXELS
from tests.conftest import picture
from tests.decoding import decode
from tests.files import by_libvips, numbers, opened, pixels_of, refused, saved, signpost, vips_image, wide_gamut_profile

FROM_16_BITS = ("16 bits a sample were reduced to 8.",)


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


def photoshop(image: Image.Image, layers: bytes = bytes(4), is_packed: bool = False) -> bytes:
    """A PSD with this section of layers (Adobe Photoshop File Formats Specification)."""
    bands = [band.tobytes() for band in image.split()]
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(bands), image.height, image.width, 8, 3)
    mode, resources = struct.pack(">I", 0), struct.pack(">I", 12) + b"8BIM" + struct.pack(">HHI", 1, 0, 0)
    if not is_packed:
        return header + mode + resources + layers + bytes(2) + b"".join(bands)
    rows = [bytes([image.width - 1]) + band[at : at + image.width] for band in bands for at in range(0, len(band), image.width)]
    sizes = b"".join(struct.pack(">H", len(row)) for row in rows)
    return header + mode + resources + layers + struct.pack(">H", 1) + sizes + b"".join(rows)


def section(count: int) -> bytes:
    """Of layers, so many, of which nothing is told; a negative count says that the first further channel is transparency."""
    return struct.pack(">IIh", 10, 6, count) + bytes(4)


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("layers", [bytes(4), struct.pack(">II", 4, 0), section(0), section(1)], ids=["none", "no count", "0", "1"])
def test_a_saved_selection_of_a_psd_is_no_transparency(layers: bytes, is_packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "signpost.psd"
    selected = signpost().convert("RGBA")
    selected.putalpha(signpost().convert("L"))
    path.write_bytes(photoshop(selected, layers, is_packed))
    assert np.array_equal(pixels_of(path), numbers(signpost()))
    assert opened(path).remarks == ()


def test_the_transparency_of_a_psd_is_heeded(tmp_path: Path) -> None:
    path = tmp_path / "signpost.psd"
    clear = signpost().convert("RGBA")
    clear.putalpha(0)
    path.write_bytes(photoshop(clear, section(-1)))
    assert (pixels_of(path) == 255).all()


def targa(bits: int, attribute_bits: int, compression: str | None = None) -> bytes:
    """A TGA of the signpost whose unused bits say transparent, and of which so many are said to be used (Truevision TGA 2.0, field 5.6)."""
    clear = signpost().convert("RGBA")
    clear.putalpha(0)
    written = io.BytesIO()
    clear.save(written, "TGA", compression=compression)
    data = bytearray(written.getvalue())
    data[17] = data[17] & 0xF0 | attribute_bits
    if bits == 16:
        data[16] = 16
        data[18:] = (0x8000 | (numbers(signpost())[::-1] >> 3) @ (1 << 10, 1 << 5, 1)).astype("<u2").tobytes()
    return bytes(data)


@pytest.mark.parametrize(("bits", "compression"), [(32, None), (32, "tga_rle"), (16, None)])
def test_what_a_tga_does_not_call_transparency_is_none(bits: int, compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "signpost.tga"
    path.write_bytes(targa(bits, 0, compression))
    exact = numbers(signpost()) if bits == 32 else (numbers(signpost()) >> 3) * 255 // 31
    assert np.array_equal(pixels_of(path), exact)
    assert opened(path).remarks == ()


def test_what_a_tga_calls_transparency_is_transparency(tmp_path: Path) -> None:
    path = tmp_path / "signpost.tga"
    path.write_bytes(targa(32, 8))
    assert (pixels_of(path) == 255).all()


def test_a_colour_map_that_no_pixel_of_a_tga_refers_to_is_passed_over(tmp_path: Path) -> None:
    grey, path = signpost().convert("L"), tmp_path / "signpost.tga"
    plain = saved(grey, path).read_bytes()
    with_map = bytearray(plain[:18])
    with_map[1:8] = struct.pack("<BBHHB", 1, plain[2], 0, 256, 24)
    path.write_bytes(bytes(with_map) + bytes(range(256)) * 3 + plain[18:])
    assert np.array_equal(pixels_of(path), numbers(grey))


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


@pytest.mark.parametrize("shown", [0, 1])
def test_a_page_has_its_own_profile_or_none(shown: int, tmp_path: Path) -> None:
    pages = [picture(320, 240), picture(320, 240, 2)]
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "pages.tif"), True) as written:
        for page, profile in zip(pages, (None, wide_gamut_profile()), strict=True):
            page.save(written, "TIFF", icc_profile=profile)
            written.newFrame()
    found = numbers(decode(tmp_path / "pages.tif", "pages.tif", MAX_PIXELS, Wishes(shown)).pixels)
    assert np.array_equal(found, numbers(pages[shown])) == (shown == 0)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "mpo"])
def test_of_moving_pictures_the_first_is_shown(suffix: str, tmp_path: Path) -> None:
    frames = [signpost(), signpost().transpose(Image.Transpose.ROTATE_180)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(frames[0], tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert np.abs(pixels_of(path) - numbers(frames[0])).mean() < 6
