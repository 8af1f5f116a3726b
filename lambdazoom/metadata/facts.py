"""What a caption says, out of all tags: title, creator, rights, description. Nothing is read here, and nothing judged fit to share."""

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
}
"""Who is believed first: what people write today (XMP), what agencies wrote (IPTC), what cameras and Windows fill in (EXIF), PNG's own.

For creator, rights and description the first three are those that the Metadata Working Group's guidelines 2.0 keep in step;
the order is ours, because cameras write into EXIF unasked.
"""

LANGUAGES = ("x-default", "en")

_COPY = re.compile(r":Copy\d+(?=:[^:]+$)")


def caption(metadata: Metadata) -> Caption:
    """The first of each fact's sources that says anything; several creators are joined by ", "."""
    origins = _by_origin(metadata.tags)
    return Caption(**{fact: _first(origins, sources) for fact, sources in SOURCES.items()})


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
