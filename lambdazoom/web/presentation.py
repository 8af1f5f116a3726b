"""Values as people read them: times, numbers, names and tags as text; no requests, no markup, no I/O."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

TAIL = 9  # characters of a long name's end that stay in view: extension and running number
MAX_VALUE = 500  # characters of one metadata value on a page; the JSON has all of it

# width : height in hundredths, in steps of 5 %; static/ratios.css has a class for each
RATIOS = tuple(round(50 * 1.05**step) for step in range(38))
UNKNOWN_RATIO = (4, 3)

EXIFTOOL = "ExifTool"  # the group of its version and warnings
HEADINGS = {
    "File": "File",
    "EXIF IFD0": "Camera and image",
    "EXIF ExifIFD": "Exposure",
    "EXIF GPS": "Position",
    "EXIF IFD1": "Embedded thumbnail",
    "EXIF InteropIFD": "Interoperability",
    "IPTC": "IPTC caption",
    "XMP XMP-dc": "Title, creator and rights",
    "XMP XMP-photoshop": "Photoshop",
    "XMP XMP-x": "XMP toolkit",
    "XMP XMP-xmp": "History",
    "XMP XMP-exif": "Exposure, as XMP",
    "XMP XMP-tiff": "Camera and image, as XMP",
    "XMP XMP-xmpRights": "Rights",
    "ICC_Profile": "Colour profile",
    "ICC_Profile ICC-header": "Colour profile, header",
    "Composite": "Worked out by exiftool",
    EXIFTOOL: "exiftool",
    "MakerNotes": "Camera maker's notes",
}
_COPY = re.compile(r"Copy\d+")  # family 4, after 0 and 1: it makes no group of its own

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_PERIODS = ((60, "s"), (60, "min"), (24, "h"))
_JUST_NOW, _LONG_AGO = timedelta(seconds=5), timedelta(days=7)


@dataclass(frozen=True)
class Row:
    """One tag and its value."""

    name: str
    value: str


@dataclass(frozen=True)
class Choice:
    """One of several links of which one is the present state: `value` is what the link asks for."""

    value: str
    text: str
    tone: str
    is_current: bool


@dataclass(frozen=True)
class Group:
    """Tags that belong together: `origin` is exiftool's own name of the group, `heading` what people call it."""

    heading: str
    origin: str
    rows: tuple[Row, ...]


def embed(descriptor: str, script: str, is_webp: bool) -> str:
    """HTML for any page: a viewer of the public descriptor at that address. Both addresses are percent-encoded."""
    # OpenSeadragon takes PNG tiles alone for transparent, and draws others over each other
    rule = "OpenSeadragon.DziTileSource.prototype.hasTransparency = () => true; " if is_webp else ""
    options = f'id: "lambdazoom", tileSources: {json.dumps(descriptor)}, drawer: "canvas", showNavigationControl: false'
    return (
        '<div id="lambdazoom" style="width: 100%; height: 480px"></div>\n'
        f'<script src="{escape(script)}"></script>\n'
        f"<script>{rule}OpenSeadragon({{{options}}});</script>"
    )


def install(filters: MutableMapping[str, Callable[..., Any]]) -> None:
    """Give these functions to templates as filters."""
    filters.update(exact=exact, iso=iso, pieces=pieces)


def pieces(text: str) -> list[tuple[str, bool]]:
    """The parts of a text, each with whether it stands between backticks."""
    return [(part, index % 2 == 1) for index, part in enumerate(text.split("`"))]


def counted(count: int, is_exact: bool, one: str, many: str) -> str:
    """ "1 image", "2 images", or "about 1,200 images" where nobody has counted to the end."""
    about = "" if is_exact else "about "
    return f"{about}{count:,} {one if count == 1 else many}"


def bytesize(size: int) -> str:
    """A number of bytes in decimal units, three digits at least where there are so many."""
    if size == 1:
        return "1 byte"
    unit = 0
    amount = float(size)
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount /= 1000
        unit += 1
    digits = 0 if unit == 0 or amount >= 99.95 else 1
    return f"{amount:,.{digits}f} {_UNITS[unit]}"


def seconds(duration: float) -> str:
    """A duration for people."""
    if duration < 1:
        return f"{duration:.2f} s"
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes:,} min {rest} s"


def dollars(amount: float) -> str:
    """A price: cents as such, less than a cent with two digits that count; "" for nothing."""
    if amount <= 0:
        return ""
    return f"${amount:,.2f}" if amount >= 0.01 else f"${float(f'{amount:.1e}'):.10f}".rstrip("0")


def dimensions(width: int, height: int) -> str:
    """ "12,000 × 8,400"; empty while the size isn't known."""
    return f"{width:,} × {height:,}" if width and height else ""


def megapixels(width: int, height: int) -> str:
    """The area of an image: "0.060 megapixels", "1.0 megapixels", "101 megapixels", "1.5 gigapixels"."""
    area = width * height / 1_000_000
    if area >= 1000:
        return f"{area / 1000:,.1f} gigapixels"
    digits = 0 if area >= 10 else 1 if area >= 0.1 else 3
    return f"{area:,.{digits}f} megapixels"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago: "just now", "40 s ago", "2 min ago", "3 h ago", "5 d ago", and from a week on the date."""
    if now - moment < _JUST_NOW:
        return "just now"
    if now - moment < _LONG_AGO:
        return f"{elapsed(moment, now)} ago"
    return f"{moment.astimezone(UTC):%-d %b %Y}"


def elapsed(since: datetime, now: datetime) -> str:
    """How much time has passed, in whole units of one kind: "40 s", "2 min", "3 h", "12 d"."""
    count = max(0, int((now - since).total_seconds()))
    for length, unit in _PERIODS:
        if count < length:
            return f"{count} {unit}"
        count //= length
    return f"{count:,} d"


def exact(moment: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(moment: datetime) -> str:
    """The time of day, in UTC."""
    return f"{moment.astimezone(UTC):%H:%M} UTC"


def iso(moment: datetime) -> str:
    """A moment for programs."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def head_and_tail(name: str) -> tuple[str, str]:
    """A name in two parts, so that a narrow place can cut the first and keep the second in view."""
    return (name[:-TAIL], name[-TAIL:]) if len(name) > 2 * TAIL else (name, "")


def first_words(sentence: str, length: int = 60) -> str:
    """The beginning of a sentence, cut between words."""
    if len(sentence) <= length:
        return sentence
    return sentence[: length + 1].rsplit(" ", 1)[0][:length].rstrip(",;:.") + " …"


def ratio(width: int, height: int) -> int:
    """The step of RATIOS next to an image's proportions; very tall and very wide ones get the first or last."""
    wide, high = (width, height) if width and height else UNKNOWN_RATIO
    return min(RATIOS, key=lambda step: abs(step * high - 100 * wide))


def is_extreme(width: int, height: int) -> bool:
    """Whether the proportions are beyond RATIOS, so that a tile can't have them."""
    return bool(width and height) and not RATIOS[0] * height <= 100 * width <= RATIOS[-1] * height


def groups(tags: Mapping[str, Mapping[str, Any]]) -> tuple[Group, ...]:
    """The tags of a metadata document by exiftool's groups of families 0 and 1, in the document's order, exiftool's own words last."""
    found: dict[str, list[Row]] = {}
    for key, tag in tags.items():
        *families, name = key.split(":")
        origin = " ".join(family for family in families if not _COPY.fullmatch(family))
        found.setdefault(origin, []).append(Row(name, value_text(tag["text"])))
    ordered = sorted(found, key=lambda origin: origin == EXIFTOOL)
    return tuple(Group(_heading(origin), origin, tuple(found[origin])) for origin in ordered)


def _heading(origin: str) -> str:
    return HEADINGS.get(origin) or HEADINGS.get(origin.partition(" ")[0]) or origin.replace("_", " ")


def value_text(value: Any) -> str:
    """A tag's value, whatever its nesting, as one text."""
    text = _flat(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]} …"


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_flat(inner)}" for name, inner in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_flat(inner) for inner in value)
    return str(value)
