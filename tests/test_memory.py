"""Memory: as much as the width wants where rows stream; told beforehand, in every way, and refused where it is not there."""

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pyvips
from PIL import Image

from benchmarks.drawing import photo_like
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Outcome
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import generations
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.files import deep_ppm, in_plain_text
from tests.tiling import peak_of_tiling

pytestmark = pytest.mark.long  # each measures a process of its own: a minute together

Write = Callable[[pyvips.Image, Path], object]

MEBIBYTE = 1 << 20
TOO_MUCH = 2  # times what was measured is no prediction; how far decoding gets ahead, and has to have room for, differs from run to run


@pytest.fixture(scope="module")
def stone() -> pyvips.Image:
    """What images of any size are laid out with, at little cost."""
    drawn = photo_like(500, 500, seed=4)
    return pyvips.Image.new_from_memory(drawn.tobytes(), 500, 500, 3, "uchar").copy(interpretation="srgb")


def laid(stone: pyvips.Image, width: int, height: int) -> pyvips.Image:
    return stone.replicate(-(-width // 500), -(-height // 500)).crop(0, 0, width, height)


def by_pillow(image: pyvips.Image) -> Image.Image:
    return Image.frombytes("RGB", (image.width, image.height), image.write_to_memory())


def with_alpha(image: pyvips.Image) -> Image.Image:
    drawn = by_pillow(image)
    drawn.putalpha(drawn.convert("L"))
    return drawn


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def tile_command(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lambdazoom", "tile", str(path), str(path.parent / "out"), "--json", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def report_of(path: Path) -> dict[str, Any]:
    """What `tile --json` says of a run in a process of its own."""
    done = tile_command(path)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(path.parent / "out")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


STREAMED: dict[str, Write] = {
    "jpg": lambda image, path: image.jpegsave(str(path), Q=85),
    "png": lambda image, path: image.pngsave(str(path), compression=1),
    "tif": lambda image, path: image.tiffsave(str(path), compression="lzw", tile=True, tile_width=256, tile_height=256),
}


@pytest.mark.parametrize("size", [(1000, 24_000), (4000, 6000)], ids="{0[0]}×{0[1]}".format)
@pytest.mark.parametrize("suffix", STREAMED)
def test_rows_that_stream_take_memory_by_the_width(suffix: str, size: tuple[int, int], stone: pyvips.Image, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{suffix}"
    STREAMED[suffix](laid(stone, *size), path)
    report = report_of(path)
    assert report["way"] == ("band by band" if suffix == "tif" else "row by row")
    beside = 35 * MEBIBYTE  # Python with Pillow
    assert report["peak_memory"] - beside < size[0] * size[1] * 4 / 2
    assert report["peak_memory"] <= report["predicted_memory"] <= TOO_MUCH * report["peak_memory"]


def test_the_same_pixels_take_less_where_they_are_less_wide(stone: pyvips.Image, tmp_path: Path) -> None:
    found = []
    for size in ((1000, 24_000), (12_000, 2000)):
        path = tmp_path / "scan.jpg"
        STREAMED["jpg"](laid(stone, *size), path)
        found.append(report_of(path))
    narrow, wide = found
    assert narrow["peak_memory"] < wide["peak_memory"] - 20 * MEBIBYTE
    assert narrow["predicted_memory"] < wide["predicted_memory"] - 20 * MEBIBYTE


CONVERTED: dict[str, Write] = {
    "CMYK JPEG": lambda image, path: by_pillow(image).convert("CMYK").save(path, "JPEG"),
    "wide gamut": lambda image, path: image.icc_transform("p3").jpegsave(str(path), Q=85, keep="icc"),
    "RGB with alpha": lambda image, path: with_alpha(image).save(path, "PNG", compress_level=1),
    "grey with alpha": lambda image, path: with_alpha(image).convert("LA").save(path, "PNG", compress_level=1),
    "palette": lambda image, path: by_pillow(image).quantize(64).save(path, "PNG", compress_level=1),
    "palette with alpha": lambda image, path: by_pillow(image).quantize(64).save(path, "PNG", transparency=bytes(range(64))),
    "16-bit grey": lambda image, path: image.colourspace("grey16").pngsave(str(path), compression=1),
    "CMYK TIFF": lambda image, path: image.icc_transform("cmyk").tiffsave(str(path), compression="lzw", tile=True),
    "TIFF from below": lambda image, path: by_pillow(image).save(path, "TIFF", tiffinfo={278: 64, 274: 3}, compression="tiff_lzw"),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_what_is_converted_on_the_way_takes_memory_by_the_width_too(kind: str, stone: pyvips.Image, tmp_path: Path) -> None:
    path, size = tmp_path / "scan", (4000, 6000)
    CONVERTED[kind](laid(stone, *size), path)
    report = report_of(path)
    assert report["way"] == ("band by band" if "TIFF" in kind else "row by row")
    assert report["peak_memory"] - 45 * MEBIBYTE < size[0] * size[1] * 4 / 2  # Python with Pillow, and LittleCMS
    assert report["peak_memory"] <= report["predicted_memory"] <= TOO_MUCH * report["peak_memory"]


OTHER: dict[str, Write] = {
    "progressive JPEG": lambda image, path: image.jpegsave(str(path), Q=85, interlace=True),
    "progressive JPEG, 4:4:4": lambda image, path: image.jpegsave(str(path), Q=85, interlace=True, subsample_mode="off"),
    "turned JPEG": lambda image, path: by_pillow(image).save(path, "JPEG", exif=turned()),
    "turned TIFF": lambda image, path: by_pillow(image).save(path, "TIFF", tiffinfo={278: 64, 274: 6}, compression="tiff_lzw"),
    "progressive, wide gamut": lambda image, path: image.icc_transform("p3").jpegsave(str(path), Q=85, keep="icc", interlace=True),
    "interlaced PNG": lambda image, path: image.pngsave(str(path), compression=1, interlace=True),
    "TIFF in one strip": lambda image, path: by_pillow(image).save(path, "TIFF", compression="tiff_lzw", tiffinfo={278: image.height}),
    "floats": lambda image, path: image.colourspace("b-w").cast("float").tiffsave(str(path), tile=True),
    "floats in LZW": lambda image, path: image.colourspace("b-w").cast("float").tiffsave(str(path), tile=True, compression="lzw"),
    "WebP with alpha": lambda image, path: with_alpha(image).save(path, "WEBP", method=0),
    "WebP": lambda image, path: by_pillow(image).save(path, "WEBP", method=0),
    "JPEG 2000": lambda image, path: by_pillow(image).save(path, "JPEG2000", quality_mode="rates", quality_layers=[20]),
    "AVIF": lambda image, path: by_pillow(image).save(path, "AVIF", speed=10),
    "GIF": lambda image, path: by_pillow(image).quantize(64).save(path, "GIF"),
    "PPM, 16 bit": lambda image, path: path.write_bytes(deep_ppm(by_pillow(image))),
    "PPM, plain": lambda image, path: path.write_bytes(in_plain_text(by_pillow(image))),
    "PBM, plain": lambda image, path: path.write_bytes(in_plain_text(by_pillow(image).convert("1"))),
}


@pytest.mark.parametrize("kind", OTHER)
def test_what_is_decoded_whole_is_predicted_too(kind: str, stone: pyvips.Image, tmp_path: Path) -> None:
    path = tmp_path / "scan"
    OTHER[kind](laid(stone, 2500, 2400), path)
    report = report_of(path)
    assert report["way"] == "whole"
    assert report["peak_memory"] <= report["predicted_memory"] <= TOO_MUCH * report["peak_memory"]


@pytest.mark.parametrize("suffix", STREAMED)
def test_of_a_small_image_hardly_more_is_said_than_python_takes(suffix: str, stone: pyvips.Image, tmp_path: Path) -> None:
    path = tmp_path / f"small.{suffix}"
    STREAMED[suffix](laid(stone, 300, 200), path)
    report = report_of(path)
    assert report["peak_memory"] <= report["predicted_memory"] <= TOO_MUCH * report["peak_memory"]


# Limits


def claiming(path: Path, width: int, height: int, **options: object) -> Path:
    """A JPEG whose header claims a size, of which next to nothing is there: whoever decoded it would call it cut off."""
    Image.effect_noise((64, 64), 60).convert("RGB").save(path, "JPEG", **options)
    data = bytearray(path.read_bytes())
    frame = next(data.index(marker) for marker in (b"\xff\xc0\0\x11", b"\xff\xc2\0\x11") if marker in data)
    struct.pack_into(">HH", data, frame + 5, height, width)
    path.write_bytes(data)
    return path


ALLOWED = r"needs about \d\.\d GB; 900 MB are allowed\. Raise [A-Z_a-z-]+, or"


def test_the_command_refuses_before_it_decodes(tmp_path: Path) -> None:
    wishes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"progressive": True}, rf"atlas\.jpg is a progressive JPEG and {ALLOWED} save it as baseline\."),
        ({"exif": turned()}, rf"atlas\.jpg is turned by its EXIF orientation and {ALLOWED} save it upright\."),
    )
    for options, sentence in wishes:
        path = claiming(tmp_path / "atlas.jpg", 30_000, 20_000, **options)
        done = tile_command(path, "--memory-limit", "900")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(rf"lambdazoom: {sentence}\n", done.stderr), done.stderr
        assert list(tmp_path.glob("out/*")) == list(tmp_path.glob("out/.*")) == []


def test_a_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    """libjpeg makes up what a JPEG lacks before its end: of these few kilobytes it would make 2.4 gigabytes."""
    path = claiming(tmp_path / "atlas.jpg", 30_000, 20_000)
    peak, done = peak_of_tiling(path)
    assert done.returncode == 1
    assert done.stderr.startswith("lambdazoom: atlas.jpg is cut off"), done.stderr
    assert peak < 400 * MEBIBYTE


def test_a_blank_page_that_is_hardly_any_bytes_is_read_bit_by_bit(tmp_path: Path) -> None:
    """All of it would fit into what is read of other JPEGs at once."""
    path = tmp_path / "blank.jpg"
    pyvips.Image.black(6000, 8000, bands=3).copy(interpretation="srgb").jpegsave(str(path), Q=80, optimize_coding=True)
    report = report_of(path)
    assert report["way"] == "row by row"
    assert report["peak_memory"] <= report["predicted_memory"] < 120 * MEBIBYTE


def test_rows_that_stream_are_refused_too_where_they_are_too_wide(tmp_path: Path) -> None:
    done = tile_command(claiming(tmp_path / "map.jpg", 65_000, 20_000), "--memory-limit", "200")
    expected = r"map\.jpg is 65,000 pixels wide and needs about \d{3} MB; 200 MB are allowed\. Raise [A-Z_a-z-]+, or save it smaller\."
    assert re.fullmatch(f"lambdazoom: {expected}\n", done.stderr), done.stderr
    assert done.returncode == 1


def with_limits(workspace: Workspace, environment: dict[str, str], **further: str) -> Workspace:
    return replace(workspace, settings=Settings.from_env({**environment, **further}))


@pytest.mark.parametrize(
    ("setting", "there"),
    [
        ({"LAMBDAZOOM_MEMORY_LIMIT": "3008"}, "3.0 GB are allowed. Raise LAMBDAZOOM_MEMORY_LIMIT"),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008"}, "the function has 3.0 GB. Raise memory_size"),
        (
            {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240", "LAMBDAZOOM_MEMORY_LIMIT": "3008"},
            "3.0 GB are allowed. Raise LAMBDAZOOM_MEMORY_LIMIT",
        ),
    ],
    ids=["a limit", "a function", "a limit in a function"],
)
def test_a_job_for_which_there_is_too_little_memory_fails_at_once(
    setting: dict[str, str], there: str, workspace: Workspace, environment: dict[str, str], source: Path
) -> None:
    claiming(source / "atlas.jpg", 30_000, 20_000, progressive=True)
    image = ImageKey("atlas.jpg")
    record = settle(image, with_limits(workspace, environment, **setting))
    assert record is not None
    assert record.tiles is not None
    assert (record.tiles.outcome, record.tiles.code, record.tiles.final) == (Outcome.FAILED, "needs-more-memory", True)
    sentence = rf"atlas\.jpg is a progressive JPEG and needs about [45]\.\d GB; {re.escape(there)}, or save it as baseline\."
    assert re.fullmatch(sentence, record.tiles.sentence)
    assert record.metadata is not None
    assert record.metadata.outcome == Outcome.DONE, "what exiftool reads is there all the same"
    assert generations.published(image, workspace.zoom) is None


def test_a_limit_that_is_enough_does_not_stand_in_the_way(workspace: Workspace, environment: dict[str, str], source: Path) -> None:
    Image.effect_noise((900, 700), 60).convert("RGB").save(source / "cat.jpg")
    limited = with_limits(workspace, environment, AWS_LAMBDA_FUNCTION_MEMORY_SIZE="4096")
    record = settle(ImageKey("cat.jpg"), limited)
    assert record is not None
    assert record.tiles is not None
    assert record.tiles.outcome == Outcome.DONE
    assert record.receipt is not None
    assert 0 < record.receipt.peak_memory <= record.predicted_memory < 4 * 10**9
