"""ICC profiles for files that tell their colour space otherwise: by PNG's chunks, or EXIF's flag for Adobe RGB; no pixels here.

Written by ICC.1:2001-04 (version 2); white is brought to D50 by the Bradford method, as ICC.1:2010, annex E says.
"""

import struct
from functools import cache

Vector = tuple[float, float, float]
Point = tuple[float, float]  # x and y of CIE 1931

_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_D50 = (0.9642, 1.0, 0.8249)
_D65 = (0.3127, 0.3290)
_SRGB = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB_POINTS = tuple(part for point in _SRGB for part in point)
_ADOBE = (_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # Adobe RGB (1998) Color Image Encoding, 4.3.1
_ADOBE_GAMMA = 563 / 256
_GAMMAS = (0.1, 10.0)  # what a file may ask for


@cache
def adobe_rgb() -> bytes:
    """A profile of what EXIF calls Adobe RGB, by its primaries and gamma."""
    return _with_colours(_ADOBE_GAMMA, _ADOBE)


def by_gamma(gamma: float, chromaticities: tuple[float, ...], is_grey: bool) -> bytes | None:
    """A profile of a PNG's gAMA, here as what samples are raised to, and cHRM: x and y of white, red, green and blue, or nothing.

    None if no colour space can be like that.
    """
    if not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return None
    if is_grey:
        return _profile(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": _curve(gamma)})
    points = tuple(zip(chromaticities[::2], chromaticities[1::2], strict=True)) or _SRGB
    try:
        return _with_colours(gamma, points)
    except (ZeroDivisionError, struct.error, ValueError):
        return None


def _with_colours(gamma: float, points: tuple[Point, ...]) -> bytes:
    white, *primaries = (_xyz_of(point) for point in points)
    amounts = _times(_inverse(_columns(primaries)), white)
    adapted = [_to_d50(_scaled(primary, amount), white) for primary, amount in zip(primaries, amounts, strict=True)]
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    return _profile(b"RGB ", {b"wtpt": _xyz(_D50), **{name: _xyz(each) for name, each in zip(names, adapted, strict=True)}, **curves})


def _xyz_of(point: Point) -> Vector:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _to_d50(colour: Vector, white: Vector) -> Vector:
    here, there = _times(_BRADFORD, white), _times(_BRADFORD, _D50)
    cones = _times(_BRADFORD, colour)
    return _times(_inverse(_BRADFORD), (cones[0] * there[0] / here[0], cones[1] * there[1] / here[1], cones[2] * there[2] / here[2]))


def _scaled(vector: Vector, factor: float) -> Vector:
    return vector[0] * factor, vector[1] * factor, vector[2] * factor


def _columns(columns: list[Vector]) -> tuple[Vector, ...]:
    return tuple(zip(*columns, strict=True))


def _times(rows: tuple[Vector, ...], vector: Vector) -> Vector:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in rows)
    return first, second, third


def _inverse(rows: tuple[Vector, ...]) -> tuple[Vector, ...]:
    crosses = [_cross(rows[1], rows[2]), _cross(rows[2], rows[0]), _cross(rows[0], rows[1])]
    determinant = sum(a * b for a, b in zip(rows[0], crosses[0], strict=True))
    return _columns([_scaled(each, 1 / determinant) for each in crosses])


def _cross(one: Vector, other: Vector) -> Vector:
    return one[1] * other[2] - one[2] * other[1], one[2] * other[0] - one[0] * other[2], one[0] * other[1] - one[1] * other[0]


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description(b"made by LambdaZoom"), b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    directory, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        directory += name + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    size = start + len(data)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    head = head.ljust(64, b"\0") + struct.pack(">I", 1) + _fixed(_D50)  # 1: relative colorimetric
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + directory + data


def _description(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)


def _xyz(vector: Vector) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(vector)


def _fixed(vector: Vector) -> bytes:
    return struct.pack(">3i", *(round(value * 65536) for value in vector))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH2x", 1, round(gamma * 256))
