"""How large a pixel is in the world, where a file knows; no requests, no markup, no I/O.

Scans state pixels for each inch or centimetre of the sheet, maps the ground that a pixel covers (GeoTIFF, OGC 19-008r4, 7.4.2).
Cameras state a resolution too, of a print that nobody ordered, and editors 72 or 96 out of habit: these tell nothing.
"""

import re
from collections.abc import Mapping
from typing import Any

METRES = {"inches": 0.0254, "cm": 0.01, "meters": 1.0}
INCH = METRES["inches"]
HABITS = (0, 1, 72, 96)  # pixels for each inch that only say "no idea"
DIFFERENCE = 0.01  # between across and down, from which on one bar can't be true for both
OF_CAMERAS = ("ExposureTime", "FNumber", "FocalLength")

# unit, pixels across and pixels down, in the order of belief
OF_SCANS = (
    ("EXIF:IFD0:ResolutionUnit", "EXIF:IFD0:XResolution", "EXIF:IFD0:YResolution"),
    ("JFIF:ResolutionUnit", "JFIF:XResolution", "JFIF:YResolution"),
    ("PNG:PNG-pHYs:PixelUnits", "PNG:PNG-pHYs:PixelsPerUnitX", "PNG:PNG-pHYs:PixelsPerUnitY"),
)

_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?(?:e-?[0-9]{1,2})?", re.ASCII)

Tags = Mapping[str, Mapping[str, Any]]


def metres_per_pixel(tags: Tags) -> float | None:
    """The side of a pixel in metres, by the tags of a metadata document; None if nobody knows."""
    return _of_map(tags) or _of_scan(tags)


def _of_map(tags: Tags) -> float | None:
    """A GeoTIFF's ModelPixelScale, if its model is projected (else it is in degrees) and in metres."""
    unit = _text(tags, "GeoTiff:ProjLinearUnits")
    if _text(tags, "GeoTiff:GTModelType") != "Projected" or (unit and "meter" not in unit):
        return None
    return _square(_numbers(_text(tags, "EXIF:IFD0:PixelScale"))[:2])


def _of_scan(tags: Tags) -> float | None:
    if any(key.endswith(f":{name}") for key in tags for name in OF_CAMERAS):
        return None
    for unit, across, down in OF_SCANS:
        metres = METRES.get(_text(tags, unit))
        counts = _numbers(_text(tags, across))[:1] + _numbers(_text(tags, down))[:1]
        if metres and all(counts) and not any(_is_habit(count / metres) for count in counts):
            return _square([metres / count for count in counts])
    return None


def _is_habit(pixels_per_metre: float) -> bool:
    return any(abs(pixels_per_metre * INCH - habit) < 0.5 for habit in HABITS)


def _square(sides: list[float]) -> float | None:
    if len(sides) != 2 or not all(sides) or abs(sides[0] / sides[1] - 1) > DIFFERENCE:
        return None
    return sides[0]


def _text(tags: Tags, name: str) -> str:
    return str(tags.get(name, {}).get("text", ""))


def _numbers(text: str) -> list[float]:
    return [float(found) for found in _NUMBER.findall(text)]
