"""What somebody wants to be set up: names and switches, checked by text alone; no I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import quote

from lambdazoom.model.errors import SettingsError
from lambdazoom.model.places import Bucket, parse_place
from lambdazoom.operations.stage import is_placeholder

# "General purpose buckets naming rules" of the S3 user guide, beyond the letters that model/places.py looks at
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+){1,2}-\d")

NAME_RULE = "a bucket, or bucket/prefix: 3 to 63 small letters, digits, dots and hyphens"


@dataclass(frozen=True)
class Wishes:
    """The three places, the bucket for Zappa's uploads, the region, and what else is wanted.

    `versioning` and `manage_source` are None where it shall stay as it is.
    """

    source: Bucket
    zoom: Bucket
    metadata: Bucket
    deployment: Bucket
    region: str
    public_tiles: bool = False
    manage_source: bool | None = None
    versioning: bool | None = None
    new_password: bool = False

    @property
    def tiles_url(self) -> str:
        """Where browsers find the zoom store; with a dot in the name, S3's certificate fits the path form only."""
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        host = f"s3.{self.region}.{suffix}"
        base = f"https://{host}/{self.zoom.name}" if "." in self.zoom.name else f"https://{self.zoom.name}.{host}"
        return f"{base}/{quote(self.zoom.prefix)}" if self.zoom.prefix else base


def parse_bucket(text: str) -> Bucket:
    """The bucket, with or without `s3://`, that somebody names; SettingsError says what would be right."""
    name = text.strip().removeprefix("s3://")
    try:
        place = parse_place(f"s3://{name}")
    except ValueError as error:
        raise SettingsError(f"{text!r} can't be a bucket. It must be {NAME_RULE}.") from error
    assert isinstance(place, Bucket)  # noqa: S101 (for mypy: it begins with s3://)
    reason = _refusal(place.name)
    if reason:
        raise SettingsError(f"{place.name!r} can't be a bucket: {reason}. Choose another name.")
    return place


def check(wishes: Wishes) -> None:
    """SettingsError if the places are not apart from each other, or can't be what is wished."""
    if not _REGION.fullmatch(wishes.region):
        raise SettingsError(f"{wishes.region!r} is no region of AWS. Name one like eu-central-1.")
    named = {"source": wishes.source, "zoom": wishes.zoom, "metadata": wishes.metadata, "deployment": wishes.deployment}
    _refuse_sharing(named)
    if wishes.deployment.prefix:
        raise SettingsError("Zappa's uploads need a bucket without a prefix. Name the bucket alone with --deployment.")
    if wishes.public_tiles and wishes.zoom.name == wishes.metadata.name:
        raise SettingsError(f"Zoom and metadata are both in {wishes.zoom.name}. Public tiles need a bucket of their own.")


def _refuse_sharing(named: Mapping[str, Bucket]) -> None:
    for (one, place), (other, above) in combinations(named.items(), 2):
        may_share = {one, other} == {"zoom", "metadata"}  # events come from the whole source bucket, Zappa's uploads have no prefix
        if place.overlaps(above) or (place.name == above.name and not may_share):
            raise SettingsError(f"{one.capitalize()} and {other} are both in the bucket {place.name}. Choose another bucket for {other}.")


def _refusal(name: str) -> str:
    if is_placeholder(name):
        return "it is the placeholder"
    if ".." in name or ".-" in name or "-." in name:
        return "dots stand between letters or digits only"
    if _ADDRESS.fullmatch(name):
        return "it looks like an IP address"
    if name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        return "S3 keeps such names for itself"
    return ""
