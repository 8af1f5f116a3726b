"""Which of Pillow's readers opened an image, asked while another thread may be loading one."""

import sys
from types import ModuleType

import pytest
from PIL import Image, TiffImagePlugin

from lambdazoom.imaging.readers import is_tiff


def test_only_a_tiff_is_one() -> None:
    assert is_tiff(TiffImagePlugin.TiffImageFile.__new__(TiffImagePlugin.TiffImageFile))
    assert not is_tiff(Image.new("L", (1, 1)))


@pytest.mark.parametrize("loaded", [None, ModuleType("PIL.TiffImagePlugin")], ids=["not loaded", "just being loaded"])
def test_before_its_reader_is_there_nothing_is_a_tiff(loaded: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "PIL.TiffImagePlugin")
    if loaded:
        monkeypatch.setitem(sys.modules, "PIL.TiffImagePlugin", loaded)
    assert not is_tiff(Image.new("L", (1, 1)))
