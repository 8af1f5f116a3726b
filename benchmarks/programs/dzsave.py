"""libvips's dzsave through pyvips, into a folder or a zip.

python -m benchmarks.programs.dzsave SOURCE TARGET CONTAINER QUALITY TILE_SIZE OVERLAP
"""

import sys

import pyvips


def dzsave(source: str, target: str, container: str, quality: int, tile_size: int, overlap: int) -> None:
    """Write TARGET.dzi and TARGET_files/ with JPEG tiles, or both into the zip TARGET; the source is read once, from the top."""
    image = pyvips.Image.new_from_file(source, access="sequential")
    image.dzsave(
        target,
        layout="dz",
        container=container,
        suffix=f".jpg[Q={quality},subsample_mode=on]",
        tile_size=tile_size,
        overlap=overlap,
        depth="onepixel",
    )


if __name__ == "__main__":
    dzsave(sys.argv[1], sys.argv[2], sys.argv[3], *(int(number) for number in sys.argv[4:7]))
