"""What a PNG says behind its pixels, where Pillow looks only after decoding; no pixels here. Source: W3C PNG, sections 5 and 11."""

import os
import struct

_SIGNATURE = 8
_WEIGHTY = (b"eXIf", b"iCCP", b"tRNS")  # only the first may stand there, but Pillow heeds the others as well
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TELLING = (b"Raw profile type exif", b"XML:com.adobe.xmp")  # keywords of the texts in which Pillow finds an orientation


def says_more_at_the_end(descriptor: int) -> bool:
    """Whether a chunk behind the pixels may hold what changes them: an orientation (EXIF or XMP), a profile, transparency."""
    position, has_pixels = _SIGNATURE, False
    while len(head := os.pread(descriptor, 8, position)) == 8:
        length, kind = struct.unpack(">L4s", head)
        if kind == b"IDAT":
            has_pixels = True
        elif has_pixels and (kind in _WEIGHTY or (kind in _TEXTS and os.pread(descriptor, 21, position + 8).startswith(_TELLING))):
            return True
        position += 12 + length
    return False
