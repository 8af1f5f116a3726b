"""More than 8 bits: which values become black and white, and that the record says so; the oracle is numpy."""

import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from lambdazoom.model.errors import UnsupportedImage
from tests.conformance.tiffs import tags
from tests.files import by_libvips, opened, pixels_of, refused
from tests.tiff_by_hand import ASCII, LONG, SHORT, SIGNED_LONG, strips, tags_of, tiff_of

Floats = NDArray[np.float32]
RULE = "all but 0.1% of the pixels at either end, are shown from black to white."


def heights(width: int = 300, height: int = 200) -> Floats:
    """A mountain in metres, from below the sea upwards, with some noise."""
    down, across = np.mgrid[:height, :width]
    noise = np.random.default_rng(8).normal(0, 30, (height, width))
    return np.asarray(2000 * np.sin(down / 60) * np.cos(across / 80) + noise - 12, np.float32)


def float_tiff(path: Path, values: Floats, told: tuple[float, float] | None = None, no_data: str = "") -> Path:
    height, width = values.shape
    directory = tags(1, bits=32) | {256: (LONG, width), 257: (LONG, height), 278: (LONG, height), 339: (SHORT, 3)}
    if no_data:
        directory |= {42113: (ASCII, no_data.encode() + b"\0")}
    if told:  # tiff_of knows no FLOAT: the bits are written as LONG, and the kind is set right afterwards
        directory |= {tag: (LONG, *struct.unpack("<I", struct.pack("<f", value))) for tag, value in zip((340, 341), told, strict=True)}
    whole = tiff_of([values.tobytes()], directory)
    for tag in (340, 341):
        whole = whole.replace(struct.pack("<HHI", tag, LONG, 1), struct.pack("<HHI", tag, 11, 1))
    path.write_bytes(whole)
    return path


def stretched(values: NDArray[np.generic], least: float, most: float) -> NDArray[np.float64]:
    return np.asarray(np.clip((values.astype(float) - least) / (most - least), 0, 1) * 255)


def test_floats_are_shown_by_the_range_that_the_file_declares(tmp_path: Path) -> None:
    path = float_tiff(tmp_path / "heights.tif", heights(), (-500, 1500))
    assert np.abs(pixels_of(path)[:, :, 0] - stretched(heights(), -500, 1500)).max() <= 0.51
    assert opened(path).remarks == ("Values from -500 to 1,500, the range that the file declares, are shown from black to white.",)


def test_floats_without_a_range_are_shown_by_their_percentiles(tmp_path: Path) -> None:
    values = heights()
    values[0, :20] = 1e9  # a few broken pixels must not make all others black
    path = float_tiff(tmp_path / "heights.tif", values)
    least, most = np.percentile(values, (0.1, 99.9), method="nearest")
    assert np.abs(pixels_of(path)[:, :, 0] - stretched(values, least, most)).max() <= 1
    (remark,) = opened(path).remarks
    assert remark == f"Values from {least:,.6g} to {most:,.6g}, {RULE}"


def test_pixels_that_are_no_numbers_change_nothing_for_the_others(tmp_path: Path) -> None:
    values = heights()
    values[50:60] = np.nan
    values[60:62], values[62:64] = np.inf, -np.inf
    path = float_tiff(tmp_path / "heights.tif", values)
    least, most = np.percentile(values[np.isfinite(values)], (0.1, 99.9), method="nearest")
    found = pixels_of(path)[:, :, 0]
    there = np.isfinite(values)
    assert np.abs(found - stretched(values, least, most))[there].max() <= 1
    assert (found[60:62] == 255).all()
    assert (found[62:64] == 0).all()


@pytest.mark.parametrize(
    ("value", "told", "shown"),
    [(-9999, "-9999", "-9,999"), (-9999, "-9999.0 ", "-9,999"), (-3.4028234663852886e38, "-3.40282346638529e+38", "-3.40282e+38")],
)
def test_a_value_that_stands_for_no_data_changes_nothing_for_the_others(value: float, told: str, shown: str, tmp_path: Path) -> None:
    values = heights()
    values[50:90] = value
    path = float_tiff(tmp_path / "heights.tif", values, no_data=told)
    there = values != np.float32(value)
    least, most = np.percentile(values[there], (0.1, 99.9), method="nearest")
    found = pixels_of(path)[:, :, 0]
    assert np.abs(found - stretched(values, least, most))[there].max() <= 1
    assert (found[50:90] == 0).all()
    (remark,) = opened(path).remarks
    assert remark.endswith(f"are shown from black to white. Pixels of {shown}, which hold no data, were not counted.")


@pytest.mark.parametrize("told", ["nan", "none", "1e999", "-12345"])
def test_no_data_that_no_pixel_has_changes_nothing(told: str, tmp_path: Path) -> None:
    path = float_tiff(tmp_path / "heights.tif", heights(), no_data=told)
    assert np.array_equal(pixels_of(path), pixels_of(float_tiff(tmp_path / "plain.tif", heights())))


@pytest.mark.parametrize("value", [0.0, 7.5, float("nan")])
def test_floats_that_are_all_the_same_are_no_error(value: float, tmp_path: Path) -> None:
    path = float_tiff(tmp_path / "flat.tif", np.full((20, 30), value, np.float32))
    assert (pixels_of(path) == 0).all()


def test_of_a_large_image_a_sample_gives_the_percentiles(tmp_path: Path) -> None:
    values = heights(3000, 2500)
    path = float_tiff(tmp_path / "heights.tif", values)
    least, most = np.percentile(values, (0.1, 99.9))
    found = [float(word.replace(",", "").rstrip(",")) for word in opened(path).remarks[0].split()[2:5:2]]
    assert np.allclose(found, (least, most), atol=10)


def test_integers_of_32_bits_are_shown_likewise(tmp_path: Path) -> None:
    counts = np.arange(60_000, dtype=np.uint32).reshape(200, 300)
    pyvips.Image.new_from_array(counts).cast("uint").write_to_file(str(tmp_path / "counts.tif"))
    assert np.abs(pixels_of(tmp_path / "counts.tif")[:, :, 0] - stretched(counts.astype(np.float32), 60, 59_939)).max() <= 1
    assert opened(tmp_path / "counts.tif").remarks == (f"Values from 60 to 59,939, {RULE}",)


@pytest.mark.parametrize("rows", [200, 20], ids=["in one piece", "in strips"])
@pytest.mark.parametrize("is_declared", [False, True])
def test_integers_of_32_bits_without_a_sign_have_none(is_declared: bool, rows: int, tmp_path: Path) -> None:
    values = np.linspace(0, 2**32 - 1, 60_000).astype(np.uint32).reshape(200, 300)
    directory = tags_of(values, rows) | ({341: (LONG, 2**32 - 1)} if is_declared else {})
    path = tmp_path / "counts.tif"
    path.write_bytes(tiff_of(strips(values, rows), directory))
    least, most = (0, 2**32 - 1) if is_declared else np.percentile(by_libvips(path).numpy(), (0.1, 99.9), method="nearest")
    assert np.abs(pixels_of(path)[:, :, 0] - stretched(values, least, most)).max() <= 1


@pytest.mark.parametrize("rows", [200, 20], ids=["in one piece", "in strips"])
@pytest.mark.parametrize("told", [None, (-128, 127)])
def test_integers_of_8_bits_with_a_sign_have_it(told: tuple[int, int] | None, rows: int, tmp_path: Path) -> None:
    values = (heights() / 20).astype(np.int8)
    directory = tags_of(values, rows) | {339: (SHORT, 2)}
    if told:
        directory |= {tag: (SIGNED_LONG, value) for tag, value in zip((340, 341), told, strict=True)}
    path = tmp_path / "classes.tif"
    path.write_bytes(tiff_of(strips(values, rows), directory))
    theirs = by_libvips(path).numpy()
    assert theirs.min() < 0 < theirs.max()
    least, most = told or np.percentile(theirs.astype(int), (0.1, 99.9), method="nearest")
    assert np.abs(pixels_of(path)[:, :, 0] - stretched(theirs, least, most)).max() <= 1
    assert opened(path).remarks[0].startswith(f"Values from {least:,.6g} to {most:,.6g}, ")


def twelve() -> NDArray[np.uint16]:
    return np.asarray(np.linspace(0, 4095, 160 * 120).round(), np.uint16).reshape(120, 160)


def test_grey_of_12_bits_in_16_is_shown_by_the_range_that_the_file_declares(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff_of([twelve().tobytes()], tags(1, bits=16) | {340: (SHORT, 0), 341: (SHORT, 4095)}))
    assert np.abs(pixels_of(path)[:, :, 0] - twelve() / 4095 * 255).max() <= 0.51
    assert opened(path).remarks == ("Values from 0 to 4,095, the range that the file declares, are shown from black to white.",)


@pytest.mark.parametrize("order", ["<", ">"], ids=["Intel", "Motorola"])
@pytest.mark.parametrize("bits", [9, 12, 15, 16])
def test_grey_of_fewer_bits_in_16_is_shown_by_all_of_them_where_that_is_the_largest_value(bits: int, order: str, tmp_path: Path) -> None:
    values = np.asarray(twelve() // 2 ** max(0, 12 - bits) * 2 ** max(0, bits - 12), np.uint16)
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff_of(strips(values, 20, order), tags_of(values, 20) | {280: (SHORT, 0), 281: (SHORT, 2**bits - 1)}, order))
    assert np.abs(pixels_of(path)[:, :, 0] - values / (2**bits - 1) * 255).max() <= 0.51
    declared = f"Values from 0 to {2**bits - 1:,}, the range that the file declares, are shown from black to white."
    assert opened(path).remarks == ("16 bits a sample were reduced to 8." if bits == 16 else declared,)
    assert opened(path).way == "band by band"


@pytest.mark.parametrize("largest", [0, 1, 255, 4094, 4096, 40_000])
def test_a_largest_value_that_is_none_of_a_depth_is_statistics(largest: int, tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff_of([twelve().tobytes()], tags(1, bits=16) | {281: (SHORT, largest)}))
    assert np.abs(pixels_of(path)[:, :, 0] - twelve() / 65535 * 255).max() <= 0.51


@pytest.mark.parametrize("white_at_0", [False, True])
def test_grey_of_12_bits_is_shown_by_all_that_they_can_be(white_at_0: bool, tmp_path: Path) -> None:
    pairs = twelve().reshape(-1, 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1).astype(np.uint8)
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff_of([packed.tobytes()], tags(1, bits=12, photometric=0 if white_at_0 else 1)))
    if white_at_0:  # Pillow has no mode for it
        assert "samples of a kind that is not opened here" in refused(path, UnsupportedImage)
        return
    assert np.abs(pixels_of(path)[:, :, 0] - twelve() / 4095 * 255).max() <= 0.51


def test_a_declared_range_of_16_bits_whose_0_is_white_is_turned_too(tmp_path: Path) -> None:
    path = tmp_path / "negative.tif"
    path.write_bytes(tiff_of([twelve().tobytes()], tags(1, 0, 16) | {341: (SHORT, 4095)}))
    assert np.abs(pixels_of(path)[:, :, 0] - (255 - twelve() / 4095 * 255)).max() <= 0.51
    assert opened(path).remarks[0].endswith("are shown from white to black.")


def test_colours_of_12_bits_in_16_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    colours = np.stack([twelve()] * 3, axis=2)
    path.write_bytes(tiff_of([colours.tobytes()], tags(3, bits=16) | {341: (SHORT, [4095] * 3)}))
    sentence = "scan.tif uses only the values from 0 to 4,095 of 16 bits, which is not opened in colour."
    assert refused(path, UnsupportedImage) == f"{sentence} Save it with the whole range, or with 8 bits a sample."
    path.write_bytes(tiff_of([colours.tobytes()], tags(3, bits=16) | {341: (SHORT, [65535] * 3)}))
    assert opened(path).remarks == ("Of 16 bits a sample the upper 8 are shown.",)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colours_of_16_bits_are_shown_by_their_upper_8(suffix: str, tmp_path: Path) -> None:
    deep = pyvips.Image.new_from_array(np.dstack([twelve() * 16] * 3)).cast("ushort").copy(interpretation="rgb16")
    deep.write_to_file(str(tmp_path / f"deep.{suffix}"))
    assert opened(tmp_path / f"deep.{suffix}").remarks == ("Of 16 bits a sample the upper 8 are shown.",)
    assert np.abs(pixels_of(tmp_path / f"deep.{suffix}")[:, :, 0] - (twelve() * 16 >> 8)).max() == 0
