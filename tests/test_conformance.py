"""docs/formats.md is true: every kind of file that it lists comes out as it says, and as libvips sees it."""

from pathlib import Path

import pytest
import pyvips

from tests.conformance import table

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"


def test_the_page_is_what_becomes_of_the_files() -> None:
    """`make conformance` prints it: a change of any row is seen, and is to be looked at before the page is written anew."""
    assert table.page().splitlines() == PAGE.read_text("utf-8").splitlines()


def test_no_row_differs_from_libvips_or_the_picture_drawn() -> None:
    assert [str(row) for row in table.rows() if not row.is_explained] == []


def test_what_is_refused_is_named_and_has_a_way_out() -> None:
    refused = [row for row in table.rows() if row.opened_by == "refused"]
    assert len(refused) > 20
    for row in refused:
        (sentence,) = row.sentences
        name = row.seed.files[0][0]
        assert sentence.startswith(name), sentence
        assert sentence.endswith("."), sentence
        assert any(word in sentence for word in ("Save it", "Upload it", "Replace", "pip install")), sentence


def test_libvips_is_asked_wherever_it_can_be() -> None:
    for row in table.rows():
        if row.seed.drawn and not row.seed.why:
            with pytest.raises(pyvips.Error):
                pyvips.Image.new_from_buffer(row.seed.files[0][1], "", fail=True).avg()
