"""Keys and stored names: reversible, injective, safe."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given

from lambdazoom.model.entries import list_entry
from lambdazoom.model.keys import Generation, ImageKey, display_name, inverted_time, is_hidden, key_of, stored_name
from tests.any_keys import keys


@given(keys)
@example("_tiles/3f/x")
@example("a//b/./../c")
@example("~-")
@example("\udcff.jpg")
def test_a_key_comes_back_from_its_stored_name(key: str) -> None:
    assert key_of(stored_name(key)) == key


@given(keys, keys)
def test_no_two_keys_share_a_stored_name(one: str, other: str) -> None:
    assert (stored_name(one) == stored_name(other)) == (one == other)


@given(keys)
def test_a_stored_name_survives_what_urls_go_through(key: str) -> None:
    name = stored_name(key)
    segments = name.split("/")
    assert "" not in segments
    assert "." not in segments
    assert ".." not in segments
    assert segments[0] not in ("_tiles", "_lambdazoom")
    assert not set(name) & set("%\\?#")
    assert all(character.isprintable() or ord(character) >= 0xA0 for character in name)
    name.encode("utf-8")


@given(keys)
def test_what_belongs_to_one_image_is_never_shared(key: str) -> None:
    image = ImageKey(key)
    names = [image.record, *(list_entry(image, kind, datetime(2026, 1, 1, tzinfo=UTC)) for kind in ("failed", "active", "newest"))]
    assert len(set(names)) == len(names)
    assert all(name.startswith("_lambdazoom/") for name in names)


@pytest.mark.parametrize("text", ["%41", "~41", "a/../b", "~2e", "_tiles/x", "//", "~zz"])
def test_a_text_that_is_no_stored_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stored name"):
        key_of(text)


def test_plain_keys_are_left_as_they_are() -> None:
    for key in ("trip/cat.jpg", "ä ö/+&.jpg", "a_tiles/_tiles.jpg"):
        assert stored_name(key) == key


@pytest.mark.parametrize("key", [".DS_Store", "trip/.hidden/cat.jpg", "cat.jpg.part", "cat.jpg.CRDOWNLOAD"])
def test_hidden_and_unfinished_files_are_not_looked_at(key: str) -> None:
    assert is_hidden(key)


@pytest.mark.parametrize("key", ["cat.jpg", "a.b/c.d.jpg", "part.jpg"])
def test_other_files_are_looked_at(key: str) -> None:
    assert not is_hidden(key)


@pytest.mark.parametrize("turning", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_a_name_that_is_shown_turns_no_sentence_round_and_is_stored_as_it_is(turning: str) -> None:
    key = f"cat {turning}gpj.exe"
    assert display_name(key) == "cat \ufffdgpj.exe"
    assert stored_name(key) == key


def test_names_of_all_scripts_are_shown_as_they_are() -> None:
    for key in ("\u0633\u0646\u062f\u200c.jpg", "\u732b \U0001f600.jpg", "\u05d0\u200f.jpg"):
        assert display_name(key) == key


def test_a_name_too_long_to_be_stored_still_has_a_record() -> None:
    image = ImageKey("x" * 300 + ".jpg")
    assert not image.is_storable
    assert len(image.record) < 200
    assert image.record != ImageKey("x" * 301 + ".jpg").record


def test_later_moments_sort_first() -> None:
    now = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    moments = [now + timedelta(milliseconds=step) for step in (0, 1, 999, 10**6, 10**9, 10**11)]
    assert sorted(map(inverted_time, moments)) == [inverted_time(moment) for moment in reversed(moments)]


def test_a_generation_is_told_from_any_other_text() -> None:
    generation = Generation.new(datetime(2026, 11, 23, 9, 30, 1, 234567, tzinfo=UTC), 0xABC)
    assert generation.id == "20261123T093001234Z-0000000000000abc"
    assert Generation.parse(generation.id) == generation
    for text in ("", "../x", generation.id + "\n", generation.id.upper()[:-1] + "G"):
        with pytest.raises(ValueError, match="generation"):
            Generation.parse(text)
