"""The checks of the buckets on AWS. Each is a function of the site; what it may not look at is said by whoever calls it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lambdazoom.model.errors import AccessDenied
from lambdazoom.operations import buckets, policy
from lambdazoom.operations.access import PASSWORD_HASH, read_secrets, secrets_key, secrets_url
from lambdazoom.operations.aws import Aws, found
from lambdazoom.operations.findings import RUN_INIT, Finding, ok, problem, warning
from lambdazoom.operations.stage import Stage

LOOKED_AT = 10_000  # objects of the source whose size is asked for: ten requests
MEGABYTE = 2**20

Findings = Iterator[Finding]


@dataclass(frozen=True)
class Site:
    """A stage, the account that it is deployed to, and the deployed function's configuration (None if there is none)."""

    stage: Stage
    aws: Aws
    function: dict[str, Any] | None = None

    @property
    def s3(self) -> Any:
        """S3's client."""
        return self.aws.client("s3")


def existence(site: Site, purpose: str) -> Findings:
    """The bucket is there, is ours, and lies where the function runs."""
    name, wanted = site.stage.buckets[purpose].name, site.aws.region
    try:
        region = buckets.region_of(site.s3, name, site.aws.account)
    except AccessDenied as error:
        yield problem(str(error), "Or use credentials that may look at it.")
        return
    if region is None:
        yield problem(f"There is no bucket {name} ({purpose}).", RUN_INIT)
    elif region != wanted:
        yield problem(f"The bucket {name} lies in {region}, the function in {wanted}.", "Choose a bucket in the same region.")
    else:
        yield ok(f"The {purpose} bucket {name} is there, in {region}.")


def versioning(site: Site) -> Findings:
    """The zoom bucket keeps no versions: every swept tile would be kept and billed."""
    name = site.stage.buckets["zoom"].name
    rules = (buckets.lifecycle_of(site.s3, name) or {}).get("Rules", [])
    if not buckets.is_versioned(site.s3, name):
        yield ok(f"The zoom bucket {name} keeps no versions of swept tiles.")
    elif buckets.ends_old_versions(rules):
        yield ok(f"The zoom bucket {name} keeps versions of swept tiles, and a lifecycle rule ends them.")
    else:
        way_out = "Suspend versioning there, or add a lifecycle rule that expires noncurrent versions after a day."
        yield warning(f"The zoom bucket {name} keeps versions: every tile that is swept stays, and is billed.", way_out)


def privacy(site: Site, purpose: str) -> Findings:
    """The bucket is closed to the public, or open just as far as LAMBDAZOOM_TILES_URL wants it."""
    name = site.stage.buckets[purpose].name
    block, held = buckets.block_of(site.s3, name), buckets.policy_of(site.s3, name)
    blocked = block is not None and all(block.get(each) for each in buckets.BLOCKS)
    if purpose == "zoom" and _leads_to(name, site.stage.environment.get("LAMBDAZOOM_TILES_URL", "")):
        yield from _public_tiles(name, held, block or {})
    elif blocked:
        yield ok(f"Block Public Access is on for {name}.")
    elif policy.is_public(held) or buckets.is_open_by_acl(site.s3, name):
        mark = problem if purpose == "metadata" else warning
        yield mark(f"The {purpose} bucket {name} is open to the public.", "Turn on Block Public Access for it.")
    else:
        yield warning(f"Block Public Access is not fully on for {name}.", RUN_INIT if block is None else "Turn it on.")


def _leads_to(name: str, address: str) -> bool:
    """Whether an address is S3's own for the bucket; a CDN reads with rights of its own."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    return ".amazonaws.com" in host and (host.startswith(f"{name}.s3") or parts.path.split("/")[1:2] == [name])


def _public_tiles(name: str, held: dict[str, Any] | None, block: dict[str, bool]) -> Findings:
    ours = any(each.get("Sid") == policy.PUBLIC_TILES for each in policy.statements_of(held or {}))
    if not ours or any(block.get(each) for each in buckets.POLICY_BLOCKS):
        way_out = "Run `python -m lambdazoom init --public-tiles`."
        yield problem(f"LAMBDAZOOM_TILES_URL leads browsers to {name}, but it does not let them read.", way_out)
    else:
        yield ok(f"Tiles in {name} can be read by everybody, as LAMBDAZOOM_TILES_URL wants it.")


def unfinished_uploads(site: Site, purpose: str) -> Findings:
    """Parts of uploads that never end are not billed for ever."""
    name = site.stage.buckets[purpose].name
    rules = (buckets.lifecycle_of(site.s3, name) or {}).get("Rules", [])
    if buckets.ends_unfinished_uploads(rules):
        yield ok(f"Unfinished uploads to {name} end by themselves.")
    else:
        yield warning(f"Unfinished uploads to {name} stay, unseen, and are billed.", RUN_INIT)


def secrets(site: Site) -> Findings:
    """The password's hash is where Zappa's remote_env finds it."""
    metadata, stage = site.stage.buckets["metadata"], site.stage
    held = read_secrets(site.aws, metadata.name, secrets_key(metadata, stage.name))
    url = secrets_url(metadata, stage.name)
    if PASSWORD_HASH in stage.environment or (held and PASSWORD_HASH in held[0]):
        yield ok("A password is set.")
    else:
        yield problem(f"No password is set ({url} has none), so the function shows nothing.", RUN_INIT)


def largest_source(site: Site) -> Findings:
    """The largest original fits into the function's temporary storage."""
    source, room = site.stage.buckets["source"], int(site.stage.values.get("ephemeral_storage", {}).get("Size", 512))
    pages = site.s3.get_paginator("list_objects_v2").paginate(
        Bucket=source.name, Prefix=source.path, PaginationConfig={"MaxItems": LOOKED_AT}
    )
    objects: Callable[[], list[Any]] = lambda: [each for page in pages for each in page.get("Contents", ())]  # noqa: E731
    listed = found(objects, ())
    if not listed:
        yield ok(f"{source.name} holds no images yet.")
        return
    largest = max(listed, key=lambda each: each["Size"])
    seen = f"the first {LOOKED_AT:,} objects of {source.name}" if len(listed) == LOOKED_AT else source.name
    what = f"The largest original in {seen}, {largest['Key']}, has {largest['Size'] / MEGABYTE:,.0f} MB"
    if largest["Size"] > room * MEGABYTE:
        yield problem(f"{what}; the function has room for {room:,} MB.", "Raise ephemeral_storage (10240 at most), then `zappa update`.")
    else:
        yield ok(f"{what}; the function has room for {room:,} MB. Its pixels are not known before it is opened.")
