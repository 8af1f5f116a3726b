"""ICC profiles for tests, written with numpy by ICC.1:2001-04 (version 2) and ICC.1:2010 (version 4): matrix, table and grey."""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Points = tuple[tuple[float, float], ...]  # white, red, green, blue: x and y

D50: Numbers = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
SRGB: Points = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE: Points = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
WIDE: Points = ((0.3457, 0.3585), (0.7347, 0.2653), (0.1152, 0.8264), (0.1566, 0.0177))
BRADFORD: Numbers = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def colorants(points: Points) -> Numbers:
    """From linear RGB to XYZ under D50, as a matrix."""
    white, *primaries = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in points]
    mixed = np.stack(primaries, axis=1)
    mixed = mixed * np.linalg.solve(mixed, white)
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.asarray(np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ mixed)


def matrix(points: Points, gamma: float, version: int) -> bytes:
    """A profile of three primaries and one gamma."""
    columns = colorants(points).T
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma, version))
    return _profile(b"RGB ", b"XYZ ", tags, version)


def grey(gamma: float, version: int) -> bytes:
    """A profile of grey with one gamma."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma, version)}, version)


def grey_of_srgb() -> bytes:
    """A profile of grey with the curve of sRGB (IEC 61966-2-1), as 1,024 values."""
    steps = np.linspace(0, 1, 1024)
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    curve = b"curv" + bytes(4) + struct.pack(">I", 1024) + (linear * 65535).round().astype(">u2").tobytes()
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": curve}, 2)


def table(points: Points, gamma: float, version: int, grid: int = 17) -> bytes:
    """The same as a matrix, but as a table of Lab values (lut16Type)."""
    steps = np.linspace(0, 1, grid)
    mesh = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    xyz = (mesh**gamma) @ colorants(points).T / D50
    return _profile(b"RGB ", b"Lab ", {b"A2B0": _lut16(_encoded(_lab(xyz)), 3, grid)}, version)


def _lab(relative: Numbers) -> Numbers:
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def _encoded(lab: Numbers) -> NDArray[np.uint16]:
    """The 16 bits of lut16Type, in both versions: 100 is 0xFF00, and 0 of a and b is 0x8000."""
    return np.asarray(np.clip(lab * (652.8, 256, 256) + (0, 32768, 32768), 0, 65535).round(), np.uint16)


def _lut16(values: NDArray[np.uint16], channels: int, grid: int) -> bytes:
    head = b"mft2" + bytes(4) + bytes((channels, 3, grid, 0)) + struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    straight = struct.pack(">2H", 0, 65535)
    return head + struct.pack(">2H", 2, 2) + straight * channels + values.astype(">u2").tobytes() + straight * 3


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], version: int) -> bytes:
    text: Callable[[str], bytes] = _text_2 if version == 2 else _text_4
    copyright_text = b"text" + bytes(4) + b"none\0" if version == 2 else _text_4("none")
    tags = {b"desc": text(f"test {version}"), b"cprt": copyright_text, b"wtpt": _xyz(D50), **tags}
    directory, data, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        directory += name + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", start + len(data), version << 24, b"mntr", space, connection, b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(D50 * 65536).round().astype(int))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + directory + data


def _text_2(text: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67)


def _text_4(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(encoded), 28) + encoded


def _xyz(vector: Numbers) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(vector * 65536).round().astype(int))


def _curve(gamma: float, version: int) -> bytes:
    if version == 2:
        return b"curv" + bytes(4) + struct.pack(">IH2x", 1, round(gamma * 256))
    return b"para" + bytes(4) + struct.pack(">H2xi", 0, round(gamma * 65536))
