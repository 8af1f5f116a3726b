"""The benchmarks measure what they say, go on where they were, and compare programs that make the same thing."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from benchmarks import buckets, figures, machine, measuring, page, pictures, quick
from benchmarks.cutting import DZSAVE, OPENZOOM, OURS, VIPS, case, compare, cores_here, cut, peers_here, tiles_in
from benchmarks.drawing import draw, photo_like
from benchmarks.figures import Figure
from benchmarks.ledger import Ledger
from benchmarks.limits import Limit, limit
from benchmarks.measuring import Measured, available_cores, in_turns, measure, only, summary
from benchmarks.pictures import Picture
from benchmarks.plot import Line, Panel, svg
from benchmarks.tables import table
from lambdazoom.model.geometry import Pyramid, Recipe

MEBIBYTE = 2**20
SVG = "{http://www.w3.org/2000/svg}"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def canvases() -> tuple[Image.Image, ...]:
    return tuple(photo_like(160, 120, seed) for seed in range(4))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Picture]:
    """Draws an image of several tiles into a folder of its own."""
    for module in ("benchmarks.pictures", "benchmarks.cutting", "benchmarks.buckets"):
        monkeypatch.setattr(f"{module}.FOLDER", tmp_path)

    def drawn(kind: str) -> Picture:
        picture = Picture(kind, 100, 700, 500)
        draw(picture.path, canvases)
        return picture

    return drawn


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl", "the same")


def test_waiting_is_wall_time_and_work_is_processor_time() -> None:
    waiting = measure(python("import time; time.sleep(0.4)"))
    working = measure(python("import time\nwhile time.process_time() < 0.4: pass"))
    assert waiting.wall >= 0.4
    assert waiting.cpu < 0.3
    assert working.cpu >= 0.4


def test_peak_memory_is_the_most_that_the_process_held() -> None:
    # both above what this process holds, which is as little as a child's memory can be
    less, more = (measure(python(f"bytearray(b'x') * ({size} * 2**20)")) for size in (400, 500))
    assert 90 * MEBIBYTE < more.peak_memory - less.peak_memory < 110 * MEBIBYTE


def test_a_program_that_fails_ends_the_benchmark_with_its_own_words() -> None:
    with pytest.raises(SystemExit, match="no such planet"):
        measure(python("raise SystemExit('no such planet')"))


def test_a_measured_program_sees_only_the_cores_that_it_is_given() -> None:
    with only(1):
        assert measure(python("import os, sys; sys.exit(len(os.sched_getaffinity(0)) - 1)")).wall > 0
        assert available_cores() == 1
    assert available_cores() == len(os.sched_getaffinity(0))


def test_more_cores_than_there_are_cannot_be_had() -> None:
    with pytest.raises(SystemExit, match="can't be had"), only(available_cores() + 1):
        pass


def test_no_measured_program_of_ours_compiles_itself() -> None:
    machine.prepare()
    done = subprocess.run([sys.executable, "-v", "-c", "import lambdazoom.cli"], capture_output=True, text=True, check=True)
    assert re.search(r"cli\.\S*pyc matches \S*cli\.py", done.stderr)


def test_one_odd_run_of_five_changes_no_median() -> None:
    runs = [Measured(wall, 2 * wall, 100) for wall in (1.0, 1.2, 1.1, 9.0, 1.3)]
    said = summary(runs)
    assert (said.wall, said.cpu, said.fastest, said.slowest, said.rounds) == (1.2, 2.4, 1.0, 9.0, 5)


def test_programs_take_turns_and_go_on_where_they_were(tmp_path: Path) -> None:
    order: list[str] = []

    def run(name: str) -> Measured:
        order.append(name)
        if len(order) == 4:
            raise KeyboardInterrupt
        return Measured(1, 1, 1)

    path = tmp_path / "ledger.jsonl"
    programs = {"one": lambda: run("one"), "other": lambda: run("other")}
    with pytest.raises(KeyboardInterrupt):
        in_turns("a case", programs, 3, Ledger(path, "the same"))
    in_turns("a case", programs, 3, Ledger(path, "the same"))
    assert order == ["one", "other", "one", "other", "other", "one", "other"]


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = Ledger(path, "the same")
    first.add("a case", "one", Measured(1, 2, 3))
    first.add("a case", "one", Measured(4, 5, 6))
    path.write_text(path.read_text()[:-20])
    assert Ledger(path, "the same").runs("a case", "one") == [Measured(1, 2, 3)]
    assert Ledger(path, "the same").runs("a case", "one") == [Measured(1, 2, 3)]


def test_measurements_of_other_code_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, "before").add("a case", "one", Measured(1, 2, 3))
    assert Ledger(path, "after").runs("a case", "one") == []


def test_a_finished_benchmark_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    finished = Ledger(path, "the same")
    finished.add("a case", "one", Measured(1, 2, 3))
    finished.close()
    assert Ledger(path, "the same").runs("a case", "one") == []


def test_a_table_stands_in_straight_columns() -> None:
    lines = table(("image", "s"), [("JPEG", "1.25"), ("a longer one", "10.0")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].endswith("1.25 |")


@pytest.mark.parametrize(("measured", "verdict"), [(0.45, "holds"), (0.4501, "MISSED")])
def test_a_promise_holds_up_to_what_is_required(measured: float, verdict: str) -> None:
    assert Figure("time", measured, required=0.45).verdict == verdict


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_all_programs_make_the_same_tiles(kind: str, small: Callable[[str], Picture]) -> None:
    picture = small(kind)
    for program in (OURS, *peers_here(), OPENZOOM):
        assert cut(program, picture).wall > 0  # it counts them itself


def test_a_program_that_leaves_out_a_tile_is_caught(small: Callable[[str], Picture]) -> None:
    picture = small("JPEG")
    larger = Picture("JPEG", 100, 700, 500 + 254)
    picture.path.rename(larger.path)
    with pytest.raises(SystemExit, match="where there should be"):
        cut(DZSAVE, larger)


def test_the_openzoom_style_tiles_look_like_ours(small: Callable[[str], Picture], tmp_path: Path) -> None:
    picture = small("JPEG")
    ours, theirs = (tmp_path / program.name / f"{picture.path.stem}_files" for program in (OURS, OPENZOOM))
    for program, folder in ((OURS, ours), (OPENZOOM, theirs)):
        measure(program.command(picture.path, folder.parent / picture.path.stem))
    for tile in ("10/0_0.jpg", "10/2_1.jpg", "9/0_0.jpg"):
        with Image.open(ours / tile) as one, Image.open(theirs / tile) as other:
            assert one.size == other.size
            assert np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean() < 6


def test_the_images_are_the_same_picture_as_the_figures_name_them(small: Callable[[str], Picture]) -> None:
    jpeg, png, tiff = (pyvips.Image.new_from_file(str(small(kind).path)) for kind in ("JPEG", "PNG", "TIFF"))
    assert (jpeg - png).abs().max() == (jpeg - tiff).abs().max() == 0
    with Image.open(small("JPEG").path) as image:
        assert not image.info.get("progressive")
        bits = small("JPEG").path.stat().st_size * 8 / image.width / image.height
        assert 1.2 < bits < 3
    with Image.open(small("TIFF").path) as image:
        assert image.info["compression"] == "tiff_lzw"
        assert image.tag_v2[322] == image.tag_v2[323] == 256  # type: ignore[attr-defined]


def test_an_image_is_drawn_once(small: Callable[[str], Picture]) -> None:
    path = small("JPEG").path
    drawn_at = path.stat().st_mtime_ns
    pictures.draw([small("JPEG")])
    assert path.stat().st_mtime_ns == drawn_at
    assert not list(path.parent.glob(".photo*"))


def test_the_vips_command_is_asked_for_the_same_pyramid(tmp_path: Path) -> None:
    command = VIPS.command(Path("a.jpg"), tmp_path / "a")
    assert command[:2] == ["vips", "dzsave"]
    assert {".jpg[Q=80,subsample_mode=on]", "254", "1", "onepixel"} <= set(command)


def test_the_limit_is_below_what_the_whole_takes(small: Callable[[str], Picture]) -> None:
    picture = small("PNG")
    least = limit(picture, rounds=1)
    assert 0 < least.seconds(2) == (least.decode + least.encode) / 2 < cut(OURS, picture).wall


def test_from_bucket_to_bucket_all_store_the_same_tiles(small: Callable[[str], Picture], ledger: Ledger, tmp_path: Path) -> None:
    picture = small("JPEG")
    buckets.compare(picture, 1, ledger)
    buckets.compare_storing(1, ledger, tiles=20)
    assert ledger.programs(buckets.case(picture)) == ["lambdazoom", "dzsave + s5cmd", "dzsave + boto3"]
    assert ledger.programs(buckets.STORING) == ["lambdazoom", "boto3"]
    assert not list(tmp_path.glob(".buckets-*"))


def test_the_quick_table_sets_each_figure_beside_what_is_required(small: Callable[[str], Picture], ledger: Ledger) -> None:
    picture = small("JPEG")
    compare(picture, [OURS, DZSAVE], cores_here(), 1, ledger)
    row = quick.report([picture], 1, ledger).splitlines()[-1]
    assert re.match(r"\| JPEG 100 MP \|.*\| +≤ 0.45 \| *(holds|MISSED) \| +≤ 130 \| *(holds|MISSED) \|", row)


def test_the_plot_is_drawn_by_another_program_too_and_more_is_higher() -> None:
    lines = (Line("ours", ((1, 0.2), (100, 1.2), (1000, 9))), Line("dzsave", ((1, 0.1), (100, 3), (1000, 25))))
    drawn = svg([Panel("Seconds", "megapixels", lines), Panel("MiB & more", "megapixels", lines)], "Time against pixels")
    rendered = pyvips.Image.svgload_buffer(drawn.encode())
    assert (rendered.width, rendered.height) == (744, 300)
    root = ET.fromstring(drawn)
    heights = [float(circle.attrib["cy"]) for circle in root.iter(f"{SVG}circle")][:3]
    assert heights == sorted(heights, reverse=True)  # y counts downwards
    assert "prefers-color-scheme: dark" in drawn
    assert {"ours", "dzsave", "MiB & more"} <= {text.text for text in root.iter(f"{SVG}text")}


def results(ledger: Ledger) -> page.Results:
    """A benchmark in which we take a second and 100 MiB for everything, and everybody else three."""
    everything = [*pictures.PICTURES, *pictures.SWEEP]
    cases = [case(picture, cores) for picture in everything for cores in (cores_here(), 1)]
    for here in dict.fromkeys([*cases, buckets.case(pictures.JPEG_100), buckets.STORING]):
        ledger.add(here, "lambdazoom", Measured(1, 1, 100 * MEBIBYTE, beside=0.5))
        for name in (DZSAVE.name, OPENZOOM.name, buckets.WITH_S5CMD, buckets.WITH_BOTO3):
            ledger.add(here, name, Measured(3, 3, 100 * MEBIBYTE))
    return page.Results(pictures.PICTURES, pictures.SWEEP, {"JPEG 12 MP": Limit(0.4, 0.6)}, ledger, 0.0)


def test_what_is_written_by_hand_stays_on_the_page(ledger: Ledger, tmp_path: Path) -> None:
    path, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    path.write_text(f"By hand.\n{page.BEGIN}\nof last year\n{page.END}\nBelow.\n", encoding="utf-8")
    page.write(results(ledger), path, plot)
    text = path.read_text("utf-8")
    assert text.startswith("By hand.\n")
    assert text.endswith("\nBelow.\n")
    assert "of last year" not in text
    assert "(performance.svg)" in text
    assert "| JPEG 12 MP |     0.40 |     0.60 |    0.50 |   1.00 |         2.00 |" in text
    assert len(list(ET.parse(plot).getroot().iter(f"{SVG}circle"))) == 2 * 2 * len(pictures.SWEEP)


def test_the_page_says_when_the_machine_was_busy(ledger: Ledger) -> None:
    quiet = results(ledger)
    assert "busy" not in page.measured(quiet)
    assert "The machine was busy" in page.measured(replace(quiet, load=3.0))


def test_the_page_says_what_the_server_took_of_the_cores(ledger: Ledger) -> None:
    said = page.measured(results(ledger))
    assert "0.50 s beside lambdazoom, 0.00 s beside dzsave" in said
    assert f"With that, {1.5 / cores_here():.0%} of {measuring.cores_named(cores_here())} were in use while ours ran." in said


def test_every_promise_is_on_the_page_with_its_verdict(ledger: Ledger) -> None:
    said = figures.of_everything(pictures.JPEG_100, pictures.JPEG_1000, list(pictures.PICTURES), results(ledger).ledger)
    assert [figure.holds for figure in said if "dzsave's" in figure.what] == [True] * 4
    assert [figure.what for figure in said if not figure.holds] == [
        "PNG 100 MP: peak memory, MiB",
        "JPEG 100 MP: time over the openzoom-style tiler's",
        f"S3 to S3, JPEG 100 MP, {measuring.cores_named(cores_here())}: time over that of dzsave + boto3",
    ]


def test_a_page_without_its_place_is_not_written_over() -> None:
    with pytest.raises(SystemExit, match="no place to write to"):
        page.replaced("nothing but words", "figures")


def test_tiles_are_counted_in_folders_as_the_geometry_has_them(small: Callable[[str], Picture], tmp_path: Path) -> None:
    picture = small("JPEG")
    measure(DZSAVE.command(picture.path, tmp_path / "out"))
    assert tiles_in(tmp_path) == Pyramid(picture.width, picture.height, Recipe()).tile_count
