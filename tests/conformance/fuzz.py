"""Damaged files by the thousand: each ends published or refused with a sentence, and nothing is left behind.

Run in a process of its own, so that a decoder that crashes or hangs takes no test run with it: `python -m tests.conformance.fuzz
--seconds 60`. Each case follows from its number, which is printed before it begins; `--case N` runs one again.
"""

import argparse
import gc
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.formats import Wishes
from lambdazoom.imaging.needs import MemoryLimit
from lambdazoom.imaging.tiler import tile
from lambdazoom.model.errors import ImageError
from lambdazoom.model.geometry import Pyramid, Recipe
from tests.conformance.table import seeds

MAX_PIXELS = 4_000_000
CASE_SECONDS = 20
WRONG = "wrong"
_ADDRESS_SPACE = 8 << 30  # of this process, in bytes
_MEMORY = MemoryLimit(600 * 10**6)
_RECIPE = Recipe(tile_size=254)


def files() -> list[tuple[str, bytes]]:
    """The files of all rows of the conformance table."""
    return [file for seed in seeds() for file in seed.files]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The file with something of it changed, left out, repeated or put in."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        if not changed:
            break
        # headers are where the meaning is
        place = chance.randrange(len(changed)) if chance.random() < 0.5 else chance.randrange(min(len(changed), 400))
        end = min(len(changed), place + chance.choice((1, 2, 4, 64)))
        match chance.randrange(6):
            case 0:
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place:end] = chance.randbytes(end - place)
            case 2:
                changed[place:end] = chance.choice((b"\0", b"\xff", b"\x80")) * (end - place)
            case 3:
                del changed[place:end]
            case 4:
                changed[place:place] = changed[place:end]
            case _:
                del changed[place : len(changed) if chance.random() < 0.3 else end]
    return bytes(changed)


def outcome(path: Path, chance: random.Random) -> str:
    """How the job ends: published, or the code of an error; raises what no job may end with."""
    try:
        with open_source(path, path.name, MAX_PIXELS, Wishes(accepts_truncated=chance.random() < 0.5)) as source:
            source.check(Pyramid(source.width, source.height, _RECIPE), 0, _MEMORY)
            source.load()
            tile(source, Pyramid(source.width, source.height, _RECIPE), lambda _: None, workers=2)
    except ImageError as error:
        if not (str(error).startswith(path.name) and str(error).endswith(".")):
            raise ValueError(f"no sentence: {error}") from error
        return error.code
    return "published"


def held() -> tuple[set[str], int, int]:
    """Open descriptors, threads, and temporary files."""
    gc.collect()
    links = {f"{name} {os.readlink(f'/dev/fd/{name}')}" for name in os.listdir("/dev/fd") if Path("/dev/fd", name).exists()}  # noqa: PTH115, PTH208
    return {link for link in links if "/proc/" not in link}, threading.active_count(), len(os.listdir(tempfile.gettempdir()))  # noqa: PTH208


def cases(only: int | None, seconds: float) -> Iterator[int]:
    """The numbers of the cases to run."""
    if only is not None:
        yield only
        return
    deadline, number = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        yield number
        number += 1


def run(only: int | None, seconds: float) -> Counter[str]:
    """Run them; how many ended how. A hang ends this process by SIGALRM."""
    warnings.simplefilter("ignore", UserWarning)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    found, originals = Counter[str](), files()
    with tempfile.TemporaryDirectory() as folder:
        for name, data in originals:  # once whole: what is imported and opened on first use does not count
            (Path(folder) / name).write_bytes(data)
            outcome(Path(folder) / name, random.Random(1))
        before = held()
        for number in cases(only, seconds):
            chance = random.Random(number)
            name, data = chance.choice(originals)
            path = Path(folder) / name
            path.write_bytes(damaged(data, chance))
            print(f"case {number}: {name}", file=sys.stderr, flush=True)  # noqa: T201
            signal.alarm(CASE_SECONDS)
            try:
                found[outcome(path, chance)] += 1
            except Exception:  # noqa: BLE001 (whatever it is, the job should not have ended with it)
                found[WRONG] += 1
                traceback.print_exc()
            signal.alarm(0)
        after = held()
    if after != before:
        raise RuntimeError(f"left behind: {after[0] - before[0]}, {after[1] - before[1]} threads, {after[2] - before[2]} temporary files")
    return found


def main() -> None:
    """Run as long as is asked for, and print how many ended how."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--case", type=int)
    asked = parser.parse_args()
    found = run(asked.case, asked.seconds)
    print(" ".join(f"{name}={count}" for name, count in sorted(found.items())))  # noqa: T201


if __name__ == "__main__":
    main()
