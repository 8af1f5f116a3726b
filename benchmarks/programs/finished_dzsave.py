"""libvips's dzsave of any kind of file: turned, in sRGB, on white, in 8 bits, as our `tile` makes it.

python -m benchmarks.programs.finished_dzsave SOURCE TARGET QUALITY TILE_SIZE OVERLAP
"""

import sys

import pyvips


def finished(source: str) -> pyvips.Image:
    """The picture to be cut; it is read once, from the top, and held only if it has to be turned."""
    image = pyvips.Image.new_from_file(source, access="sequential")
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = image.copy_memory().autorot()
    if image.hasalpha():
        image = image.flatten(background=[65535 if image.format == "ushort" else 255])
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    wanted = "b-w" if image.bands == 1 else "srgb"
    return image if image.interpretation == wanted else image.colourspace(wanted)


def main(source: str, target: str, quality: int, tile_size: int, overlap: int) -> None:
    """Write TARGET.dzi and TARGET_files/ with JPEG tiles."""
    suffix = f".jpg[Q={quality},subsample_mode=on,keep=none]"
    finished(source).dzsave(target, layout="dz", suffix=suffix, tile_size=tile_size, overlap=overlap, depth="onepixel")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(number) for number in sys.argv[3:6]))
