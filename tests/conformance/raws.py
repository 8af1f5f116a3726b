"""The raw camera files of the conformance table: made by hand, each with a preview where its maker puts it."""

from collections.abc import Iterator
from typing import Any

import pyvips
from PIL import Image

from tests import raws
from tests.conformance.refusals import nothing
from tests.conformance.seeds import SIZE, Seed, drawn, one

_PREVIEW = "libvips opens none, or a thumbnail; compared with the preview as libvips decodes it"


def raw_files() -> Iterator[Seed]:
    """What cameras write beside JPEG: shown by their embedded preview, or refused."""
    preview = raws.jpeg(drawn())
    facts: dict[str, Any] = {"drawn": by_itself(preview), "why": _PREVIEW}
    dng = raws.dng([raws.jpeg(drawn().resize((80, 60))), preview], SIZE)
    yield one("raw, DNG, two previews", "a.dng", dng, **facts)
    for words, name, make in (
        ("CR2 (Canon)", "a.cr2", raws.cr2),
        ("CR3 (Canon)", "a.cr3", raws.cr3),
        ("NEF (Nikon)", "a.nef", raws.nef),
        ("ARW (Sony)", "a.arw", raws.arw),
        ("RAF (Fujifilm)", "a.raf", raws.raf),
        ("ORF (Olympus)", "a.orf", raws.orf),
        ("RW2 (Panasonic)", "a.rw2", raws.rw2),
        ("PEF (Pentax)", "a.pef", raws.pef),
    ):
        yield one(f"raw, {words}", name, make(preview, SIZE), **facts)
    turned = by_itself(preview).transpose(Image.Transpose.ROTATE_270)
    yield one("raw, turned by its orientation", "a.nef", raws.nef(preview, SIZE, 6), orientation="6", drawn=turned, why=_PREVIEW)
    yield one("raw, a small preview alone", "a.nef", raws.nef(preview, (1600, 1200)), **facts)
    yield nothing("raw, a thumbnail alone", "a.nef", raws.nef(preview, (8256, 5504)))
    yield nothing("raw, DNG, no preview", "a.dng", raws.dng([], SIZE))
    yield nothing("raw, CR3, its first bytes alone", "a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom")
    yield nothing("raw, CR2, its first bytes alone", "a.cr2", b"II*\0\x10\0\0\0CR\x02\0" + bytes(40))
    yield nothing("raw, RAF, its first bytes alone", "a.raf", b"FUJIFILMCCD-RAW 0201")


def by_itself(preview: bytes) -> Image.Image:
    """The preview as libvips decodes it."""
    return Image.frombytes("RGB", SIZE, pyvips.Image.new_from_buffer(preview, "").write_to_memory())
