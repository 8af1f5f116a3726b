"""The files of the conformance table with 10 or 12 bits a sample, in the containers that phones and cameras write."""

import io
from collections.abc import Iterator

import numpy as np
import pillow_heif
import pyvips

from tests.conformance.seeds import SIZE, Seed, by_libvips, deep, drawn, one


def deep_files() -> Iterator[Seed]:
    """HEIC and AVIF of more than 8 bits."""
    for bits in (10, 12):
        yield one(f"AVIF, {bits} bit", "a.avif", avif(deep("RGB"), bits), depth=str(bits))
    for bits in (10, 12):
        yield one(f"HEIC, {bits} bit", "a.heic", heic(bits), depth=str(bits), drawn=drawn())


def avif(image: pyvips.Image, bits: int) -> bytes:
    """The picture, of 16 bits, in so many."""
    return by_libvips(image, ".avif", bitdepth=bits, lossless=True)


def heic(bits: int) -> bytes:
    """The drawn picture by libheif and x265, without loss but for the change of colour space."""
    samples = np.asarray(drawn()).astype(np.uint16) * 257
    written, before = io.BytesIO(), pillow_heif.options.SAVE_HDR_TO_12_BIT
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    try:
        file = pillow_heif.from_bytes("RGB;16", SIZE, samples.tobytes())
        file.save(written, quality=-1, chroma=444, matrix_coefficients=0)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return written.getvalue()
