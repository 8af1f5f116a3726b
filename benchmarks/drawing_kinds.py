"""The same picture in the kinds of files that have to be converted or turned before they are cut.

python -m benchmarks.drawing_kinds build/bench/photo-like-12000x8400.jpg build/bench/kind-rgba.png
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who measures must stay small
    import pyvips

    Draw = Callable[[pyvips.Image, str], object]

_TILED = {"tile": True, "tile_width": 256, "tile_height": 256, "compression": "lzw"}


def _glass(image: "pyvips.Image") -> "pyvips.Image":
    """Clear at the top left, opaque in the middle, all degrees between them."""
    import pyvips

    slope = pyvips.Image.xyz(image.width, image.height)
    return image.bandjoin(((slope[0] + slope[1]) * 0.04).cast("uchar"))


def _turned(image: "pyvips.Image", orientation: int) -> "pyvips.Image":
    import pyvips

    told = image.copy()
    told.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return told


def _deep(image: "pyvips.Image") -> "pyvips.Image":
    return image.colourspace("grey16")


KINDS: "dict[str, Draw]" = {
    "p3.jpg": lambda image, path: image.icc_transform("p3").jpegsave(path, Q=90, keep="icc"),
    "turned-6.jpg": lambda image, path: _turned(image, 6).jpegsave(path, Q=90),
    "turned-3.jpg": lambda image, path: _turned(image, 3).jpegsave(path, Q=90),
    "cmyk.jpg": lambda image, path: image.icc_transform("cmyk").jpegsave(path, Q=90, keep="icc"),
    "rgba.png": lambda image, path: _glass(image).pngsave(path, compression=6),
    "palette.png": lambda image, path: image.pngsave(path, palette=True, effort=1, dither=0),
    "grey-16.png": lambda image, path: _deep(image).pngsave(path, compression=6),
    "p3.tif": lambda image, path: image.icc_transform("p3").tiffsave(path, keep="icc", **_TILED),
    "cmyk.tif": lambda image, path: image.icc_transform("cmyk").tiffsave(path, keep="icc", **_TILED),
    "rgba.tif": lambda image, path: _glass(image).tiffsave(path, **_TILED),
    "grey-16.tif": lambda image, path: _deep(image).tiffsave(path, **_TILED),
    "turned-3.tif": lambda image, path: _turned(image, 3).tiffsave(path, **_TILED),
}


def main(source: Path, targets: list[Path]) -> None:
    """Draw each target by what its name tells."""
    import pyvips

    for target in targets:
        unfinished = target.with_name(f".{target.name}")
        KINDS[target.name.removeprefix("kind-")](pyvips.Image.new_from_file(str(source)), str(unfinished))
        unfinished.rename(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
