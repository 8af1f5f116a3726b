"""What is refused, and with which sentence; and what is an image, whatever its name."""

import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.imaging.formats import looks_like_an_image
from lambdazoom.imaging.signatures import is_image_name
from lambdazoom.model.errors import CorruptImage, ImageTooLarge, NotAnImage, NotFound, UnsupportedImage
from lambdazoom.model.geometry import MAX_PIXELS
from tests.conftest import picture
from tests.decoding import decode
from tests.files import chunk, opened, pillow_warns, png, refused, saved, wide_gamut_profile

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


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_png_may_hold_megabytes_of_text_or_profile(kind: bytes, tmp_path: Path) -> None:
    before = {b"zTXt": b"Comment\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0", b"iCCP": b"scanner\0\0"}[kind]
    said = wide_gamut_profile() if kind == b"iCCP" else b"said of it "
    much = chunk(kind, before + zlib.compress(said.ljust(3 << 20, b" ")))
    path = tmp_path / "scan.png"
    path.write_bytes(png(8, 2, 8, 2, bytes(25) * 2, much))
    assert opened(path).pixels.size == (8, 2)


def test_text_that_grows_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8, 2, 8, 2, bytes(25) * 2, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(17 << 20)))))
    assert "too large" in refused(path, CorruptImage)


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
    assert " Replace it with a whole file" in sentence


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
        f"stub.{suffix} is damaged: its header can't be read. Replace it with a whole file.",
        f"stub.{suffix} is cut off. Replace it with a whole file.",
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
    assert refused(tmp_path / "nothing.jpg", NotAnImage) == "nothing.jpg is empty. Replace or delete it in the source."
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


@pytest.mark.parametrize(("frame", "bits"), [(0xC1, 12), (0xC2, 12), (0xC3, 12), (0xC3, 16)])
def test_a_jpeg_of_more_than_8_bits_is_called_by_them(frame: int, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "x-ray.jpg"
    path.write_bytes(jpeg_that_says(path, frame, bits))
    sentence = f"x-ray.jpg is a JPEG of {bits} bits a sample, which is not opened here. Save it as PNG or TIFF."
    assert refused(path, UnsupportedImage) == sentence


@pytest.mark.parametrize(("frame", "bits"), [(0xC0, 0), (0xC0, 9), (0xC1, 16), (0xC2, 255), (0xC3, 1), (0xC3, 17)])
def test_a_jpeg_of_bits_that_there_are_not_is_damaged(frame: int, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "x-ray.jpg"
    path.write_bytes(jpeg_that_says(path, frame, bits))
    assert refused(path, CorruptImage) == "x-ray.jpg is damaged: its header can't be read. Replace it with a whole file."


def jpeg_that_says(path: Path, frame: int, bits: int) -> bytes:
    data = bytearray(saved(picture(60, 40), path).read_bytes())
    start = data.index(b"\xff\xc0")
    data[start + 1], data[start + 4] = frame, bits
    return bytes(data)


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
