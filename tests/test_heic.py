"""HEIC and HEIF, which requirements-formats.txt opens: right pixels, turned once, and without the extra a way to it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from lambdazoom.imaging.formats import looks_like_an_image
from lambdazoom.model.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from tests.conftest import picture
from tests.decoding import decode
from tests.files import by_libvips, numbers, opened, pixels_of, refused, saved, signpost, vips_image

PROJECT = Path(__file__).parents[1]
LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


def heic(path: Path, *images: Image.Image, exif: bytes = b"", primary: int = 0, options: Mapping[str, int] = LOSSLESS) -> Path:
    """A HEIC file by libheif and x265, whose first image bears the EXIF block and its orientation."""
    file = pillow_heif.from_pillow(images[0])
    for image in images[1:]:
        file.add_from_pillow(image)
    if exif:
        file.info["exif"] = exif
    file.save(path, primary_index=primary, **options)
    return path


def branded(whole: bytes, brand: bytes) -> bytes:
    """The file with another major brand (ISO/IEC 14496-12, 4.3)."""
    return whole[:8] + brand + whole[12:]


def exif_with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_the_pixels_are_those_that_were_written(tmp_path: Path) -> None:
    assert np.array_equal(pixels_of(heic(tmp_path / "exact.heic", signpost())), numbers(signpost()))
    photo = heic(tmp_path / "photo.heic", picture(640, 480), options={"quality": 90, "chroma": 444})
    assert np.abs(pixels_of(photo) - numbers(picture(640, 480))).mean() < 2
    found = opened(photo)
    assert (found.header.kind, found.header.width, found.header.height, found.remarks) == ("HEIF", 640, 480, ())


def test_the_general_brand_is_opened_too(tmp_path: Path) -> None:
    path = heic(tmp_path / "cat.heif", signpost())
    path.write_bytes(branded(path.read_bytes(), b"mif1"))
    assert np.array_equal(pixels_of(path), numbers(signpost()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_that_container_and_exif_both_tell_is_made_once(tmp_path: Path, orientation: int) -> None:
    exif = exif_with_orientation(orientation)
    path = heic(tmp_path / "turned.heic", signpost(), exif=exif)
    whole = path.read_bytes()
    assert (b"irot" in whole or b"imir" in whole) == (orientation > 1)
    upright = numbers(by_libvips(saved(signpost(), tmp_path / "turned.png", exif=exif)).autorot())
    assert np.array_equal(pixels_of(path), upright)
    assert (opened(path).header.height, opened(path).header.width) == upright.shape[:2]


def test_the_exif_orientation_alone_turns_nothing(tmp_path: Path) -> None:
    """ISO/IEC 23008-12: the container's properties tell how an image is shown; its EXIF block is only carried along."""
    whole = heic(tmp_path / "turned.heic", signpost(), exif=exif_with_orientation(3)).read_bytes()
    path = tmp_path / "odd.heic"
    path.write_bytes(whole.replace(b"irot", b"free"))
    assert np.array_equal(pixels_of(path), numbers(signpost()))


def test_the_primary_image_is_shown_wherever_it_stands(tmp_path: Path) -> None:
    path = heic(tmp_path / "burst.heic", picture(400, 300), signpost(), primary=1)
    assert np.array_equal(pixels_of(path), numbers(signpost()))


def test_transparent_parts_are_shown_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (96, 64), (200, 30, 30, 0))
    found = opened(heic(tmp_path / "clear.heic", clear))
    assert found.remarks == ("Transparent parts are shown on white.",)
    assert found.pixels.getextrema() == ((255, 255),) * 3


def test_a_profile_is_heeded(tmp_path: Path) -> None:
    wide = vips_image(picture(320, 240)).icc_transform("p3")
    image = Image.fromarray(wide.numpy())
    image.info["icc_profile"] = wide.get("icc-profile-data")
    theirs = numbers(wide.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True))
    assert np.abs(numbers(wide) - theirs).mean() > 2  # the profile does matter
    assert np.abs(pixels_of(heic(tmp_path / "wide.heic", image)) - theirs).mean() < 0.5


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    whole = heic(tmp_path / "whole.heic", picture(640, 480)).read_bytes()
    path = tmp_path / "cut.heic"
    for size in (40, 200, len(whole) // 2):
        path.write_bytes(whole[:size])
        assert refused(path, CorruptImage).endswith(" Replace it with a whole file.")
        assert looks_like_an_image(path)


def test_the_limit_holds_before_a_pixel_is_decoded(tmp_path: Path) -> None:
    path = heic(tmp_path / "large.heic", picture(640, 480))
    with pytest.raises(ImageTooLarge, match=r"large\.heic claims 640 × 480 pixels; 1,000 are allowed"):
        decode(path, path.name, 1000)


def test_other_codecs_in_the_same_container_are_called_by_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "other.heif"
    path.write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1j2ki")
    assert "is an image of the kind HEIF, which is not opened here." in refused(path, UnsupportedImage)


@pytest.mark.parametrize(("brand", "kind"), [(b"heic", "HEIC"), (b"mif1", "HEIF")])
def test_without_the_extra_it_is_refused_by_name_with_the_way_out(tmp_path: Path, brand: bytes, kind: str) -> None:
    whole = heic(tmp_path / "whole.heic", signpost()).read_bytes()
    path = tmp_path / "cat.heic"
    path.write_bytes(branded(whole, brand))
    program = (
        "import sys, pathlib; sys.modules['pillow_heif'] = None\n"  # as if it were not installed
        "from tests.decoding import decode\n"
        "decode(pathlib.Path(sys.argv[1]), 'cat.heic', 10**6)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], cwd=PROJECT, capture_output=True, text=True, check=False)
    sentence = f"cat.heic is an image of the kind {kind}: `pip install -r requirements-formats.txt` opens it. Or save it as JPEG."
    assert done.stderr.rstrip().endswith(f"UnsupportedImage: {sentence}")
    assert (PROJECT / "requirements-formats.txt").exists()


def test_the_extra_is_loaded_by_the_first_file_that_needs_it(tmp_path: Path) -> None:
    heic(tmp_path / "cat.heic", signpost())
    signpost().save(tmp_path / "cat.jpg")
    program = (
        "import sys, pathlib\nfrom tests.decoding import decode\n"
        "for name in ('cat.jpg', 'cat.heic'):\n"
        "    decode(pathlib.Path(sys.argv[1]) / name, name, 10**6)\n"
        "    print('pillow_heif' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
