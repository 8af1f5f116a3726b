"""Who may do what, as documents: IAM policies, what a bucket shows to the public, CORS and lifecycle rules; pure functions, no I/O.

Sids and ids begin with our name: `init` merges by them and leaves every other statement or rule alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lambdazoom.model.places import Bucket

Document = dict[str, Any]

VERSION = "2012-10-17"
MANAGE_SOURCE = "LambdaZoomManageSource"
PUBLIC_TILES = "LambdaZoomPublicTiles"
UNFINISHED_UPLOADS = "lambdazoom-unfinished-uploads"
UNFINISHED_DAYS = 7
FOREVER = 86_400  # seconds that a browser may remember a CORS answer

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_READ = ("s3:GetObject",)
_KEEP = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
_MANAGE = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


def partition(region: str) -> str:
    """The first part of every ARN in a region, after `arn:`."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def bucket_arn(bucket: Bucket, region: str) -> str:
    """The ARN of the bucket itself."""
    return f"arn:{partition(region)}:s3:::{bucket.name}"


def function_policy(
    source: Bucket, zoom: Bucket, metadata: Bucket, function_name: str, region: str, account: str, manage_source: bool = False
) -> Document:
    """What the function may do, and no more: read the source, keep zoom and metadata, write its own log, start runs of itself.

    No GetObjectVersion: a version is read by If-Match, never by its id. A page's *Retry* takes longer than a gateway waits, so it
    gets a run of its own. `manage_source` adds writing to and deleting from the source.
    """
    log = f"arn:{partition(region)}:logs:{region}:{account}:log-group:/aws/lambda/{function_name}"
    itself = f"arn:{partition(region)}:lambda:{region}:{account}:function:{function_name}"
    statements = [
        *_on_bucket("Source", source, region, _READ),
        *_on_bucket("Zoom", zoom, region, _KEEP),
        *_on_bucket("Metadata", metadata, region, _KEEP),
        _allow("LambdaZoomLogGroup", ("logs:CreateLogGroup",), log),
        _allow("LambdaZoomLog", ("logs:CreateLogStream", "logs:PutLogEvents"), f"{log}:*"),
        _allow("LambdaZoomRetry", ("lambda:InvokeFunction",), itself),
    ]
    if manage_source:
        statements.append(_allow(MANAGE_SOURCE, _MANAGE, _objects(source, region)))
    return {"Version": VERSION, "Statement": statements}


def public_tiles_statement(zoom: Bucket, region: str) -> Document:
    """What everybody may read: pointers (an embedded image must find its newest tiles) and generations, by name and never by list.

    Both are what a viewer downloads anyway. Metadata, records and originals lie in other buckets.
    """
    arn, path = bucket_arn(zoom, region), _literally(zoom.path)
    return {
        "Sid": PUBLIC_TILES,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": [f"{arn}/{path}_tiles/*", f"{arn}/{path}*.dzi"],
    }


def public_tiles_policy(zoom: Bucket, region: str) -> Document:
    """The policy of a zoom bucket that has no other."""
    return {"Version": VERSION, "Statement": [public_tiles_statement(zoom, region)]}


def zoom_cors() -> Document:
    """The CORS rule by which a page of any origin may show tiles, with WebGL too."""
    return {
        "ID": "lambdazoom-viewers",
        "AllowedMethods": ["GET", "HEAD"],
        "AllowedOrigins": ["*"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": FOREVER,
    }


def source_cors() -> Document:
    """The CORS rule by which a page may upload with a signed form or in parts; the signature is the permission, not the origin."""
    return {
        "ID": "lambdazoom-uploads",
        "AllowedMethods": ["GET", "HEAD", "POST", "PUT"],
        "AllowedOrigins": ["*"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }


def unfinished_uploads_rule(others: Iterable[Mapping[str, Any]] = ()) -> Document:
    """The lifecycle rule that ends unfinished uploads; S3 wants all rules of a bucket in one form, the old one or the new."""
    old_form = any("Filter" not in rule and "Prefix" in rule for rule in others)
    where: Document = {"Prefix": ""} if old_form else {"Filter": {"Prefix": ""}}
    end = {"DaysAfterInitiation": UNFINISHED_DAYS}
    return {"ID": UNFINISHED_UPLOADS, "Status": "Enabled", **where, "AbortIncompleteMultipartUpload": end}


def with_statements(policy: Mapping[str, Any] | None, ours: Iterable[Document], gone: Iterable[str] = ()) -> Document:
    """The policy with our statements in place of those of the same Sid, and without the Sids in `gone`; all others stay."""
    new = {statement["Sid"]: statement for statement in ours}
    dropped = set(gone)
    kept = [new.pop(each.get("Sid"), each) for each in statements_of(policy or {}) if each.get("Sid") not in dropped]
    return {"Version": VERSION, **(policy or {}), "Statement": [*kept, *new.values()]}


def statements_of(policy: Mapping[str, Any]) -> list[Document]:
    """The statements; IAM takes a single one without a list, too."""
    return _listed(policy.get("Statement", []))


def needs(policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each action of a policy of ours with a resource that it must allow: an object of some name where it ends in a wildcard."""
    for statement in statements_of(policy):
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                sample = f"{resource[:-1]}any/name" if resource.endswith("*") else resource
                yield action, sample.replace("${*}", "*")


def allows(policy: Mapping[str, Any], action: str, resource: str) -> bool:
    """Whether an identity with this policy alone may do this: a small part of IAM's evaluation, with `*` and `?`, Deny first.

    An Allow that has a Condition counts only if the condition is our own (listings below a prefix); a Deny that has one
    doesn't count: most are about TLS or networks, which nothing here can tell. Boundaries and bucket policies are not seen.
    """
    matching = [each for each in statements_of(policy) if _matches(each, action, resource)]
    if any(each["Effect"] == "Deny" and not each.get("Condition") for each in matching):
        return False
    return any(each["Effect"] == "Allow" and _condition_holds(each.get("Condition")) for each in matching)


def is_public(policy: Mapping[str, Any] | None) -> bool:
    """Whether a bucket's policy opens anything to everybody; conditions are taken as not narrowing it."""
    opening = [each for each in statements_of(policy or {}) if each["Effect"] == "Allow"]
    return any("*" in _principals(each.get("Principal")) for each in opening)


def _on_bucket(what: str, bucket: Bucket, region: str, actions: tuple[str, ...]) -> list[Document]:
    listing = _allow(f"LambdaZoomList{what}", ("s3:ListBucket",), bucket_arn(bucket, region))
    if bucket.prefix:
        # IfExists: a HEAD asks for no prefix, and must still be able to say 404 instead of 403
        listing["Condition"] = {"StringLikeIfExists": {"s3:prefix": f"{_literally(bucket.path)}*"}}
    return [_allow(f"LambdaZoom{what}", actions, _objects(bucket, region)), listing]


def _objects(bucket: Bucket, region: str) -> str:
    return f"{bucket_arn(bucket, region)}/{_literally(bucket.path)}*"


def _literally(text: str) -> str:
    return text.replace("*", "${*}")  # IAM's way to write an asterisk that is no wildcard


def _allow(sid: str, actions: tuple[str, ...], resource: str) -> Document:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _matches(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    return _names(statement, "Action", action.lower(), lower=True) and _names(statement, "Resource", resource)


def _names(statement: Mapping[str, Any], part: str, wanted: str, lower: bool = False) -> bool:
    excluding = f"Not{part}" in statement
    patterns = _listed(statement.get(f"Not{part}" if excluding else part, []))
    named = any(_pattern(each.lower() if lower else each).fullmatch(wanted) for each in patterns)
    return named != excluding


def _pattern(text: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": ".", "${*}": r"\*", "${?}": r"\?"}
    parts = re.split(r"(\$\{\*\}|\$\{\?\}|\*|\?)", text)
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _condition_holds(condition: Mapping[str, Any] | None) -> bool:
    return not condition or (set(condition) == {"StringLikeIfExists"} and set(condition["StringLikeIfExists"]) == {"s3:prefix"})


def _principals(principal: Any) -> list[str]:
    return _listed(principal.get("AWS", [])) if isinstance(principal, Mapping) else _listed(principal)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
