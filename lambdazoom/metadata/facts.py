"""What a caption says, out of all tags: title, creator, rights, description, camera, date; nothing is judged fit to share here."""

import re
from collections.abc import Mapping

from lambdazoom.metadata.exiftool import Metadata, Tag, TagValue
from lambdazoom.model.records import Caption

SOURCES = {
    "title": ("XMP:XMP-dc:Title", "IPTC:ObjectName", "IPTC:Headline", "EXIF:IFD0:XPTitle", "PNG:Title"),
    "creator": ("XMP:XMP-dc:Creator", "IPTC:By-line", "EXIF:IFD0:Artist", "EXIF:IFD0:XPAuthor", "PNG:Author"),
    "rights": ("XMP:XMP-dc:Rights", "IPTC:CopyrightNotice", "EXIF:IFD0:Copyright", "PNG:Copyright"),
    "description": (
        "XMP:XMP-dc:Description",
        "IPTC:Caption-Abstract",
        "EXIF:IFD0:ImageDescription",
        "EXIF:IFD0:XPComment",
        "PNG:Description",
    ),
    "taken": (
        "EXIF:ExifIFD:DateTimeOriginal",
        "XMP:XMP-photoshop:DateCreated",
        "XMP:XMP-exif:DateTimeOriginal",
        "IPTC:DateCreated",
        "XMP:XMP-xmp:CreateDate",
        "EXIF:ExifIFD:CreateDate",
    ),
}
"""Who is believed first: what people write today (XMP), what agencies wrote (IPTC), what cameras and Windows fill in (EXIF), PNG's own.

For creator, rights and description the first three are those that the Metadata Working Group's guidelines 2.0 keep in step;
the order is ours, because cameras write into EXIF unasked. Of the date, it is the camera that knows.
"""
MAKE = ("EXIF:IFD0:Make", "XMP:XMP-tiff:Make")
MODEL = ("EXIF:IFD0:Model", "XMP:XMP-tiff:Model")

LANGUAGES = ("x-default", "en")

_DATE = re.compile(r"([0-9]{4})[:-](0[1-9]|1[0-2])[:-](0[1-9]|[12][0-9]|3[01])\b", re.ASCII)
_COPY = re.compile(r":Copy\d+(?=:[^:]+$)")


def caption(metadata: Metadata) -> Caption:
    """The first of each fact's sources that says anything; several creators are joined by ", "."""
    origins = _by_origin(metadata.tags)
    facts = {fact: _first(origins, sources) for fact, sources in SOURCES.items()}
    facts["taken"] = _date(facts["taken"])
    return Caption(**facts, camera=_camera(_first(origins, MAKE), _first(origins, MODEL)))


def _camera(make: str, model: str) -> str:
    """ "FUJIFILM X-T5"; many models say their maker's name themselves ("NIKON CORPORATION", "NIKON D850")."""
    brand = make.partition(" ")[0]
    return model if brand and model.lower().startswith(brand.lower()) else f"{make} {model}".strip()


def _date(text: str) -> str:
    """The day at the beginning of exiftool's text for a moment, as ISO 8601 has it; "" if it tells none."""
    found = _DATE.match(text)
    return "-".join(found.groups()) if found and found[1] != "0000" else ""


def without_copy(key: str) -> str:
    """The key without exiftool's copy number: "EXIF:IFD1:Copy1:Make" is "EXIF:IFD1:Make"."""
    return _COPY.sub("", key)


def _by_origin(tags: Mapping[str, Tag]) -> dict[str, str]:
    """Readable values by key without copy number; in one group the tag that exiftool prefers wins over its copies."""
    origins: dict[str, str] = {}
    for key in sorted(tags, key=lambda key: without_copy(key) != key):
        text = _readable(tags[key]["text"])
        if text:
            origins.setdefault(without_copy(key), text)
    return origins


def _first(origins: Mapping[str, str], sources: tuple[str, ...]) -> str:
    for source in sources:
        if source in origins:
            return origins[source]
        # a text in other languages only: exiftool calls its tags Title-de, Title-fr
        foreign = [key for key in origins if key.startswith(f"{source}-")]
        if foreign:
            return origins[foreign[0]]
    return ""


def _readable(value: TagValue) -> str:
    """One line of text: a list joined, a text in several languages in the default one."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_readable, value)))
    if isinstance(value, dict):
        language = next((language for language in LANGUAGES if language in value), next(iter(value), None))
        return "" if language is None else _readable(value[language])
    return str(value).strip()
