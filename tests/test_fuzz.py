"""Damaged files of all kinds: each ends published or refused with a sentence, in bounded time, and leaves nothing behind."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lambdazoom.imaging.formats import WatchedFile
from lambdazoom.model.errors import CorruptImage
from tests.conformance import fuzz
from tests.conftest import picture
from tests.files import refused, saved

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize(("seconds", "least"), [(20, 60), pytest.param(60, 200, marks=pytest.mark.long)])
def test_no_damaged_file_ends_a_job_otherwise_than_it_should(seconds: int, least: int, tmp_path: Path) -> None:
    """By hand: `python -m tests.conformance.fuzz --seconds 1800`, and `--case N` for one that went wrong."""
    command = [sys.executable, "-m", "tests.conformance.fuzz", "--seconds", str(seconds)]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=10 * seconds)
    told = done.stderr[-3000:]
    assert done.returncode == 0, told
    counts = {name: int(count) for name, count in re.findall(r"([a-z-]+)=(\d+)", done.stdout)}
    assert fuzz.WRONG not in counts, done.stderr[done.stderr.index("Traceback") :][:3000]
    assert sum(counts.values()) >= least
    assert {"published", "corrupt-image", "not-an-image"} <= set(counts)


def test_there_are_many_files_to_begin_with() -> None:
    assert len(fuzz.files()) >= 180


def test_a_case_is_the_same_each_time() -> None:
    data = bytes(range(256)) * 9
    assert [fuzz.damaged(data, random.Random(number)) for number in range(50)] == [
        fuzz.damaged(data, random.Random(number)) for number in range(50)
    ]


def test_nobody_makes_room_for_more_than_a_file_holds(tmp_path: Path) -> None:
    """Found by chance: Pillow reads from one tile of a TIFF to the next, which may be said to be terabytes away."""
    path = tmp_path / "small.tif"
    path.write_bytes(b"II*\0")
    with WatchedFile(path) as file:
        assert (file.read(1 << 50), file.read(1 << 50)) == (b"II*\0", b"")


@pytest.mark.parametrize("factors", [0x00, 0x01, 0x10])
def test_a_jpeg_whose_sampling_factors_are_zero_is_damaged(factors: int, tmp_path: Path) -> None:
    """Found by chance: a division by it was no error of ours."""
    path = saved(picture(60, 40), tmp_path / "odd.jpg", progressive=True)
    whole = bytearray(path.read_bytes())
    start = whole.index(b"\xff\xc2")
    for component in range(3):
        whole[start + 11 + 3 * component] = factors
    path.write_bytes(whole)
    assert refused(path, CorruptImage).startswith("odd.jpg is damaged")
