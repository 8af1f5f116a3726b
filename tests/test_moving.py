"""Memory that tiles are done with is moved to where rows come next: nothing of what it held before is ever seen."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.drawing import photo_like
from lambdazoom.imaging import memory
from lambdazoom.imaging.memory import REGION, PixelMemory, resident_memory
from lambdazoom.model.errors import CorruptImage
from tests.streams import WAYS
from tests.tiling import assert_same, cut, cut_whole

HIGH = (1100, 12000)  # 50 MiB in RGB, and the level below is given back row by row, too
STRIDE = 3000  # of no region a divisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone moves memory; elsewhere it is given back")


@dataclass
class Moves:
    """The system's mremap, counted; or one that refuses."""

    system: Callable[..., int]
    refuses: bool = False
    count: int = 0

    def __call__(self, *arguments: int) -> int:
        self.count += 1
        return -1 if self.refuses else self.system(*arguments)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    system = memory._mremap()
    assert system is not None
    moves = Moves(system)
    monkeypatch.setattr(memory, "_mremap", lambda: moves)
    return moves


@pytest.fixture(scope="module")
def high() -> Image.Image:
    drawn, stone = Image.new("RGB", HIGH), photo_like(HIGH[0], 500, seed=5)
    for index, top in enumerate(range(0, HIGH[1], 500)):
        drawn.paste(stone.transpose((Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)[index % 2]), (0, top))
    return drawn


def write(pixels: PixelMemory, first: int, end: int) -> None:
    pixels.buffer[pixels.start + first : pixels.start + end] = b"\xff" * (end - first)


@pytest.mark.parametrize("suffix", WAYS)
def test_tiles_are_the_same_and_memory_was_moved(suffix: str, high: Image.Image, moves: Moves, tmp_path: Path) -> None:
    save, way = WAYS[suffix]
    path = save(high, tmp_path / f"high.{suffix}")
    found = cut(path)
    assert (found.way, moves.count > 5) == (way, True)
    assert_same(found, cut_whole(path))


@pytest.mark.parametrize("suffix", WAYS)
def test_a_system_that_refuses_to_move_gets_it_back(suffix: str, high: Image.Image, moves: Moves, tmp_path: Path) -> None:
    moves.refuses = True
    path = WAYS[suffix][0](high, tmp_path / f"high.{suffix}")
    assert_same(cut(path), cut_whole(path))
    assert moves.count > 5


@pytest.mark.parametrize("share", [0.3, 0.71, 0.97])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_of_a_file_that_is_cut_off_nothing_else_is_shown_behind_its_end(
    suffix: str, share: float, high: Image.Image, moves: Moves, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = WAYS[suffix][0](high, tmp_path / f"high.{suffix}")
    os.truncate(path, int(path.stat().st_size * share))
    found, message = cut(path, accepts_truncated=True), refusal(path)
    assert moves.count > 5
    monkeypatch.setattr(memory, "_mremap", lambda: None)
    assert_same(found, cut(path, accepts_truncated=True))
    assert message == refusal(path)


def refusal(path: Path) -> str:
    with pytest.raises(CorruptImage) as refused:
        cut(path)
    return str(refused.value)


def test_what_was_released_is_where_rows_come_next_and_they_are_told_apart_from_what_it_held() -> None:
    pixels = PixelMemory(8 * REGION, STRIDE)
    write(pixels, 0, 3 * REGION)
    assert pixels.written() == 2 * REGION
    pixels.expect(2 * REGION)
    before = resident_memory()
    pixels.release(2 * REGION)
    pixels.expect(2 * REGION)
    assert resident_memory() > before - REGION // 2  # nothing went back
    assert pixels.buffer[pixels.start : pixels.start + 2 * REGION].count(0) == 2 * REGION
    assert pixels.written() == 2 * REGION  # the fourth region holds something, but nothing that was written there
    assert pixels.buffer[pixels.start + 3 * REGION + 1] == 255
    write(pixels, 3 * REGION, 4 * REGION + STRIDE)
    assert pixels.written() == 4 * REGION
    pixels.forget_unwritten()
    rows = (4 * REGION + STRIDE) // STRIDE * STRIDE  # whole ones
    assert set(pixels.buffer[pixels.start + 2 * REGION : pixels.start + rows]) == {255}
    assert not any(pixels.buffer[pixels.start + rows : pixels.start + 8 * REGION])
    pixels.close()


def test_where_rows_are_that_may_be_being_written_nothing_is_moved() -> None:
    pixels = PixelMemory(8 * REGION, STRIDE)
    pixels.expect(3 * REGION + 1)
    write(pixels, 0, REGION)
    pixels.release(REGION)
    pixels.expect(2 * REGION)
    assert [region for region in range(8) if pixels.buffer[pixels.start + region * REGION + 1]] == [4]
    pixels.close()


def test_what_no_rows_come_for_any_more_goes_back() -> None:
    pixels = PixelMemory(4 * REGION, STRIDE)
    pixels.expect(4 * REGION)
    write(pixels, 0, 4 * REGION)
    before = resident_memory()
    pixels.release(3 * REGION)
    assert resident_memory() < before - 2 * REGION
    pixels.close()


@pytest.mark.parametrize("stride", [0, REGION + 4])
def test_without_rows_or_with_rows_larger_than_a_region_nothing_is_moved(stride: int, moves: Moves) -> None:
    pixels = PixelMemory(4 * REGION, stride)
    pixels.expect(REGION)
    write(pixels, 0, 2 * REGION)
    assert pixels.written() == REGION
    before = resident_memory()
    pixels.release(REGION)
    assert resident_memory() < before - REGION // 2
    pixels.expect(2 * REGION)
    assert (moves.count, pixels.written()) == (0, REGION)
    pixels.forget_unwritten()
    assert set(pixels.buffer[pixels.start + REGION : pixels.start + 2 * REGION]) == {255}
    pixels.close()
