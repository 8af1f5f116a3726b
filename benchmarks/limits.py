"""The limit of any tiler on Pillow: the fastest decoding and the fastest encoding, shared out over the cores. Nothing is faster."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.cutting import RECIPE
from benchmarks.pictures import Picture, warm

_BLOCKS = 2**10  # of 16 MiB each, that Pillow may keep when it frees an image: more than 100 megapixels need
LARGEST = 250  # megapixels: all of them are held at once, four bytes each


@dataclass(frozen=True)
class Limit:
    """Seconds on one thread, decoding and encoding each alone."""

    decode: float
    encode: float

    def seconds(self, cores: int) -> float:
        """As if all could be shared out over the cores without loss."""
        return (self.decode + self.encode) / cores


def limit(picture: Picture, rounds: int) -> Limit:
    """Measured in a process of its own, without anybody else at work."""
    warm(picture)
    geometry = [str(RECIPE.quality), str(RECIPE.tile_size), str(RECIPE.overlap)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.programs.limit", picture.path, str(rounds), *geometry],
        env={**os.environ, "PILLOW_BLOCKS_MAX": str(_BLOCKS)},
        stdout=subprocess.PIPE,
        check=True,
    )
    print(f"{picture.name} · limit: {done.stdout.decode().strip()}", file=sys.stderr)
    return Limit(**json.loads(done.stdout))
