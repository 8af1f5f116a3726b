"""openzoom-style: the way of openzoom's deepzoom.py, the tiler that most Python programs started from, written anew.

The whole image is decoded. For each level, from the smallest, all of it is resized at once by Pillow's antialiasing filter
(Lanczos), from full size every time; then each tile is cropped and saved, one after the other.

python -m benchmarks.programs.openzoom SOURCE TARGET QUALITY TILE_SIZE OVERLAP
"""

import sys
from pathlib import Path

from PIL import Image

from lambdazoom.model.geometry import Pyramid, Recipe


def main(source: Path, target: Path, quality: int, tile_size: int, overlap: int) -> None:
    """Write TARGET.dzi and TARGET_files/."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source) as image:
        pyramid = Pyramid(*image.size, Recipe(tile_size, overlap, "jpg", quality))
        for level in pyramid.levels:
            folder = Path(f"{target}_files") / str(level.index)
            folder.mkdir(parents=True)
            size = (level.width, level.height)
            pixels = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
            for column in range(level.columns):
                for row in range(level.rows):
                    pixels.crop(level.box(column, row)).save(folder / f"{column}_{row}.jpg", "JPEG", quality=quality)
    Path(f"{target}.dzi").write_text(pyramid.descriptor(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:6]))
