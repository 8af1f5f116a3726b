"""Names of entries: the index is sorted as the keys are, and every name leads back to what it speaks of."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdazoom.model import entries
from lambdazoom.model.entries import Mark, ordered_name
from lambdazoom.model.keys import ImageKey, SourceVersion
from tests.any_keys import keys, near

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
MARK = Mark("0123456789abcdef", entries.PUBLISHED, entries.DESCRIBED, "89abcdef")


@given(st.lists(st.one_of(near, keys), min_size=2, max_size=6))
@example(["a", "a-b", "a/b", "a b", "a!", "a/", "a//b", "a/.b", "a/-b", "a/0b"])
@example(["\ud7ff", "\udcff", "\ue000", "\ue000~", "\uffff"])
def test_entries_of_the_index_sort_as_the_keys_do_with_all_that_belongs_to_one_side_by_side(names: list[str]) -> None:
    distinct = sorted(set(names))
    written = [(entries.ordered_name(key) + " " + suffix, key) for key in distinct for suffix in ("0", "f")]
    assert [key for _, key in sorted(written)] == [key for key in distinct for _ in range(2)]
    assert sorted(name for name, _ in written) == sorted((name for name, _ in written), key=lambda name: name.encode())


@given(st.one_of(near, keys))
@example("/")
@example("a/!2E/..")
def test_a_key_comes_back_from_its_ordered_name_which_any_store_can_hold(key: str) -> None:
    name = ordered_name(key)
    assert entries.key_of_ordered(name) == key
    assert all(segment not in ("", ".", "..") for segment in f"{name} x".split("/"))
    assert all(character > " " for character in name)
    name.encode("utf-8")


@given(st.one_of(near, keys))
def test_an_entry_tells_its_key_and_its_mark(key: str) -> None:
    image = ImageKey(key)
    name = entries.index_entry(image, MARK)
    if entries.indexed(image):
        assert entries.parse_index(name) == entries.Entry(key, MARK, name)
    else:
        assert entries.parse_aside(name) == (image.record, MARK)


@pytest.mark.parametrize("key", ["x" * 230 + ".jpg", "x" * 250 + ".jpg", " " * 100, "a/" * 445])
def test_a_name_that_the_index_cant_bear_is_set_aside(key: str) -> None:
    name = entries.index_entry(ImageKey(key), MARK)
    assert entries.parse_aside(name) == (ImageKey(key).record, MARK)
    assert max(len(segment) for segment in name.split("/")) <= 255
    assert len(name) <= 1000


@pytest.mark.parametrize(
    "text", ["a", "a 0123", "a 0123456789abcdef-pd-", "a!zz 0123456789abcdef-pd-89abcdef", "a b 0123456789abcdef-pd-89abcdef"]
)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        entries.parse_index(entries.INDEX + text)


def test_an_entry_of_a_list_tells_its_record() -> None:
    for key in ("trip/cat.jpg", "x" * 300, "a.b/~", "~s", "a/~s/b", "~long/x", "/".join(["ä" * 110] * 3)):
        image = ImageKey(key)
        name = entries.list_entry(image, "failed", NOW)
        assert entries.listed_record(name, "failed") == image.record
        assert max(len(segment.encode()) for segment in name.split("/")) <= 255


def test_lists_are_sorted_by_time_the_latest_first() -> None:
    moments = [NOW + timedelta(milliseconds=step) for step in (0, 1, 99, 1000, 10**5, 10**7, 10**11)]
    names = [entries.list_entry(ImageKey(f"{number}.jpg"), "newest", moment) for number, moment in enumerate(moments)]
    assert sorted(names) == names[::-1]


def test_marks_tell_versions_and_recipes_apart() -> None:
    version = SourceVersion("e", NOW, 3)
    assert Mark.of(version, "p", "d", "254+1 jpg") != Mark.of(version, "p", "d", "510+1 jpg")
    assert Mark.of(version, "f", "o", "").recipe == "-"
