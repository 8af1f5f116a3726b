"""Every tag arrives, nothing of ours leaves, and exiftool's death or sleep is survived; the oracle is exiftool's own text print."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lambdazoom.metadata.exiftool import ExifTool, Metadata, Tag, find_exiftool
from lambdazoom.metadata.facts import caption, without_copy
from lambdazoom.model.errors import ExifToolFailed, ExifToolMissing, ExifToolTimeout
from lambdazoom.model.records import Caption
from lambdazoom.operations import bundle

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")


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


def a_png(executable: Path, folder: Path) -> Path:
    text = PngInfo()
    text.add_text("Title", "plain")
    text.add_text("Comment", "compressed " * 40, zip=True)
    text.add_itxt("Description", "übersetzt", lang="de", tkey="Beschreibung")
    text.add_itxt("Description", "compressed and international " * 20, lang="en", tkey="Description", zip=True)
    Image.new("RGBA", (10, 10), (10, 20, 30, 40)).save(folder / "picture.png", pnginfo=text)
    return write(executable, folder / "picture.png", "-EXIF:Make=Kodak", "-XMP-dc:Title=from XMP")


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


def test_numbers_that_json_has_no_word_for_stay_text(executable: Path, exiftool: ExifTool, tmp_path: Path) -> None:
    nothing = {"-FNumber#=1/0", "-ExposureTime#=inf", "-XMP-exif:FNumber#=9e999", "-XMP-crs:Exposure2012=1e999"}
    path = write(executable, draw(tmp_path / "picture.jpg"), *nothing)
    json.dumps(exiftool.read(path).tags, allow_nan=False)


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


def test_nothing_runs_before_the_first_file_and_nothing_after_close(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        assert fresh.pid is None
        fresh.read(path)
        first = fresh.pid
        assert first is not None
        fresh.read(path)
        assert fresh.pid == first
    assert fresh.pid is None
    assert not is_there(first)
    fresh.close()


def test_a_process_that_was_killed_between_two_files_is_replaced_unnoticed(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        before = fresh.read(path)
        killed = fresh.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: fresh.pid is None)
        assert fresh.read(path) == before
        assert fresh.pid not in {None, killed}


def test_a_process_that_dies_in_the_middle_fails_this_file_and_not_the_next(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        fresh.read(path)
        child = fresh.pid
        assert child is not None
        os.kill(child, signal.SIGSTOP)  # so that it is surely in the middle when the blow comes
        threading.Timer(0.2, os.kill, (child, signal.SIGKILL)).start()
        with pytest.raises(ExifToolFailed, match="stopped in the middle"):
            fresh.read(path)
        assert not is_there(child)
        assert fresh.read(path).tags["File:FileType"]["text"] == "JPEG"


def test_a_hung_exiftool_is_ended_at_the_limit_and_the_next_file_is_read(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable, seconds=5) as fresh:
        fresh.read(path)
        child = fresh.pid
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(ExifToolTimeout, match=re.escape("exiftool took longer than 5 s.")):
            fresh.read(path)
        assert 4.5 < time.monotonic() - started < 15
        assert not is_there(child)
        assert fresh.read(path).tags["File:FileType"]["text"] == "JPEG"


def test_a_program_that_only_sleeps_is_ended_with_its_children(tmp_path: Path) -> None:
    sleeper = tmp_path / "exiftool"
    sleeper.write_text(f"#!/bin/sh\nsleep 600 &\necho $! >{tmp_path}/child\nwait\n")
    sleeper.chmod(0o755)
    with ExifTool(sleeper, seconds=1) as fresh, pytest.raises(ExifToolTimeout):
        fresh.read(draw(tmp_path / "picture.jpg"))
    child = int((tmp_path / "child").read_text())
    assert wait_until(lambda: not is_there(child))


def test_a_program_that_fills_stderr_is_no_deadlock(executable: Path, tmp_path: Path) -> None:
    noisy = tmp_path / "noisy exiftool"
    noisy.write_text(f'#!/bin/sh\nhead -c 300000 /dev/zero | tr "\\0" x >&2\nexec "{executable}" "$@"\n')
    noisy.chmod(0o755)
    with ExifTool(noisy, seconds=20) as fresh:
        assert fresh.read(draw(tmp_path / "picture.jpg")).tags["File:FileType"]["text"] == "JPEG"


def test_a_program_that_never_stops_talking_is_ended(tmp_path: Path) -> None:
    chatter = tmp_path / "exiftool"
    chatter.write_text("#!/bin/sh\nexec yes\n")
    chatter.chmod(0o755)
    with ExifTool(chatter, seconds=30) as fresh:
        with pytest.raises(ExifToolFailed, match="says more than"):
            fresh.read(draw(tmp_path / "picture.jpg"))
        assert fresh.pid is None


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/nowhere/perl\n", "no program"])
def test_a_program_that_does_not_start_is_named(script: str, tmp_path: Path) -> None:
    broken = tmp_path / "exiftool"
    broken.write_text(script)
    broken.chmod(0o755)
    with ExifTool(broken, seconds=20) as fresh, pytest.raises(ExifToolMissing, match="does not start"):
        fresh.read(draw(tmp_path / "picture.jpg"))


def test_many_threads_share_one_process(exiftool: ExifTool, tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{width}.jpg", width) for width in range(20, 60)]
    widths: dict[Path, object] = {}

    def read(mine: list[Path]) -> None:
        widths.update((path, exiftool.read(path).tags["File:ImageWidth"]["text"]) for path in mine)

    threads = [threading.Thread(target=read, args=(paths[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert widths == {path: path.stem for path in paths}


def test_a_process_outlives_the_thread_that_started_it(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        starter = threading.Thread(target=fresh.read, args=(path,))
        starter.start()
        starter.join()
        child = fresh.pid
        fresh.read(path)
        assert fresh.pid == child is not None


@linux
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_child_sees_no_secret_of_ours(wrapped: bool, executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("PERL5OPT", "-Mnonsense")
    program = executable
    if not wrapped:  # an exiftool as a system installs it: a script that starts perl, with no `env -i` before it
        program = tmp_path / "exiftool"
        perl = bundle_perl(executable)
        program.write_text(f'#!/bin/sh\nexec {perl} "{executable.parent}/image-exiftool/exiftool" "$@"\n')
        program.chmod(0o755)
    with ExifTool(program) as fresh:
        fresh.read(draw(tmp_path / "picture.jpg"))
        names = {line.split(b"=")[0] for line in Path(f"/proc/{fresh.pid}/environ").read_bytes().split(b"\0") if line}
    assert names - {b"PWD", b"_", b"OLDPWD", b"SHLVL"} == {b"PATH", b"HOME", b"LC_ALL"}
    assert names == {b"PATH", b"HOME", b"LC_ALL"} or not wrapped


def bundle_perl(executable: Path) -> str:
    perl = executable.parent / "perl"
    return f'"{perl}/bin/perl" "-I{perl}/arch" "-I{perl}/lib"' if perl.exists() else "perl"


@linux
def test_the_parent_can_not_be_dumped_once_exiftool_runs(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    script = """
import ctypes, sys
from pathlib import Path
from lambdazoom.metadata.exiftool import ExifTool
libc = ctypes.CDLL(None)
before = libc.prctl(3, 0, 0, 0, 0)
with ExifTool(Path(sys.argv[1])) as exiftool:
    exiftool.read(Path(sys.argv[2]))
    sys.stdout.write(f"{before} {libc.prctl(3, 0, 0, 0, 0)}")
"""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, executable, path], capture_output=True, text=True, check=True, timeout=60, cwd=root
    )
    assert done.stdout == "1 0"


@linux
def test_exiftool_ends_when_its_parent_is_killed(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    script = """
import os, sys
from pathlib import Path
from lambdazoom.metadata.exiftool import ExifTool
exiftool = ExifTool(Path(sys.argv[1]))
exiftool.read(Path(sys.argv[2]))
sys.stdout.write(str(exiftool.pid))
sys.stdout.flush()
os.kill(os.getpid(), 9)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, executable, path], capture_output=True, text=True, check=False, timeout=60, cwd=root
    )
    assert wait_until(lambda: not is_there(int(done.stdout)))


def test_a_configuration_of_the_users_is_not_run(executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ExifTool_config").write_text(f"open my $f, '>', '{tmp_path}/ran'; 1;\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with ExifTool(executable) as fresh:
        fresh.read(draw(tmp_path / "picture.jpg"))
    assert not (tmp_path / "ran").exists()


def test_the_configured_exiftool_comes_first_and_then_the_bundle(executable: Path, tmp_path: Path) -> None:
    own = tmp_path / "exiftool"
    own.write_text("#!/bin/sh\n")
    with pytest.raises(ExifToolMissing, match=re.escape(str(own))):
        find_exiftool(own)
    own.chmod(0o755)
    assert find_exiftool(own) == own
    assert find_exiftool(None) == executable


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


def is_there(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent to notice doesn't."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
