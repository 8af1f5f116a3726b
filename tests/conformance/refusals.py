"""The files of the conformance table that are refused by name."""

from collections.abc import Iterator

import pyvips

from tests.conformance.seeds import Seed, as_libvips, by_libvips, by_pillow, deep, drawn, one, photoshop
from tests.conformance.tiffs import tags
from tests.tiff_by_hand import LONG, SHORT, tiff_of


def refusals() -> Iterator[Seed]:
    """Images of kinds that we don't open, and what is no image."""
    svg = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield nothing("SVG", "drawing.svg", svg)
    yield nothing("SVG that is called PNG", "drawing.png", svg)
    yield nothing("JPEG XL", "a.jxl", b"\xff\x0a\xfa\x7f\x01")
    yield nothing("OpenEXR", "a.exr", b"v/1\x01\2\0\0\0")
    yield nothing("Radiance HDR", "a.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n")
    yield nothing("PostScript", "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    yield one("TIFF of nothing but previews", "a.tif", tiff_of([drawn().tobytes()], tags(3) | {254: (LONG, 1)}))
    for number, words in ((50001, "WebP"), (33005, "JPEG 2000"), (34887, "LERC")):
        told = tags(3) | {259: (SHORT, number)}
        yield one(f"TIFF, compressed with {words}", "a.tif", tiff_of([drawn().tobytes()], told))
    floating: pyvips.Image = as_libvips(drawn()).cast("float")
    yield one("TIFF, RGB in 32-bit floats", "a.tif", by_libvips(floating, ".tif"), depth="32, float")
    yield one("TIFF, grey and alpha, 16 bit", "a.tif", by_libvips(deep("LA"), ".tif"), "16", "grey", "yes")
    told = tags(3, bits=16) | {341: (SHORT, [4095] * 3)}
    yield one("TIFF, RGB, 12 bits in 16, declared", "a.tif", tiff_of([drawn().tobytes() * 2], told), "12 in 16")
    yield one("PSD, 16 bit", "a.psd", photoshop(drawn(), 16), "16")
    deep_jpeg = bytearray(by_pillow(drawn(), "JPEG"))
    start = deep_jpeg.index(b"\xff\xc0")
    deep_jpeg[start + 1], deep_jpeg[start + 4] = 0xC1, 12
    yield one("JPEG, 12 bit", "a.jpg", bytes(deep_jpeg), "12")
    yield nothing("plain text", "a.jpg", b"Dear diary,\n\nnothing happened.\n")
    yield nothing("HTML", "a.png", b"<!DOCTYPE html>\n<html><body>No cat.</body></html>")
    yield nothing("PDF", "a.tif", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    yield nothing("an empty file", "a.png", b"")
    whole = by_pillow(drawn(), "JPEG", quality=95)
    yield one("JPEG, cut off", "a.jpg", whole[: len(whole) // 2])
    yield one("JPEG, cut off, with an end mark", "a.jpg", whole[: len(whole) // 2] + b"\xff\xd9")
    yield one("TIFF, cut off", "a.tif", tiff_of([drawn().tobytes()[:20000]], tags(3)))


def nothing(kind: str, name: str, data: bytes) -> Seed:
    """A file that holds no pixels of which anything could be said."""
    return one(kind, name, data, depth="–", colour="–", frames="–")
