"""What a picture's caption tells, of all the places where metadata tell it."""

from pathlib import Path

import pytest

from lambdazoom.metadata.exiftool import ExifTool, Metadata, Tag
from lambdazoom.metadata.facts import caption
from lambdazoom.model.records import Caption
from tests.tagged import a_png, draw, write
from tests.tagged import executable as executable  # a fixture
from tests.tagged import exiftool as exiftool  # a fixture


def test_the_caption_prefers_xmp_to_iptc_and_iptc_to_exif(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    write(executable, path, "-IFD0:Artist=from EXIF", "-IFD0:Copyright=© EXIF", "-IFD0:ImageDescription=from EXIF  ", "-IFD0:Make=Kodak")
    assert caption(exiftool.read(path)) == Caption("", "from EXIF", "© EXIF", "from EXIF", camera="Kodak")
    write(executable, path, "-IPTC:By-line=A", "-IPTC:By-line=B", "-IPTC:ObjectName=from IPTC", "-IPTC:CopyrightNotice= ")
    assert caption(exiftool.read(path)) == Caption("from IPTC", "A, B", "© EXIF", "from EXIF", camera="Kodak")
    write(executable, path, "-XMP-dc:Title=Harbour", "-XMP-dc:Title-de=Hafen", "-XMP-dc:Creator=C", "-XMP-dc:Description-fr=Le port")
    assert caption(exiftool.read(path)) == Caption("Harbour", "C", "© EXIF", "Le port", camera="Kodak")


@pytest.mark.parametrize(
    ("written", "camera", "taken"),
    [
        (("-Make=FUJIFILM", "-Model=X-T5", "-DateTimeOriginal=2024:05:17 10:20:30"), "FUJIFILM X-T5", "2024-05-17"),
        (("-Make=NIKON CORPORATION", "-Model=NIKON D850"), "NIKON D850", ""),
        (("-XMP-tiff:Model=Scanner 9", "-XMP-photoshop:DateCreated=1987-03-01"), "Scanner 9", "1987-03-01"),
        (("-XMP-photoshop:DateCreated=1987",), "", ""),
        (("-n", "-IFD0:Make=", "-DateTimeOriginal=0000:00:00 00:00:00"), "", ""),
    ],
)
def test_the_caption_tells_camera_and_day(
    executable: Path, exiftool: ExifTool, tmp_path: Path, written: tuple[str, ...], camera: str, taken: str
) -> None:
    path = draw(tmp_path / "picture.jpg")
    write(executable, path, *written)
    said = caption(exiftool.read(path))
    assert (said.camera, said.taken) == (camera, taken)


def test_the_caption_is_found_whatever_copy_number_exiftool_gave(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    metadata = exiftool.read(a_png(executable, tmp_path))
    assert {"PNG:Title", "XMP:XMP-dc:Title"} & set(metadata.tags) < {"PNG:Title", "XMP:XMP-dc:Title"}
    assert caption(metadata).title == "from XMP"


def test_the_caption_reads_texts_in_several_languages() -> None:
    tags: dict[str, Tag] = {
        "XMP:XMP-dc:Title": {"text": {"de": "Hafen", "x-default": "Harbour"}},
        "XMP:XMP-dc:Rights": {"text": {"de": "Alle"}},
        "XMP:XMP-dc:Creator": {"text": ["A", " ", "B"]},
        "XMP:XMP-dc:Description": {"text": {}},
    }
    assert caption(Metadata(tags, "13.59")) == Caption("Harbour", "A, B", "Alle", "")
