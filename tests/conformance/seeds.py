"""The files of the conformance table: small ones of every kind that people bring, made on the spot by Pillow, libvips or by hand."""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pillow_heif
import pyvips
from PIL import Image

from tests import icc
from tests.conftest import picture
from tests.files import chunk, coloured, deep_ppm, in_plain_text

SIZE = (160, 120)
_UNHEEDED = "libvips doesn't heed it; compared with the same pixels under an ICC profile"


@dataclass(frozen=True)
class Seed:
    """One row: a kind of file, and files of it, each a name and its bytes.

    `depth`, `colour`, `alpha`, `frames` and `orientation` are what the files hold. `drawn` is what they show, where libvips does
    not open them; `why` explains an agreement that is less than one would expect.
    """

    kind: str
    files: tuple[tuple[str, bytes], ...]
    depth: str = "8"
    colour: str = "RGB"
    alpha: str = "–"
    frames: str = "1"
    orientation: str = "–"
    drawn: Image.Image | None = None
    why: str = ""


@cache
def drawn() -> Image.Image:
    """The picture that most of the files show."""
    return picture(*SIZE)


def grey() -> Image.Image:
    """The same in grey."""
    return drawn().convert("L")


def glass(mode: str = "RGBA") -> Image.Image:
    """The same behind a veil of all transparencies."""
    image = drawn().copy()
    image.putalpha(picture(*SIZE, seed=2).convert("L"))
    return image.convert(mode)


def by_pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file, as Pillow writes it."""
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def by_libvips(image: pyvips.Image, suffix: str, **options: Any) -> bytes:
    """The file, as libvips writes it."""
    written: bytes = image.write_to_buffer(suffix, **options)
    return written


def as_libvips(image: Image.Image) -> pyvips.Image:
    """The picture as libvips holds it."""
    bands = len(image.getbands())
    interpretation = {1: "b-w", 2: "b-w", 4: "cmyk" if image.mode == "CMYK" else "srgb"}.get(bands, "srgb")
    return pyvips.Image.new_from_memory(image.tobytes(), *image.size, bands, "uchar").copy(interpretation=interpretation)


def deep(mode: str, factor: int = 257) -> pyvips.Image:
    """Grey (L), RGB, LA or RGBA in 16 bits, with something in the lower ones too."""
    image = glass(mode) if mode.endswith("A") else drawn().convert(mode)
    noise = pyvips.Image.new_from_memory(drawn().convert("L").rotate(180).tobytes(), *SIZE, 1, "uchar")
    wide = (as_libvips(image).cast("ushort") * factor - (noise * 0.2 if factor == 257 else 0)).cast("ushort")
    return wide.copy(interpretation="grey16" if mode in ("L", "LA") else "rgb16")


def wide_gamut() -> pyvips.Image:
    """The picture in Display P3, with the profile that libvips carries."""
    return as_libvips(drawn()).icc_transform("p3", input_profile="srgb")


def shown_by(profile: bytes) -> Image.Image:
    """The picture as libvips shows it if its colours are those of the profile."""
    tagged = by_pillow(drawn(), "PNG", icc_profile=profile)
    image = pyvips.Image.new_from_buffer(tagged, "")
    shown = image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    return Image.frombytes("RGB", SIZE, shown.write_to_memory())


def turned(write: Callable[[Image.Exif], bytes], suffix: str) -> tuple[tuple[str, bytes], ...]:
    """Eight files, one for each EXIF orientation."""
    files = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append((f"turned-{orientation}.{suffix}", write(exif)))
    return tuple(files)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """The PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def jpegs() -> Iterator[Seed]:
    """JPEG in all its ways of writing."""
    for subsampling in ("4:2:0", "4:2:2", "4:4:4", "4:1:1"):
        yield one(f"JPEG, baseline, {subsampling}", "a.jpg", by_pillow(drawn(), "JPEG", quality=95, subsampling=subsampling))
    yield one("JPEG, baseline, 4:4:0", "a.jpg", upright_subsampling())
    yield one("JPEG, progressive", "a.jpg", by_pillow(drawn(), "JPEG", quality=95, progressive=True))
    yield one("JPEG, restart markers", "a.jpg", by_pillow(drawn(), "JPEG", quality=95, restart_marker_rows=1))
    yield one("JPEG, grey", "a.jpg", by_pillow(grey(), "JPEG", quality=95), colour="grey")
    naive = "libvips assumes a printing press's profile where there is none; compared with the colours written"
    cmyk = drawn().convert("CMYK")
    written = by_pillow(cmyk, "JPEG", quality=95)
    yield one("JPEG, CMYK, Adobe's inversion", "a.jpg", written, colour="CMYK", drawn=drawn(), why=naive)
    yield one("JPEG, YCCK, Adobe's inversion", "a.jpg", ycck(cmyk), colour="YCCK", drawn=drawn(), why=naive)
    profiled = by_libvips(as_libvips(drawn()).icc_transform("cmyk", input_profile="srgb"), ".jpg", Q=95)
    yield one("JPEG, CMYK, ICC profile (LUT)", "a.jpg", profiled, colour="CMYK, ICC")
    yield one("JPEG, ICC profile (matrix)", "a.jpg", by_libvips(wide_gamut(), ".jpg", Q=95, keep="icc"), colour="RGB, ICC")
    camera = by_pillow(drawn(), "JPEG", quality=100, subsampling="4:4:4", exif=adobe_flag())
    facts: dict[str, Any] = {"drawn": shown_by(icc.matrix(icc.ADOBE, 563 / 256, 2)), "why": _UNHEEDED}
    yield one("JPEG, Adobe RGB by EXIF's flag", "a.jpg", camera, colour="RGB, Adobe", **facts)
    yield one("JPEG, several pictures (MPO)", "a.mpo", moving("MPO"), frames="2")
    files = turned(lambda exif: by_pillow(drawn(), "JPEG", quality=95, exif=exif), "jpg")
    yield Seed("JPEG, turned by EXIF", files, orientation="1–8")


def adobe_flag() -> bytes:
    """What cameras write into EXIF when they are set to Adobe RGB."""
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    return exif.tobytes()


def upright_subsampling() -> bytes:
    """A JPEG whose colour is halved from top to bottom only: one of 4:2:2, plain and square, with its factors swapped."""
    whole = bytearray(by_pillow(Image.new("RGB", (128, 128), (200, 90, 30)), "JPEG", quality=95, subsampling="4:2:2"))
    start = whole.index(b"\xff\xc0")
    whole[start + 11] = 0x12
    return bytes(whole)


def ycck(cmyk: Image.Image) -> bytes:
    """A JPEG whose CMYK is stored as YCbCr and black, inverted as Adobe does (Adobe TN 5116, section 18)."""
    *inks, black = cmyk.split()
    luma = Image.merge("RGB", inks).convert("YCbCr")
    stored = [band.point(lambda value: 255 - value) for band in luma.split()]
    whole = bytearray(by_pillow(Image.merge("CMYK", (*stored, black)), "JPEG", quality=100))
    whole[whole.index(b"Adobe") + 11] = 2  # the transform: YCCK
    return bytes(whole)


def moving(kind: str, **options: Any) -> bytes:
    """Two frames, the first of which is the picture."""
    return by_pillow(drawn(), kind, save_all=True, append_images=[drawn().transpose(Image.Transpose.ROTATE_180)], **options)


def pngs() -> Iterator[Seed]:
    """PNG in all depths and colour types, and with the chunks that change what is seen."""
    for bits in (1, 2, 4):
        rough = as_libvips(grey().point(lambda value, bits=bits: value >> (8 - bits) << (8 - bits)))
        yield one(f"PNG, grey, {bits} bit", "a.png", by_libvips(rough, ".png", bitdepth=bits), depth=str(bits), colour="grey")
        few = as_libvips(drawn().quantize(2**bits).convert("RGB"))
        written = by_libvips(few, ".png", palette=True, bitdepth=bits)
        yield one(f"PNG, palette, {bits} bit", "a.png", written, depth=str(bits), colour="palette")
    yield one("PNG, palette, 8 bit", "a.png", by_pillow(drawn().quantize(200), "PNG"), colour="palette")
    for mode, colour, alpha in (("L", "grey", "–"), ("RGB", "RGB", "–"), ("LA", "grey", "yes"), ("RGBA", "RGB", "yes")):
        plain = as_libvips(glass(mode) if alpha == "yes" else drawn().convert(mode))
        yield one(f"PNG, {mode}, 8 bit", "a.png", by_libvips(plain, ".png"), colour=colour, alpha=alpha)
        yield one(f"PNG, {mode}, 16 bit", "a.png", by_libvips(deep(mode), ".png"), depth="16", colour=colour, alpha=alpha)
    yield one("PNG, interlaced", "a.png", by_libvips(as_libvips(drawn()), ".png", interlace=True))
    key = drawn().getpixel((5, 5))
    yield one("PNG, one colour transparent (tRNS)", "a.png", by_pillow(drawn(), "PNG", transparency=key), alpha="tRNS")
    yield one("PNG, one grey transparent (tRNS)", "a.png", by_pillow(grey(), "PNG", transparency=9), colour="grey", alpha="tRNS")
    veiled = by_pillow(drawn().quantize(16), "PNG", transparency=bytes(range(0, 256, 16)))
    yield one("PNG, palette, transparent entries (tRNS)", "a.png", veiled, colour="palette", alpha="tRNS")
    yield one("PNG, ICC profile (iCCP)", "a.png", by_libvips(wide_gamut(), ".png", keep="icc"), colour="RGB, ICC")
    yield one("PNG, sRGB chunk", "a.png", with_chunks(by_pillow(drawn(), "PNG"), chunk(b"sRGB", b"\0")), colour="RGB, sRGB")
    for name, profile in (("matrix, v4", icc.matrix(icc.ADOBE, 2.2, 4)), ("table, v2", icc.table(icc.ADOBE, 2.2, 2))):
        profiled = by_pillow(drawn(), "PNG", icc_profile=profile)
        yield one(f"PNG, ICC profile ({name})", "a.png", profiled, colour="RGB, ICC")
    yield one("PNG, grey, ICC profile", "a.png", by_pillow(grey(), "PNG", icc_profile=icc.grey(1.8, 2)), colour="grey, ICC")
    gamma = chunk(b"gAMA", struct.pack(">I", 55556))
    facts: dict[str, Any] = {"colour": "RGB, gAMA", "drawn": shown_by(icc.matrix(icc.SRGB, 1.8, 2)), "why": _UNHEEDED}
    yield one("PNG, gAMA", "a.png", with_chunks(by_pillow(drawn(), "PNG"), gamma), **facts)
    points = chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * part) for point in icc.WIDE for part in point)))
    facts = {"colour": "RGB, gAMA, cHRM", "drawn": shown_by(icc.matrix(icc.WIDE, 1.8, 2)), "why": _UNHEEDED}
    yield one("PNG, gAMA and cHRM", "a.png", with_chunks(by_pillow(drawn(), "PNG"), gamma, points), **facts)
    yield one("PNG, moving (APNG)", "a.png", moving("PNG"), frames="2")
    yield Seed("PNG, turned by EXIF", turned(lambda exif: by_pillow(drawn(), "PNG", exif=exif), "png"), orientation="1–8")


def webps() -> Iterator[Seed]:
    """WebP and the younger formats."""
    yield one("WebP, lossy", "a.webp", by_pillow(drawn(), "WEBP", quality=95))
    yield one("WebP, lossless", "a.webp", by_pillow(drawn(), "WEBP", lossless=True))
    yield one("WebP, alpha", "a.webp", by_pillow(glass(), "WEBP", lossless=True, exact=True), alpha="yes")
    yield one("WebP, ICC profile", "a.webp", by_libvips(wide_gamut(), ".webp", lossless=True, keep="icc"), colour="RGB, ICC")
    yield one("WebP, moving", "a.webp", moving("WEBP", lossless=True), frames="2")
    files = turned(lambda exif: by_pillow(drawn(), "WEBP", lossless=True, exif=exif), "webp")
    yield Seed("WebP, turned by EXIF", files, orientation="1–8")
    yield one("AVIF, 4:4:4", "a.avif", by_pillow(drawn(), "AVIF", quality=95, subsampling="4:4:4"))
    soft = drawn().resize((8, 6)).resize(SIZE, Image.Resampling.BICUBIC)
    why = "libvips's decoder repeats the colour of four pixels, ours interpolates; compared with the picture drawn"
    yield one("AVIF, 4:2:0", "a.avif", by_pillow(soft, "AVIF", quality=95, subsampling="4:2:0"), drawn=soft, why=why)
    yield one("AVIF, alpha", "a.avif", by_pillow(glass(), "AVIF", quality=95, subsampling="4:4:4"), alpha="yes")
    files = turned(lambda exif: by_pillow(drawn(), "AVIF", quality=95, subsampling="4:4:4", speed=10, exif=exif), "avif")
    yield Seed("AVIF, turned", files, orientation="1–8")
    yield one("HEIC", "a.heic", heic(drawn()), drawn=drawn())
    yield one("HEIC, alpha", "a.heic", heic(glass()), alpha="yes", drawn=on_white(glass()))
    yield one("HEIC, turned", "a.heic", heic(drawn(), 6), orientation="6", drawn=drawn().transpose(Image.Transpose.ROTATE_270))
    for mode, colour in (("L", "grey"), ("RGB", "RGB")):
        yield one(f"JPEG 2000, {mode}", "a.jp2", by_pillow(drawn().convert(mode), "JPEG2000"), colour=colour, drawn=drawn().convert(mode))
    yield one("JPEG 2000, alpha", "a.jp2", by_pillow(glass(), "JPEG2000"), alpha="yes", drawn=on_white(glass()))
    yield one("JPEG 2000, 16 bit grey", "a.jp2", by_pillow(ramp(), "JPEG2000"), depth="16", colour="grey", drawn=ramp_in_8())
    tagged = coloured(by_pillow(drawn(), "JPEG2000"), b"\2\0\0" + icc.matrix(icc.ADOBE, 2.2, 2))
    yield one("JPEG 2000, ICC profile", "a.jp2", tagged, colour="RGB, ICC", drawn=shown_by(icc.matrix(icc.ADOBE, 2.2, 2)))
    yield one("JPEG 2000, codestream alone", "a.j2k", by_pillow(drawn(), "JPEG2000", no_jp2=True), drawn=drawn())


def heic(image: Image.Image, orientation: int = 1) -> bytes:
    """A HEIC file without loss, by libheif and x265."""
    written, file = io.BytesIO(), pillow_heif.from_pillow(image)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file.info["exif"] = exif.tobytes() if orientation != 1 else None
    file.save(written, quality=-1, chroma=444, matrix_coefficients=0)
    return written.getvalue()


def on_white(image: Image.Image) -> Image.Image:
    """What shows when white shines through."""
    background = Image.new("RGBA", image.size, "white")
    background.alpha_composite(image.convert("RGBA"))
    return background.convert("RGB")


def ramp() -> Image.Image:
    """All greys of 16 bits, in steps."""
    width, height = SIZE
    values = [(number * 65535) // (width * height - 1) for number in range(width * height)]
    return Image.frombytes("I;16", SIZE, struct.pack(f"<{len(values)}H", *values))


def ramp_in_8() -> Image.Image:
    """The same, each value divided by 257."""
    values = struct.unpack(f"<{SIZE[0] * SIZE[1]}H", ramp().tobytes())
    return Image.frombytes("L", SIZE, bytes(round(value / 257) for value in values))


def others() -> Iterator[Seed]:
    """GIF, BMP, the PNM family, TGA, ICO and PSD."""
    yield one("GIF", "a.gif", by_pillow(drawn().quantize(256), "GIF"), colour="palette")
    clear = by_pillow(drawn().quantize(16), "GIF", transparency=3)
    yield one("GIF, one colour transparent", "a.gif", clear, colour="palette", alpha="one entry")
    yield one("GIF, moving", "a.gif", moving("GIF"), colour="palette", frames="2")
    for mode, depth, colour in (("1", "1", "grey"), ("L", "8", "grey"), ("P", "8", "palette"), ("RGB", "8", "RGB")):
        image = drawn().quantize(64) if mode == "P" else drawn().convert(mode)
        yield one(f"BMP, {mode}", "a.bmp", by_pillow(image, "BMP"), depth=depth, colour=colour, drawn=image.convert("RGB"))
    opaque = glass().convert("RGB")
    yield one("BMP, 32 bit, the fourth byte unused", "a.bmp", by_pillow(glass(), "BMP"), drawn=opaque)
    yield one("BMP, 32 bit, with a mask of alpha", "a.bmp", bitmap(glass()), alpha="yes", drawn=on_white(glass()))
    for mode, name, depth, colour in (("1", "PBM", "1", "grey"), ("L", "PGM", "8", "grey"), ("RGB", "PPM", "8", "RGB")):
        image = drawn().convert(mode)
        yield one(name, f"a.{name.lower()}", by_pillow(image, "PPM"), depth=depth, colour=colour, drawn=image.convert("RGB"))
    yield one("PPM, 16 bit", "a.ppm", deep_ppm(drawn()), depth="16", drawn=drawn())
    yield one("PPM, plain", "a.ppm", in_plain_text(drawn()), drawn=drawn())
    wide = struct.unpack(f"<{SIZE[0] * SIZE[1]}H", ramp().tobytes())
    deep_grey = b"P5 %d %d 65535\n" % SIZE + struct.pack(f">{len(wide)}H", *wide)
    yield one("PGM, 16 bit", "a.pgm", deep_grey, depth="16", colour="grey", drawn=ramp_in_8())
    floating = b"Pf\n%d %d\n-1.0\n" % SIZE + as_libvips(grey().transpose(Image.Transpose.FLIP_TOP_BOTTOM)).cast("float").write_to_memory()
    yield one("PFM", "a.pfm", floating, "32, float", "grey", drawn=grey())
    for mode, colour, alpha in (("L", "grey", "–"), ("P", "palette", "–"), ("RGB", "RGB", "–"), ("RGBA", "RGB", "yes")):
        image = {"P": drawn().quantize(64), "RGBA": glass()}.get(mode, drawn().convert(mode))
        shown = on_white(image) if alpha == "yes" else image.convert("RGB")
        yield one(f"TGA, {mode}", "a.tga", by_pillow(image, "TGA"), colour=colour, alpha=alpha, drawn=shown)
        yield one(f"TGA, {mode}, run lengths", "a.tga", by_pillow(image, "TGA", compression="tga_rle"), "8", colour, alpha, drawn=shown)
    unused = bytearray(by_pillow(glass(), "TGA"))
    unused[17] &= 0xF0  # no bits of attributes
    yield one("TGA, 32 bit, the fourth byte unused", "a.tga", bytes(unused), drawn=opaque)
    icon = by_pillow(glass().resize((64, 48)), "ICO", sizes=[(32, 24), (64, 48)])
    yield one("ICO", "a.ico", icon, alpha="yes", frames="2", drawn=on_white(glass().resize((64, 48))))
    yield one("PSD", "a.psd", photoshop(drawn()), drawn=drawn())
    yield one("PSD, a saved selection", "a.psd", photoshop(glass()), drawn=opaque)
    yield one("PSD, alpha", "a.psd", photoshop(glass(), layers=-1), alpha="yes", drawn=on_white(glass()))
    yield one("PSD, grey", "a.psd", photoshop(grey()), colour="grey", drawn=grey())
    yield one("PSD, CMYK", "a.psd", photoshop(drawn().convert("CMYK")), colour="CMYK", drawn=drawn())


def bitmap(image: Image.Image) -> bytes:
    """A BMP of RGBA with the masks of version 4 ([MS-WMF] 2.2.2.5, BitmapV4Header)."""
    pixels = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, *image.size, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks
    start = 14 + 108
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header.ljust(108, b"\0") + pixels


def photoshop(image: Image.Image, depth: int = 8, layers: int = 0) -> bytes:
    """A PSD that counts so many layers, uncompressed (Adobe Photoshop File Formats Specification); of CMYK it stores the inverse."""
    bands = [band.point(lambda value: 255 - value) if image.mode == "CMYK" else band for band in image.split()]
    mode = {"L": 1, "RGB": 3, "RGBA": 3, "CMYK": 4}[image.mode]
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(bands), image.height, image.width, depth, mode)
    section = struct.pack(">IIhI", 10, 6, layers, 0) if layers else bytes(4)
    return header + struct.pack(">II", 0, 0) + section + struct.pack(">H", 0) + b"".join(band.tobytes() for band in bands)


def one(kind: str, name: str, data: bytes, depth: str = "8", colour: str = "RGB", alpha: str = "–", **facts: Any) -> Seed:
    """A row of one file."""
    return Seed(kind, ((name, data),), depth, colour, alpha, **facts)
