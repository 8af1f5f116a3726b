"""What people read: numbers, times, names, tags, states."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.keys import SourceVersion
from lambdazoom.model.records import ImageRecord, Outcome, Progress, Step
from lambdazoom.web import cards, presentation

NOW = datetime(2026, 3, 12, 14, 2, 5, tzinfo=UTC)
RECORD = ImageRecord("trip/cat.jpg", SourceVersion("e", NOW, 1234), seen_at=NOW - timedelta(minutes=2), width=12_000, height=8_400)


@pytest.mark.parametrize(
    ("elapsed", "words"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=4), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(seconds=60), "1 min ago"),
        (timedelta(minutes=119), "1 h ago"),
        (timedelta(hours=47), "1 d ago"),
        (timedelta(days=6), "6 d ago"),
        (timedelta(days=7), "5 Mar 2026"),
    ],
)
def test_a_moment_is_told_as_time_ago_and_after_a_week_as_a_date(elapsed: timedelta, words: str) -> None:
    assert presentation.ago(NOW - elapsed, NOW) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_940, "99.9 kB"),
        (123_456, "123 kB"),
        (999_600, "1.0 MB"),
        (5_400_000_000, "5.4 GB"),
        (10**19, "10,000 PB"),
    ],
)
def test_bytes_are_told_in_decimal_units(size: int, words: str) -> None:
    assert presentation.bytesize(size) == words


def test_durations_and_areas_are_told_in_fitting_units() -> None:
    assert [presentation.seconds(duration) for duration in (0.041, 2.34, 119.6)] == ["0.04 s", "2.3 s", "2 min 0 s"]
    assert presentation.megapixels(300, 200) == "0.060 megapixels"
    assert presentation.megapixels(12_000, 8_400) == "101 megapixels"
    assert presentation.megapixels(60_000, 40_000) == "2.4 gigapixels"


def test_counts_say_one_many_and_that_they_are_guesses() -> None:
    counts = [presentation.counted(count, True, "image", "images") for count in (0, 1, 2, 1204)]
    assert counts == ["0 images", "1 image", "2 images", "1,204 images"]
    assert presentation.counted(1204, False, "image", "images") == "about 1,204 images"


def test_prices_have_cents_or_two_digits_that_count() -> None:
    prices = [presentation.dollars(amount) for amount in (0, 0.41, 1204.5, 0.0123, 0.00412, 0.0000051)]
    assert prices == ["", "$0.41", "$1,204.50", "$0.01", "$0.0041", "$0.0000051"]


def test_a_text_is_cut_at_its_backticks() -> None:
    assert presentation.pieces("Run `zappa update` now.") == [("Run ", False), ("zappa update", True), (" now.", False)]


def test_a_long_name_keeps_its_end_in_view() -> None:
    assert presentation.head_and_tail("cat.jpg") == ("cat.jpg", "")
    head, tail = presentation.head_and_tail("survey/2026/parcel-1204-sheet-07.tif")
    assert head + tail == "survey/2026/parcel-1204-sheet-07.tif"
    assert tail == "et-07.tif"


def test_a_sentence_is_cut_between_words() -> None:
    assert presentation.first_words("It is damaged.") == "It is damaged."
    assert presentation.first_words("scan-014.tif is cut off; 71 % could be read.", 26) == "scan-014.tif is cut off …"


def test_every_ratio_has_its_class_in_the_style_sheet() -> None:
    style = (Path(__file__).parents[2] / "static" / "ratios.css").read_text()
    written = {int(name): float(value) for name, value in re.findall(r"\.ratio-(\d+) \{ --ratio: ([\d.]+); \}", style)}
    assert written == {step: step / 100 for step in presentation.RATIOS}


@pytest.mark.parametrize(("width", "height"), [(12_000, 8_400), (1000, 1000), (601, 1000), (3000, 1000)])
def test_a_tile_has_the_images_proportions_to_a_few_percent(width: int, height: int) -> None:
    assert presentation.ratio(width, height) / 100 == pytest.approx(width / height, rel=0.03)
    assert not presentation.is_extreme(width, height)


def test_a_panorama_and_a_strip_get_the_outermost_proportions() -> None:
    assert presentation.ratio(50_000, 1000) == presentation.RATIOS[-1]
    assert presentation.ratio(10, 1000) == presentation.RATIOS[0]
    assert presentation.is_extreme(50_000, 1000)
    assert not presentation.is_extreme(0, 0)


def test_tags_are_grouped_under_headings_and_copies_stay_in_their_group() -> None:
    tags: dict[str, dict[str, Any]] = {
        "File:MIMEType": {"text": "image/jpeg"},
        "EXIF:IFD0:Make": {"text": "Acme"},
        "EXIF:IFD0:Copy1:Make": {"text": "Other"},
        "JFIF:JFIFVersion": {"text": "1.01"},
        "JFIF:Copy1:JFIFVersion": {"text": "1.02"},
        "XMP:XMP-x:XMPToolkit": {"text": "Image::ExifTool 12"},
        "XMP:XMP-dc:Creator": {"text": ["Ann", "Bo"]},
        "XMP:XMP-iptcCore:CreatorContactInfo": {"text": {"City": "Bern", "Mail": ["a", "b"]}},
        "Unknown_Thing": {"text": 7},
    }
    found = presentation.groups(tags)
    headings = ["File", "Camera and image", "JFIF", "XMP toolkit", "Title, creator and rights", "XMP XMP-iptcCore", ""]
    assert [group.heading for group in found] == headings
    assert [(row.name, row.value) for row in found[1].rows] == [("Make", "Acme"), ("Make", "Other")]
    assert [row.value for row in found[2].rows] == ["1.01", "1.02"]
    assert found[4].rows[0].value == "Ann, Bo"
    assert found[5].rows[0].value == "City: Bern; Mail: a, b"


def test_an_endless_value_is_cut() -> None:
    assert presentation.value_text("x" * 9000) == "x" * presentation.MAX_VALUE + " …"


def test_a_state_is_told_in_words() -> None:
    failed = Step.failed(CorruptImage("cat.jpg is cut off."), final=True)
    done = Step(Outcome.DONE)
    at_work = replace(RECORD, heartbeat_at=NOW, progress=Progress("tiling", 64, 100))
    expected = [
        (RECORD, "Waiting"),
        (at_work, "Tiling 64 %"),
        (replace(at_work, progress=Progress("reading")), "Reading"),
        (replace(at_work, heartbeat_at=NOW - timedelta(hours=1)), "Stalled"),
        (replace(RECORD, tiles=failed, metadata=done), "cat.jpg is cut off."),
        (replace(RECORD, tiles=done, metadata=failed), "The image is ready. Its metadata could not be read: cat.jpg …"),
        (replace(RECORD, tiles=Step(Outcome.IGNORED, "It is no image.")), "It is no image."),
        (replace(RECORD, removed_at=NOW, remarks=("It was removed.",)), "Removed"),
    ]
    for record, words in expected:
        status = cards.status(record, NOW)
        assert status is not None
        assert status.words == words
    assert cards.status(replace(RECORD, tiles=done, metadata=done), NOW) is None


def test_facts_leave_out_what_is_not_known() -> None:
    names = [row.name for row in cards.facts(replace(RECORD, width=0, height=0))]
    assert names == ["Name", "File", "Modified"]
