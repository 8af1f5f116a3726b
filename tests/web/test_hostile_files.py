"""Files that are two things at once, or far more than they seem: what is served is the image type that it says, and nothing else."""

import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lambdazoom.imaging.memory import resident_memory
from lambdazoom.model.errors import ImageTooLarge
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import picture
from tests.files import chunk, opened, png, refused

SCRIPT = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)" width="9" height="9"/>'


def draw_polyglots(folder: Path) -> list[str]:
    """Images that are pages as well, for who looks for pages."""
    image, text = picture(60, 40), PngInfo()
    text.add_text("Comment", SCRIPT.decode())
    image.save(folder / "comment.jpg", comment=SCRIPT)
    image.save(folder / "comment.png", pnginfo=text)
    image.save(folder / "comment.webp", xmp=SCRIPT, exif=b"Exif\0\0" + SCRIPT)
    image.save(folder / "called.html", "GIF", comment=SCRIPT)
    image.save(folder / "behind.jpg")
    with (folder / "behind.jpg").open("ab") as written:
        written.write(SCRIPT)
    return ["comment.jpg", "comment.png", "comment.webp", "called.html", "behind.jpg"]


def test_what_is_served_of_a_polyglot_is_an_image_and_nothing_else(client: FlaskClient, workspace: Workspace, source: Path) -> None:
    for key in draw_polyglots(source):
        record = settle(ImageKey(key), workspace)
        assert record is not None
        assert record.state(workspace.now()) == State.PUBLISHED, key
        for address, kind in ((f"/dzi/{key}_files/6/0_0.jpg", "image/jpeg"), (f"/thumbnail/{key}.jpg", "image/jpeg")):
            answer = client.get(address)
            assert (answer.status_code, answer.mimetype) == (200, kind), address
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert b"script" not in answer.data
            with Image.open(io.BytesIO(answer.data)) as shown:
                assert (shown.format, shown.info.get("comment")) == ("JPEG", None)


def test_the_original_of_a_polyglot_is_only_handed_out_to_be_kept(client: FlaskClient, workspace: Workspace, source: Path) -> None:
    for key in draw_polyglots(source):
        settle(ImageKey(key), workspace)
        with client.get(f"/original/{key}") as answer:
            assert answer.mimetype == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "content", [SVG, SCRIPT, b"<?xml version='1.0'?>" + SVG, b"\xef\xbb\xbf" + SVG], ids=["svg", "html", "xml", "mark"]
)
def test_a_page_that_is_called_an_image_is_refused(content: bytes, client: FlaskClient, workspace: Workspace, source: Path) -> None:
    (source / "logo.png").write_bytes(content)
    record = settle(ImageKey("logo.png"), workspace)
    assert record is not None
    assert record.state(workspace.now()) == State.FAILED
    assert client.get("/thumbnail/logo.png.jpg").status_code == 404
    page = client.get("/image/logo.png")
    assert b"<script>alert" not in page.data
    assert b"onload=" not in page.data


def test_a_side_that_no_picture_has_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ribbon.png"
    path.write_bytes(png(2**31 - 1, 1, 8, 0, b"\0" * 1000))
    sentence = "ribbon.png claims 2,147,483,647 × 1 pixels; a side may have 2,000,000. Cut it into parts."
    assert refused(path, ImageTooLarge) == sentence


def test_more_data_than_the_picture_has_pixels_are_not_decompressed(tmp_path: Path) -> None:
    """A gigabyte of zeros, in a megabyte, behind a picture of ten thousand pixels."""
    compressor = zlib.compressobj(9)
    packed = [compressor.compress(bytes(1 << 20)) for _ in range(1024)]
    data = b"".join((*packed, compressor.flush()))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    before, started = resident_memory(), time.monotonic()
    assert opened(path).pixels.size == (100, 100)
    assert time.monotonic() - started < 1
    assert resident_memory() - before < 50 << 20


def test_profiles_and_texts_that_unpack_to_much_are_not_unpacked(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)
    whole = png(4, 4, 8, 0, b"\0\1\2\3\4" * 4, chunk(b"iCCP", b"x\0\0" + bomb), chunk(b"zTXt", b"x\0\0" + bomb))
    (tmp_path / "bomb.png").write_bytes(whole)
    before = resident_memory()
    try:
        opened(tmp_path / "bomb.png")
    except Exception as error:  # noqa: BLE001 (whichever of the two, it is a sentence)
        assert "bomb.png is damaged" in str(error)
    assert resident_memory() - before < 50 << 20


def test_ten_thousand_pages_are_not_all_looked_at(tmp_path: Path) -> None:
    """Each directory leads to the next; the last leads back to the first."""
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in ((256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 16))
    )
    size = 2 + len(entries) + 4
    pages = [struct.pack("<H", 9) + entries + struct.pack("<I", 24 + (number + 1) % 10_000 * size) for number in range(10_000)]
    path = tmp_path / "flood.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 24) + bytes(range(16)) + b"".join(pages))
    started = time.monotonic()
    assert opened(path).header.pages == 1000
    assert time.monotonic() - started < 5
