"""What tests of exiftool share: exiftool at work, and files with tags that it has written."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.operations import bundle


@pytest.fixture(scope="session")
def executable() -> Path:
    return bundle.build().executable


@pytest.fixture(scope="session")
def exiftool(executable: Path) -> Iterator[ExifTool]:
    with ExifTool(executable, seconds=30) as running:
        yield running


def draw(path: Path, width: int = 64, height: int = 48) -> Path:
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(path)
    return path


def write(executable: Path, path: Path, *arguments: str) -> Path:
    subprocess.run([executable, "-config", "", "-q", "-overwrite_original", *arguments, path], check=True, timeout=60)
    return path


def a_png(executable: Path, folder: Path) -> Path:
    text = PngInfo()
    text.add_text("Title", "plain")
    text.add_text("Comment", "compressed " * 40, zip=True)
    text.add_itxt("Description", "übersetzt", lang="de", tkey="Beschreibung")
    text.add_itxt("Description", "compressed and international " * 20, lang="en", tkey="Description", zip=True)
    Image.new("RGBA", (10, 10), (10, 20, 30, 40)).save(folder / "picture.png", pnginfo=text)
    return write(executable, folder / "picture.png", "-EXIF:Make=Kodak", "-XMP-dc:Title=from XMP")
