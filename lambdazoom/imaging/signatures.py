"""What a name promises and what a file begins with: signatures of images that we don't open, and of what is no image; no Pillow here.

Signatures: the magic numbers of each format's specification.
"""

from pathlib import Path, PurePosixPath

HEAD_BYTES = 4096

IMAGE_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .tif .tiff .btf .tf8 .webp .gif .bmp .dib .ppm .pgm .pbm .pnm .pfm .jp2 .j2k .jpx .jpf "
    ".avif .tga .ico .psd .heic .heif .jxl .svg .svs .ndpi .exr .hdr .eps "
    ".dng .crw .cr2 .cr3 .nef .nrw .arw .sr2 .orf .raf .rw2 .rwl .pef .srw .3fr .iiq .mrw .x3f"
).split()

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
HEIC = tuple((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
HEIF = tuple((4, b"ftyp" + brand, "HEIF") for brand in (b"mif1", b"msf1"))  # of any codec: AVIF may begin like this too
OPENED = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    *((0, start, "TIFF") for start in TIFF),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
)
RAWS = (  # other raw camera files begin like any TIFF: imaging.raw knows them
    (4, b"ftypcrx ", "Canon raw"),
    (6, b"HEAPCCDR", "Canon raw"),
    (0, b"IIRO", "Olympus raw"),
    (0, b"IIRS", "Olympus raw"),
    (0, b"MMOR", "Olympus raw"),
    (0, b"IIU\0", "Panasonic raw"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw"),
    (0, b"\0MRM", "Minolta raw"),
    (0, b"FOVb", "Sigma raw"),
)
OTHER_IMAGES = (
    *HEIC,
    *HEIF,
    *RAWS,
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"%!PS-Adobe", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
)
_OTHER_CONTENTS = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip-compressed data"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (4, b"ftyp", "a video"),
    (0, b"RIFF", "audio or video"),
    (0, b"ID3", "audio"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)


def is_image_name(name: str) -> bool:
    """Whether the name promises an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def head_of(path: Path) -> bytes:
    """The beginning of the content."""
    with path.open("rb") as opened:
        return opened.read(HEAD_BYTES)


def match(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str:
    """What the first of these signatures that fits stands for; empty if none does."""
    return next((kind for start, magic, kind in signatures if head[start : start + len(magic)] == magic), "")


def is_svg(head: bytes) -> bool:
    """Whether it is SVG, as far as its beginning tells."""
    return head.lstrip().startswith((b"<?xml", b"<svg", b"<!--")) and b"<svg" in head


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    # a character may be cut in two at the end of what was read
    return any(_decodes(head[: len(head) - cut]) for cut in range(4))


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def describe(path: Path) -> str:
    """What the content is, in words for people."""
    head = head_of(path)
    if not head:
        return "empty"
    found = match(head, _OTHER_CONTENTS)
    if found:
        return found
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "plain text" if _is_text(head) else "of no kind that we know"
