"""The TIFFs of the conformance table: layouts, compressions, samples and pages."""

import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image

from tests.conformance.seeds import (
    SIZE,
    Seed,
    as_libvips,
    by_libvips,
    by_pillow,
    deep,
    drawn,
    glass,
    grey,
    moving,
    one,
    ramp,
    ramp_in_8,
    turned,
    wide_gamut,
)
from tests.tiff_by_hand import ASCII, LONG, SHORT, Value, tiff_of

_TILED: dict[str, Any] = {"tile": True, "tile_width": 64, "tile_height": 64}


def tiffs() -> Iterator[Seed]:
    """TIFF in all that archives hold."""
    yield from _layouts()
    yield from _samples()
    yield from _ranges()
    yield from _pages()


def _layouts() -> Iterator[Seed]:
    image = as_libvips(drawn())
    for compression in ("none", "lzw", "deflate", "packbits", "jpeg"):
        options: dict[str, Any] = {"compression": compression, "Q": 95}
        yield one(f"TIFF, strips, {compression}", "a.tif", by_libvips(image, ".tif", tile_height=16, **options))
        yield one(f"TIFF, tiles, {compression}", "a.tif", by_libvips(image, ".tif", **_TILED, **options))
    yield one("TIFF, zstd", "a.tif", by_pillow(drawn(), "TIFF", compression="zstd"), drawn=drawn())
    bits = as_libvips(drawn().convert("1").convert("L"))
    fax = by_libvips(bits, ".tif", compression="ccittfax4", bitdepth=1)
    yield one("TIFF, CCITT group 4", "a.tif", fax, depth="1", colour="grey")
    for compression, words in (("group3", "CCITT group 3"), ("tiff_ccitt", "CCITT, Huffman")):
        written = by_pillow(drawn().convert("1"), "TIFF", compression=compression)
        yield one(f"TIFF, {words}", "a.tif", written, depth="1", colour="grey")
    yield one("TIFF, LZW with differences", "a.tif", by_libvips(image, ".tif", compression="lzw", predictor="horizontal", tile_height=16))
    yield one("BigTIFF, tiles", "a.tif", by_libvips(image, ".tif", bigtiff=True, **_TILED))
    yield one("BigTIFF, strips, LZW", "a.tif", by_libvips(image, ".tif", bigtiff=True, compression="lzw", tile_height=16))
    yield one("TIFF, colours apart (planar)", "a.tif", planar(drawn()))
    yield one("TIFF, most significant byte first", "a.tif", tiff_of([drawn().tobytes()], tags(3), ">"))


def _samples() -> Iterator[Seed]:
    for bits in (1, 2, 4):
        rough = as_libvips(grey().point(lambda value, bits=bits: value >> (8 - bits) << (8 - bits)))
        yield one(f"TIFF, grey, {bits} bit", "a.tif", by_libvips(rough, ".tif", bitdepth=bits), depth=str(bits), colour="grey")
    for mode, colour, alpha in (("L", "grey", "–"), ("RGB", "RGB", "–"), ("LA", "grey", "yes"), ("RGBA", "RGB", "yes")):
        plain = glass(mode) if alpha == "yes" else drawn().convert(mode)
        yield one(f"TIFF, {mode}, 8 bit", "a.tif", by_libvips(as_libvips(plain), ".tif", **_TILED), colour=colour, alpha=alpha)
        if mode != "LA":
            yield one(f"TIFF, {mode}, 16 bit", "a.tif", by_libvips(deep(mode), ".tif", **_TILED), "16", colour, alpha)
    for mode, samples, colour in (("LA", 2, "grey"), ("RGBA", 4, "RGB")):
        multiplied = as_libvips(glass(mode)).premultiply().rint().cast("uchar").write_to_memory()
        associated = tiff_of([multiplied], tags(samples, 2 if samples == 4 else 1) | {338: (SHORT, 1)})
        yield one(f"TIFF, {mode}, 8 bit, multiplied by alpha", "a.tif", associated, colour=colour, alpha="yes")
    yield one("TIFF, palette", "a.tif", by_pillow(drawn().quantize(64), "TIFF"), colour="palette")
    yield one("TIFF, grey whose 0 is white", "a.tif", tiff_of([grey().tobytes()], tags(1, 0)), colour="grey")
    yield one("TIFF, 16 bit grey whose 0 is white", "a.tif", tiff_of([ramp().tobytes()], tags(1, 0, 16)), "16", "grey")
    naive = "libvips assumes a printing press's profile where there is none; compared with the colours written"
    yield one("TIFF, CMYK", "a.tif", by_pillow(drawn().convert("CMYK"), "TIFF"), colour="CMYK", drawn=drawn(), why=naive)
    profiled = as_libvips(drawn()).icc_transform("cmyk", input_profile="srgb")
    yield one("TIFF, CMYK, ICC profile (LUT)", "a.tif", by_libvips(profiled, ".tif"), colour="CMYK, ICC")
    yield one("TIFF, ICC profile (matrix)", "a.tif", by_libvips(wide_gamut(), ".tif", keep="icc"), colour="RGB, ICC")
    lab = as_libvips(drawn()).icc_import(input_profile="srgb", pcs="lab", intent="relative")
    stored = (lab * (2.55, 1, 1)).round("rint").cast("short").write_to_memory()
    low = bytes(stored)[::2]  # of each short the lower byte: a and b are signed
    facts: dict[str, Any] = {"drawn": drawn(), "why": "libvips takes it for Lab under D65; compared with the picture drawn"}
    yield one("TIFF, CIE L*a*b*", "a.tif", tiff_of([low], tags(3, 8)), colour="Lab", **facts)
    files = turned(lambda exif: by_pillow(drawn(), "TIFF", exif=exif), "tif")
    yield Seed("TIFF, turned", files, orientation="1–8")


def _ranges() -> Iterator[Seed]:
    why = "libvips clips such samples instead of scaling them; compared with the picture drawn"
    facts: dict[str, Any] = {"depth": "32, float", "colour": "grey", "drawn": grey(), "why": why}
    yield one("TIFF, floats with a declared range", "a.tif", floats(-1, 1), **facts)
    yield one("TIFF, floats", "a.tif", floats(), **facts)
    void = floats(no_data=-9999)
    yield one("TIFF, floats, a tenth without data", "a.tif", void, **facts | {"drawn": with_void(grey())})
    counts = (as_libvips(grey()).cast("uint") * 1000).cast("uint")
    yield one("TIFF, 32-bit integers", "a.tif", by_libvips(counts, ".tif"), **facts | {"depth": "32, integer"})
    each_four_times = bytes(value for value in grey().tobytes() for _ in range(4))
    high = tiff_of([each_four_times], tags(1, bits=32) | {341: (LONG, 2**32 - 1)})
    yield one("TIFF, 32-bit integers with a declared range", "a.tif", high, **facts | {"depth": "32, integer"})
    signed = tiff_of([grey().point(lambda value: value ^ 128).tobytes()], tags(1) | {339: (SHORT, 2)})
    yield one("TIFF, 8-bit integers with a sign", "a.tif", signed, **facts | {"depth": "8, integer"})
    for tag, words in ((341, "declared"), (281, "by its largest value")):
        dim = tiff_of([ramp().point(lambda value: value * (1 / 16)).tobytes()], tags(1, bits=16) | {tag: (SHORT, 4095)})
        yield one(f"TIFF, grey, 12 bits in 16, {words}", "a.tif", dim, **facts | {"depth": "12 in 16", "drawn": ramp_in_8()})


def _pages() -> Iterator[Seed]:
    pyramid = {"pyramid": True, **_TILED}
    yield one("TIFF, pyramid", "a.tif", by_libvips(as_libvips(drawn()), ".tif", **pyramid), frames="1, of 2 levels")
    yield one("TIFF, pyramid in SubIFDs", "a.tif", by_libvips(as_libvips(drawn()), ".tif", subifd=True, **pyramid), frames="1, of 2 levels")
    small = drawn().resize((80, 60))
    two = by_pillow(small, "TIFF", save_all=True, append_images=[drawn()])
    why = "libvips shows the first page"
    yield one("TIFF, pages, the second the largest", "a.tif", two, frames="2", drawn=drawn(), why=why)
    yield one("TIFF, pages of one size", "a.tif", moving("TIFF"), frames="2")


def tags(samples: int, photometric: int | None = None, bits: int = 8) -> dict[int, tuple[int, Value]]:
    """The directory of an image of SIZE in one strip."""
    told = (2 if samples >= 3 else 1) if photometric is None else photometric
    return {
        256: (LONG, SIZE[0]),
        257: (LONG, SIZE[1]),
        258: (SHORT, [bits] * samples),
        259: (SHORT, 1),
        262: (SHORT, told),
        277: (SHORT, samples),
        278: (LONG, SIZE[1]),
    }


def planar(image: Image.Image) -> bytes:
    """Each colour in a strip of its own (TIFF 6.0, PlanarConfiguration 2)."""
    return tiff_of([band.tobytes() for band in image.split()], tags(3) | {284: (SHORT, 2)})


def with_void(image: Image.Image, value: float = 0) -> Image.Image:
    """The picture, but for a tenth on the left."""
    image.paste(value, (0, 0, image.width // 10, image.height))
    return image


def floats(least: float | None = None, most: float | None = None, no_data: int | None = None) -> bytes:
    """The picture in 32-bit floating-point grey from −1 to 1; `least` and `most` as SMinSampleValue and SMaxSampleValue.

    A tenth on the left has the value `no_data`, if one is given, as GDAL_NODATA tells.
    """
    told = tags(1, bits=32) | {339: (SHORT, 3)}
    if least is not None and most is not None:
        # FLOAT has no place in tiff_of's kinds: its bits are written as a LONG, and the kind is set right afterwards
        told |= {tag: (LONG, *struct.unpack("<I", struct.pack("<f", value))) for tag, value in ((340, least), (341, most))}
    values = grey().convert("F").point(lambda value: value * (2 / 255) - 1)
    if no_data is not None:
        values = with_void(values, no_data)
        told |= {42113: (ASCII, f"{no_data}\0".encode())}
    whole = tiff_of([values.tobytes()], told)
    for tag in (340, 341):
        whole = whole.replace(struct.pack("<HHI", tag, LONG, 1), struct.pack("<HHI", tag, 11, 1))
    return whole
