"""What no tiler on Pillow can do without: decoding the image once, and encoding every tile once, each alone on one thread.

Decoding goes into memory that is there already: Pillow keeps what it frees (the caller sets PILLOW_BLOCKS_MAX), so that only
the first time, which does not count, waits for fresh pages. Tiles are cropped before the clock starts, and saved to memory; each
level comes from the one above, and what that takes does not count either.

    python -m benchmarks.programs.limit SOURCE ROUNDS QUALITY TILE_SIZE OVERLAP      prints {"decode": s, "encode": s}, the fastest of each
"""

import io
import json
import sys
import time
from pathlib import Path

from PIL import Image

from lambdazoom.model.geometry import Pyramid, Recipe


def decode_seconds(source: Path) -> float:
    """Decode the whole image, and forget it."""
    with Image.open(source) as image:
        started = time.perf_counter()
        image.load()
        return time.perf_counter() - started


def encode_seconds(source: Path, recipe: Recipe) -> float:
    """Encode the tiles of all levels."""
    seconds, encoded = 0.0, io.BytesIO()
    with Image.open(source) as image:
        pixels: Image.Image = image
        pyramid = Pyramid(*image.size, recipe)
        for level in reversed(pyramid.levels):
            if pixels.size != (level.width, level.height):
                pixels = pixels.reduce(2)
            for row in range(level.rows):
                tiles = [pixels.crop(level.box(column, row)) for column in range(level.columns)]
                started = time.perf_counter()
                for tile in tiles:
                    encoded.seek(0)
                    tile.save(encoded, "JPEG", quality=recipe.quality)
                seconds += time.perf_counter() - started
    return seconds


def main(source: Path, rounds: int, recipe: Recipe) -> None:
    """Measure and print."""
    Image.MAX_IMAGE_PIXELS = None
    decode_seconds(source)
    decode = min(decode_seconds(source) for _ in range(rounds))
    encode = min(encode_seconds(source, recipe) for _ in range(rounds))
    print(json.dumps({"decode": decode, "encode": encode}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Recipe(int(sys.argv[4]), int(sys.argv[5]), "jpg", int(sys.argv[3])))
