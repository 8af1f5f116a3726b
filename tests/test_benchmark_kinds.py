"""The benchmark of kinds compares like with like: libvips's tiles of each show what ours show."""

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from benchmarks.drawing_kinds import KINDS, main
from benchmarks.kinds import dzsave_command
from benchmarks.measuring import measure
from lambdazoom.model.geometry import Recipe
from tests.conftest import picture
from tests.tiling import cut

SIZE = (700, 500)


@pytest.mark.parametrize("name", KINDS)
def test_libvips_does_the_same_work(name: str, tmp_path: Path) -> None:
    source, path = tmp_path / "source.png", tmp_path / f"kind-{name}"
    picture(*SIZE).save(source)
    main(source, [path])
    measure(dzsave_command(path, tmp_path / "theirs"))
    ours = cut(path, Recipe())
    assert len(list((tmp_path / "theirs_files").rglob("*.jpg"))) == len(ours.tiles)
    place = (10, 1, 1)
    theirs = pyvips.Image.new_from_file(str(tmp_path / "theirs_files" / "10" / "1_1.jpg"))
    with Image.open(io.BytesIO(ours.tiles[place])) as image:
        apart = np.abs(np.asarray(image).astype(int) - np.squeeze(theirs.numpy()).astype(int))
    assert apart.mean() < 1.5
