"""The settings: one declared list that feeds reading, help, the `settings` command and docs/settings.md; no I/O."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lambdazoom.model import passwords
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.geometry import CONTENT_TYPES, MAX_PIXELS, SUBSAMPLINGS, WHITE, Recipe
from lambdazoom.model.places import Bucket, Folder, parse_place
from lambdazoom.model.prices import Prices, parse_prices

PREFIX = "LAMBDAZOOM_"
MAX_UPLOAD_BYTES = 10_000_000_000
SECRET_CHARACTERS = 32

# names of the program that LambdaZoom follows, and what they are called here
SUCCESSORS = {
    "S3_SOURCE_BUCKET": "LAMBDAZOOM_SOURCE",
    "S3_ZOOM_BUCKET": "LAMBDAZOOM_ZOOM",
    "S3_METADATA_BUCKET": "LAMBDAZOOM_METADATA",
    "DEEPZOOM_TILE_SIZE": "LAMBDAZOOM_TILE_SIZE",
    "DEEPZOOM_TILE_FORMAT": "LAMBDAZOOM_FORMAT",
    "DEEPZOOM_IMAGE_QUALITY": "LAMBDAZOOM_QUALITY",
}


def _text(text: str) -> str:
    return text


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        return int(text)

    return parse


def _megabytes(text: str) -> int:
    return _whole_number(64, 10**7)(text) if text else 0


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(" or ".join(choices))
        return text

    return parse


def _address(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise ValueError("an address that starts with https:// or http://")
    return text.rstrip("/")


def _colour(text: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError("a colour as #rrggbb")
    return text.lower()


def _session_secret(text: str) -> str:
    if text and not (text.isascii() and len(text) >= SECRET_CHARACTERS):
        raise ValueError(f"at least {SECRET_CHARACTERS} ASCII characters long; `python -m lambdazoom password` prints a good one")
    return text


@dataclass(frozen=True)
class Setting:
    """One setting: its name in the environment, its default as text, what it does, and how its text is read.

    `parse` raises a ValueError whose text says what would be right, and does not hold what it read. The value of a secret
    is never shown, only whether it is set.
    """

    name: str
    default: str
    help: str
    parse: Callable[[str], Any] = _text
    is_secret: bool = False

    @property
    def field(self) -> str:
        """Its name as an attribute of Settings."""
        return self.name.removeprefix(PREFIX).lower()


SETTINGS = (
    Setting(
        "LAMBDAZOOM_SOURCE",
        "data/source",
        "Where images are put: a folder, or `s3://bucket/prefix`. Nothing in it changes but what somebody uploads or deletes on the pages.",
        parse_place,
    ),
    Setting("LAMBDAZOOM_ZOOM", "data/zoom", "Where descriptors and tiles go: a folder, or `s3://bucket/prefix`.", parse_place),
    Setting("LAMBDAZOOM_METADATA", "data/metadata", "Where metadata and records go: a folder, or `s3://bucket/prefix`.", parse_place),
    Setting("LAMBDAZOOM_TILE_SIZE", "254", "The side of a tile in pixels, without overlap.", _whole_number(64, 4096)),
    Setting("LAMBDAZOOM_OVERLAP", "1", "Pixels that neighbouring tiles share on each side.", _whole_number(0, 16)),
    Setting("LAMBDAZOOM_FORMAT", "jpg", "The format of the tiles: jpg, png or webp.", _one_of(tuple(CONTENT_TYPES))),
    Setting("LAMBDAZOOM_QUALITY", "80", "The quality of JPEG and WebP tiles, 1 to 100.", _whole_number(1, 100)),
    Setting(
        "LAMBDAZOOM_SUBSAMPLING",
        "4:2:0",
        "How JPEG tiles keep colour: 4:2:0, one sample for four pixels, or 4:4:4, for fine coloured lines.",
        _one_of(SUBSAMPLINGS),
    ),
    Setting(
        "LAMBDAZOOM_BACKGROUND", WHITE, "What shows through transparent parts of an image, as #rrggbb: JPEG tiles are opaque.", _colour
    ),
    Setting(
        "LAMBDAZOOM_TRUNCATED",
        "refuse",
        "What becomes of an image whose file ends too early: refuse, or accept, which publishes what could be read and says so.",
        _one_of(("refuse", "accept")),
    ),
    Setting(
        "LAMBDAZOOM_TILES_URL",
        "",
        "Where browsers find the zoom store directly (a CDN, say). Descriptors and pages then take their tiles from this address.",
        _address,
    ),
    Setting(
        "LAMBDAZOOM_MAX_PIXELS",
        str(MAX_PIXELS),
        "An image that claims more pixels than this is refused before it is decoded.",
        _whole_number(1, 10**12),
    ),
    Setting(
        "LAMBDAZOOM_MANAGE_SOURCE",
        "auto",
        "Whether the pages may upload to the source and delete from it: yes, no, or auto, which means yes for a folder, no for a bucket. "
        "`init --manage-source` sets it together with the right that the function needs.",
        _one_of(("auto", "yes", "no")),
    ),
    Setting("LAMBDAZOOM_MAX_UPLOAD_BYTES", str(MAX_UPLOAD_BYTES), "The largest file that may be uploaded.", _whole_number(1, 5 * 10**12)),
    Setting(
        "LAMBDAZOOM_MEMORY_LIMIT",
        "",
        "An image that needs more memory than this, in megabytes, is refused before it is decoded; one that takes more all the same is "
        "stopped by `serve` on folders. If none is set, the limit is the function's size on Lambda, else most of the machine's memory.",
        _megabytes,
    ),
    Setting(
        "LAMBDAZOOM_TIME_LIMIT",
        "3600",
        "How long `serve` on folders lets one image take, in seconds; what takes longer is stopped, and given up the second time.",
        _whole_number(1, 10**6),
    ),
    Setting("LAMBDAZOOM_JOBS", "2", "How many images `serve` works on at the same time.", _whole_number(1, 64)),
    Setting("LAMBDAZOOM_EXIFTOOL", "", "The path of exiftool, if it is not the one that `make` installs or the one on PATH."),
    Setting("LAMBDAZOOM_EXIFTOOL_SECONDS", "30", "How long exiftool may take for one file.", _whole_number(1, 600)),
    Setting(
        "LAMBDAZOOM_GRACE_SECONDS",
        "3600",
        "How long a replaced or removed pyramid keeps its tiles, for viewers that still show it.",
        _whole_number(0, 10**8),
    ),
    Setting(
        "LAMBDAZOOM_PRICES",
        "",
        "What AWS asks in your region, where it isn't us-east-1's list price: dollars as `put_1000=0.0054 get_1000=0.00043`, and likewise "
        "`gb_second`, `invocation`, `gb_month`. Receipts and estimates are reckoned by it.",
        parse_prices,
    ),
    Setting(
        "LAMBDAZOOM_PASSWORD_HASH",
        "",
        "What the password is checked against; `python -m lambdazoom password` prints it. Without it only this machine is served, "
        "and on Lambda nothing is shown. Secret.",
        passwords.checked,
        is_secret=True,
    ),
    Setting(
        "LAMBDAZOOM_SESSION_SECRET",
        "",
        "What sessions are signed with, printed together with the hash. Another one signs everybody out. Secret.",
        _session_secret,
        is_secret=True,
    ),
)


@dataclass(frozen=True)
class Settings:
    """All settings, read and checked.

    `texts` and `origins` say for each name what was read, and where it came from; a secret's text is "set", or nothing.
    `function_memory` is what Lambda says of the function that this runs in, in megabytes; 0 elsewhere.
    """

    source: Folder | Bucket
    zoom: Folder | Bucket
    metadata: Folder | Bucket
    tile_size: int
    overlap: int
    format: str
    quality: int
    subsampling: str
    background: str
    truncated: str
    tiles_url: str
    max_pixels: int
    manage_source: str
    max_upload_bytes: int
    memory_limit: int
    time_limit: int
    jobs: int
    exiftool: str
    exiftool_seconds: int
    grace_seconds: int
    prices: Prices
    password_hash: str = field(repr=False)
    session_secret: str = field(repr=False)
    texts: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    function_memory: int = 0

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """The settings of an environment; SettingsError for an unknown name or a value that can't be."""
        _refuse_unknown(environment)
        values = {setting.field: _read(setting, environment) for setting in SETTINGS}
        origins = {setting.name: "environment" if setting.name in environment else "default" for setting in SETTINGS}
        texts = {setting.name: _shown(setting, environment.get(setting.name, setting.default)) for setting in SETTINGS}
        _refuse_half_a_password(texts)
        memory = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")
        return cls(**values, texts=texts, origins=origins, function_memory=int(memory) if memory.isdecimal() else 0)

    @property
    def manages_source(self) -> bool:
        """Whether the pages may upload to the source and delete from it."""
        return self.manage_source == "yes" or (self.manage_source == "auto" and isinstance(self.source, Folder))

    @property
    def recipe(self) -> Recipe:
        """How pyramids are made."""
        return Recipe(self.tile_size, self.overlap, self.format, self.quality, self.subsampling, self.background)


def _read(setting: Setting, environment: Mapping[str, str]) -> Any:
    text = environment.get(setting.name, setting.default)
    try:
        return setting.parse(text)
    except ValueError as error:
        if setting.is_secret:
            raise SettingsError(f"{setting.name} is set, but it must be {error}.") from error
        raise SettingsError(f"{setting.name} is {text!r}; it must be {error}.") from error


def _shown(setting: Setting, text: str) -> str:
    return "set" if text and setting.is_secret else text


def _refuse_half_a_password(texts: Mapping[str, str]) -> None:
    names = [setting.name for setting in SETTINGS if setting.is_secret]
    missing = [name for name in names if not texts[name]]
    if missing and missing != names:
        raise SettingsError(f"{missing[0]} is not set; sign-in needs both. `python -m lambdazoom password` prints them.")


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    names = [setting.name for setting in SETTINGS]
    for name in sorted(environment):
        if name in SUCCESSORS:
            raise SettingsError(f"{name} is a name of the original program; here it is called {SUCCESSORS[name]}.")
        if name.startswith(PREFIX) and name not in names:
            import difflib  # a start that goes well does without it

            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise SettingsError(f"There is no setting {name}. Do you mean {nearest}?")
