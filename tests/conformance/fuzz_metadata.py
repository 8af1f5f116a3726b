"""Damaged files by the thousand before the real exiftool: each ends with a document or a sentence, and nothing is left behind.

`python -m tests.conformance.fuzz_metadata --seconds 60`; each case follows from its number, `--case N` runs one again. Raw camera
files have their preview taken out and opened besides.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.raw import is_raw
from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.metadata.facts import caption
from lambdazoom.metadata.process import MAX_REPLY_BYTES
from lambdazoom.model.errors import ImageError, MetadataError
from lambdazoom.publishing.raws import picture_of
from tests.conformance.fuzz import MAX_PIXELS, WRONG, cases, damaged, files, held

FILE_SECONDS = 20.0


def outcome(path: Path, exiftool: ExifTool) -> str:
    """How reading its tags ends: read, or the code of an error; raises what it may not end with."""
    try:
        metadata = exiftool.read(path)
    except MetadataError as error:
        if not str(error).endswith("."):
            raise ValueError(f"no sentence: {error}") from error
        return error.code
    document = json.dumps(metadata.tags, ensure_ascii=False, allow_nan=False).encode("utf-8")
    if json.loads(document) != metadata.tags or len(document) > MAX_REPLY_BYTES:
        raise ValueError(f"{len(document):,} bytes of JSON are not what was read")
    if str(path.parent) in document.decode():
        raise ValueError("our own path is among the tags")
    caption(metadata)
    return "read"


def shown(path: Path, exiftool: ExifTool) -> str:
    """How showing a raw camera file ends."""
    try:
        with (
            picture_of(path, path.name, lambda: nullcontext(exiftool)) as picture,
            open_source(picture.path, path.name, MAX_PIXELS) as source,
        ):
            source.load()
    except ImageError as error:
        if not (str(error).startswith(path.name) and str(error).endswith(".")):
            raise ValueError(f"no sentence: {error}") from error
        return f"raw-{error.code}"
    return "raw-shown"


def run(only: int | None, seconds: float, exiftool: ExifTool) -> Counter[str]:
    """Run them, the undamaged ones first; how many ended how. RuntimeError if something is left behind."""
    found, originals = Counter[str](), files()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, data) in enumerate(originals):
            _try(f"original {number}: {name}", Path(folder) / name, data, exiftool, found)
        before = held()
        for number in cases(only, seconds):
            chance = random.Random(number)
            name, data = chance.choice(originals)
            _try(f"case {number}: {name}", Path(folder) / name, damaged(data, chance), exiftool, found)
        exiftool.read(_sound(Path(folder)))  # whatever became of the process, there is one that works
        after = held()
    # the pipes of a process that replaced another are others, but as many
    counts = [(len(descriptors), threads, temporary) for descriptors, threads, temporary in (before, after)]
    if counts[0] != counts[1]:
        raise RuntimeError(f"left behind: {counts[0]} descriptors, threads and temporary files before, {counts[1]} after")
    return found


def _try(case: str, path: Path, data: bytes, exiftool: ExifTool, found: Counter[str]) -> None:
    path.write_bytes(data)
    started = time.monotonic()
    try:
        found[outcome(path, exiftool)] += 1
        if is_raw(path):
            found[shown(path, exiftool)] += 1
        if time.monotonic() - started > 2 * FILE_SECONDS:
            raise TimeoutError(f"{time.monotonic() - started:.0f} s")
    except Exception:  # noqa: BLE001 (whatever it is, it should not have come this far)
        found[WRONG] += 1
        print(case, file=sys.stderr)  # noqa: T201
        traceback.print_exc()


def _sound(folder: Path) -> Path:
    name, data = files()[0]
    (folder / name).write_bytes(data)
    return folder / name


def main() -> None:
    """Run as long as is asked for, and print how many ended how."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--case", type=int)
    asked = parser.parse_args()
    with ExifTool(seconds=FILE_SECONDS) as running:
        found = run(asked.case, asked.seconds, running)
    print(" ".join(f"{name}={count}" for name, count in sorted(found.items())))  # noqa: T201


if __name__ == "__main__":
    main()
