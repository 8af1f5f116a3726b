"""Every tag arrives, nothing of ours leaves, whatever the file and its name; the oracle is exiftool's own text print."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.metadata.exiftool import ExifTool, Tag
from lambdazoom.metadata.facts import without_copy
from lambdazoom.model.errors import ExifToolFailed
from tests.tagged import a_png, draw, write
from tests.tagged import executable as executable  # a fixture
from tests.tagged import exiftool as exiftool  # a fixture


def a_jpeg(executable: Path, folder: Path) -> Path:
    thumbnail = draw(folder / "thumbnail.jpg", 16, 12)
    path = write(executable, draw(folder / "picture.jpg"), "-Make=Kodak", "-IFD1:Make=Other", f"-ThumbnailImage<={thumbnail}")
    place = [
        "-GPSLatitude=33.8568",
        "-GPSLatitudeRef=S",
        "-GPSLongitude=151.2153",
        "-GPSLongitudeRef=E",
        "-GPSAltitude=12.5",
        "-GPSAltitudeRef=0",
    ]
    times = ["-DateTimeOriginal=2024:02:29 12:00:00", "-ExposureTime=1/800", "-FNumber=5.6", "-UserComment=1.10"]
    words = ["-IPTC:Keywords=one", "-IPTC:Keywords=two", "-XMP-dc:Creator=A, B", "-XMP-dc:Creator=C", "-Comment=two\nlines\t"]
    title = [
        "-XMP-dc:Title=Harbour",
        "-XMP-dc:Title-de=Hafen",
        "-XMP-xmpRights:Marked=True",
        "-XMP-xmp:Label=007",
        "-XMP-xmp:Nickname=1e999",
    ]
    area = "{Area={X=0.10,Y=0.2,W=0.3,H=0.4,Unit=normalized},Name=N,Type=Face}"
    regions = f"-XMP-mwg-rs:RegionInfo={{AppliedToDimensions={{W=64,H=48,Unit=pixel}},RegionList=[{area}]}}"
    return write(executable, path, *place, *times, *words, *title, regions)


def a_tiff(executable: Path, folder: Path) -> Path:
    path = folder / "scan.tif"
    pages = [Image.new("I;16", (20, 10), 300), Image.new("L", (10, 5))]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate")
    return write(executable, path, "-IFD0:Artist=Somebody", "-XMP-dc:Rights=None", "-IPTC:Caption-Abstract=Scanned")


def a_webp(executable: Path, folder: Path) -> Path:
    Image.new("RGB", (10, 10)).save(folder / "picture.webp")
    return write(executable, folder / "picture.webp", "-EXIF:Artist=Somebody", "-XMP-dc:Creator=Somebody else", "-EXIF:GPSLatitude=1.5")


LINE = re.compile(r"\[(?P<group>[^\]]+)\] +(?P<name>\S+) +: (?P<text>.*)")


def printed(executable: Path, path: Path) -> set[tuple[str, str]]:
    """(key, text) of each line that `exiftool -a -G0:1:4 -s` prints, but for the groups that are about our file system.

    -struct makes it print what is nested as one value, and JSONQ writes that value as JSON rather than in a notation of exiftool's own.
    """
    options = ["-config", "", "-a", "-G0:1:4", "-s", "-struct", "-api", "StructFormat=JSONQ"]
    done = subprocess.run([executable, *options, path], capture_output=True, check=True, timeout=60)
    lines = [LINE.fullmatch(line) for line in done.stdout.decode().splitlines()]
    found = [(f"{line['group']}:{line['name']}", line["text"]) for line in lines if line]
    assert len(found) == len(lines)
    return {(key, text) for key, text in found if not key.startswith("File:System:")}


def as_printed(tag: Tag) -> str:
    """Our value as the text print shows it: control characters as dots, no space at the end, lists and structures as dense JSON."""
    if isinstance(tag["text"], str):
        return re.sub(r"[\x01-\x1f\x7f]", ".", tag["text"]).rstrip()
    return json.dumps(tag["text"], ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("make", [a_jpeg, a_tiff, a_png, a_webp])
def test_the_metadata_holds_tag_for_tag_what_exiftool_prints(
    make: Callable[[Path, Path], Path], executable: Path, exiftool: ExifTool, tmp_path: Path
) -> None:
    path = make(executable, tmp_path)
    metadata = exiftool.read(path)
    ours = {(key, as_printed(tag)) for key, tag in metadata.tags.items()}
    assert len(ours) == len(metadata.tags) > 15
    assert ours == printed(executable, path)
    assert metadata.exiftool_version == "13.59"


def test_tags_of_one_name_are_kept_apart(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    tags = exiftool.read(a_jpeg(executable, tmp_path)).tags
    assert tags["EXIF:IFD0:Make"]["text"] == "Kodak"
    assert tags["EXIF:IFD1:Copy1:Make"]["text"] == "Other"
    assert without_copy("EXIF:IFD1:Copy1:Make") == "EXIF:IFD1:Make"
    assert without_copy("EXIF:IFD0:CopyStatus") == "EXIF:IFD0:CopyStatus"


def test_values_come_as_text_and_as_number_where_the_two_differ(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    tags = exiftool.read(a_jpeg(executable, tmp_path)).tags
    assert tags["EXIF:ExifIFD:ExposureTime"] == {"text": "1/800", "number": 0.00125}
    assert tags["EXIF:GPS:GPSLatitudeRef"] == {"text": "South", "number": "S"}
    assert tags["Composite:GPSLatitude"]["number"] == pytest.approx(-33.8568)
    assert tags["File:ImageWidth"] == {"text": "64"}
    assert tags["EXIF:ExifIFD:UserComment"] == {"text": "1.10"}
    assert tags["XMP:XMP-xmp:Label"] == {"text": "007"}
    assert tags["XMP:XMP-xmp:Nickname"] == {"text": "1e999"}
    assert tags["XMP:XMP-xmpRights:Marked"] == {"text": "True"}


def test_lists_and_structures_keep_their_shape(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    tags = exiftool.read(a_jpeg(executable, tmp_path)).tags
    assert tags["XMP:XMP-dc:Creator"]["text"] == ["A, B", "C"]
    region = {"Area": {"H": "0.4", "Unit": "normalized", "W": "0.3", "X": "0.10", "Y": "0.2"}, "Name": "N", "Type": "Face"}
    assert tags["XMP:XMP-mwg-rs:RegionInfo"]["text"] == {
        "AppliedToDimensions": {"H": "48", "Unit": "pixel", "W": "64"},
        "RegionList": [region],
    }


def test_binary_values_are_named_and_not_included(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    text = exiftool.read(a_jpeg(executable, tmp_path)).tags["EXIF:IFD1:ThumbnailImage"]["text"]
    assert re.fullmatch(r"\(Binary data \d+ bytes, use -b option to extract\)", str(text))


def test_our_own_path_is_nowhere_in_what_is_read(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-of-ours"
    folder.mkdir()
    metadata = exiftool.read(a_jpeg(executable, folder))
    text = json.dumps(metadata.tags)
    assert not any(part in text for part in (str(tmp_path), "a-folder-of-ours", "picture.jpg", "SourceFile", "System:"))


def test_values_that_are_no_utf_8_are_read_as_valid_text(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (8, 8)).save(path, comment=b"caf\xe9 \xff\xfe \xed\xa0\x80 \xf4\xbf\xbf\xbf \x00 end")
    metadata = exiftool.read(path)
    comment = str(metadata.tags["File:Comment"]["text"])
    assert comment.startswith("caf")
    assert "end" in comment
    assert json.loads(json.dumps(metadata.tags, ensure_ascii=False, allow_nan=False).encode("utf-8")) == metadata.tags


LATIN = ("Zoë Müller", "100 € – “À Ýve”", "Áé", "Ã ©", "plain")
WRITTEN = {
    "Latin-1": (LATIN, ("-charset", "EXIF=Latin")),
    "UTF-8": ((*LATIN, "Ånh Привет 日本"), ("-charset", "EXIF=UTF8", "-charset", "IPTC=UTF8")),
    "UTF-8, as IPTC says": ((*LATIN, "Ånh Привет 日本"), ("-IPTC:CodedCharacterSet=UTF8",)),
}


@pytest.mark.parametrize("charset", WRITTEN)
def test_texts_come_as_they_were_written_in_latin_1_or_utf_8(charset: str, executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    every_word, options = WRITTEN[charset]
    for words in every_word:
        given = [f"-{tag}={words}" for tag in ("EXIF:Artist", "EXIF:Copyright", "EXIF:UserComment", "EXIF:XPTitle", "IPTC:Headline")]
        many = ["-IPTC:Keywords=one", f"-IPTC:Keywords={words}"]
        tags = exiftool.read(
            write(executable, draw(tmp_path / "picture.jpg"), *options, "-n", f"-InteropIndex={words}", *given, *many)
        ).tags
        for key in ("IFD0:Artist", "IFD0:Copyright", "ExifIFD:UserComment", "IFD0:XPTitle"):
            assert tags[f"EXIF:{key}"] == {"text": words}
        assert tags["EXIF:InteropIFD:InteropIndex"] == {"text": f"Unknown ({words})", "number": words}
        assert tags["IPTC:Headline"] == {"text": words}
        assert tags["IPTC:Keywords"] == {"text": ["one", words]}


def test_numbers_that_json_has_no_word_for_stay_text(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    """The XMP is by hand: exiftool writes what is beyond its fractions as the greatest of them, 4294967295/1."""
    picture = write(executable, draw(tmp_path / "picture.jpg"), "-FNumber#=1/0", "-ExposureTime#=inf")
    sidecar = tmp_path / "sidecar.xmp"
    given = 'exif:FNumber="9e999" exif:FocalLength="-9e999" exif:MaxApertureValue="inf" crs:Exposure2012="1e999" crs:Tint="NaN"'
    names = 'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"'
    rdf = f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description {names} {given}/></rdf:RDF>'
    sidecar.write_text(f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>')
    tags = {**exiftool.read(picture).tags, **exiftool.read(sidecar).tags}
    expected = {
        "EXIF:ExifIFD:FNumber": {"text": "inf"},
        "EXIF:ExifIFD:ExposureTime": {"text": "inf"},
        "XMP:XMP-exif:FNumber": {"text": "Inf", "number": "9e999"},
        "XMP:XMP-exif:FocalLength": {"text": "-Inf mm", "number": "-9e999"},
        "XMP:XMP-exif:MaxApertureValue": {"text": "Inf"},
        "XMP:XMP-crs:Exposure2012": {"text": "1e999"},
        "XMP:XMP-crs:Tint": {"text": "NaN"},
    }
    assert {key: tags[key] for key in expected} == expected
    json.dumps(tags, allow_nan=False)


def test_a_structure_that_is_nested_without_end_is_refused(exiftool: ExifTool, tmp_path: Path) -> None:
    inner = "<rdf:Description><a:b>" * 200 + "x" + "</a:b></rdf:Description>" * 200
    rdf = f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:a="http://a/"><a:b>{inner}</a:b>'
    path = tmp_path / "deep.xmp"
    path.write_text(f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</rdf:Description></rdf:RDF></x:xmpmeta>')
    with pytest.raises(ExifToolFailed, match="levels deep"):
        exiftool.read(path)


def test_an_empty_file_is_refused_with_exiftools_reason(exiftool: ExifTool, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ExifToolFailed, match="File is empty"):
        exiftool.read(tmp_path / "empty.jpg")


def test_a_file_of_unknown_kind_is_refused_with_exiftools_reason(exiftool: ExifTool, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(ExifToolFailed, match="Unknown file type"):
        exiftool.read(tmp_path / "noise")


def test_a_text_file_has_tags_of_its_own(exiftool: ExifTool, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture\n")
    assert exiftool.read(tmp_path / "notes.jpg").tags["File:MIMEType"]["text"] == "text/plain"


def test_of_a_truncated_file_what_is_there_is_read_with_the_complaint(exiftool: ExifTool, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    path.write_bytes(path.read_bytes()[:300])
    tags = exiftool.read(path).tags
    assert tags["File:FileType"]["text"] == "JPEG"
    assert "ExifTool:Warning" in tags


@pytest.mark.parametrize("name", ["x\n-if\nsystem('id')\n.jpg", "x\r-ver\r.jpg"])
def test_a_path_with_a_line_break_is_refused_and_nothing_runs(name: str, executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg").rename(tmp_path / name)
    with ExifTool(executable) as fresh:
        with pytest.raises(ExifToolFailed, match="line break"):
            fresh.read(path)
        assert fresh.pid is None


def test_a_path_that_is_no_file_is_refused(executable: Path, tmp_path: Path) -> None:
    with ExifTool(executable) as fresh:
        for path in (tmp_path, tmp_path / "nothing.jpg", tmp_path / "a\0b"):
            with pytest.raises(ExifToolFailed, match="was not asked"):
                fresh.read(path)
        assert fresh.pid is None


@pytest.mark.parametrize("name", ["-ver", "#comment", "@args", "--", "a b|", " space ", "ünï", "$(id)`id`.jpg"])
def test_names_that_look_like_options_or_commands_are_only_names(
    name: str, exiftool: ExifTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "picture.jpg").rename(tmp_path / name)
    assert exiftool.read(Path(name)).tags["File:FileType"]["text"] == "JPEG"


def test_a_name_that_is_no_utf_8_can_be_read(exiftool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    try:
        draw(tmp_path / "picture.jpg").rename(path)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert exiftool.read(path).tags["File:FileType"]["text"] == "JPEG"
