"""How a bucket is set up: read, never changed here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from lambdazoom.model.errors import AccessDenied, StorageError
from lambdazoom.operations.aws import Aws, found

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
POLICY_BLOCKS = BLOCKS[2:]

_DESTINATIONS = {
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
}


@dataclass(frozen=True)
class Notification:
    """Who is told of which events of a bucket, and of which keys."""

    destination: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def covers(self, event: str) -> bool:
        """Whether it tells of the event, or of every event that a pattern like s3:ObjectCreated:* stands for."""
        return any(each == event or fnmatchcase(event, each) for each in self.events)

    def meets(self, events: tuple[str, ...]) -> bool:
        """Whether S3 would refuse a second notification of these events for all keys."""
        return any(self.covers(each) or fnmatchcase(one, each) for each in events for one in self.events)


@dataclass(frozen=True)
class BucketState:
    """A bucket as `init` finds it; one that is not there yet has nothing of all this."""

    name: str
    exists: bool
    block: Mapping[str, bool] | None = None
    policy: Mapping[str, Any] | None = None
    lifecycle: Mapping[str, Any] | None = None
    cors: tuple[Mapping[str, Any], ...] = ()
    versioned: bool = False
    open_acl: bool = False
    notifications: tuple[Notification, ...] = ()

    @property
    def lifecycle_rules(self) -> list[Mapping[str, Any]]:
        """The lifecycle rules."""
        return list((self.lifecycle or {}).get("Rules", ()))


def look_at(aws: Aws, name: str) -> BucketState:
    """The bucket as it is; StorageError if it is another account's or lies in another region."""
    s3 = aws.client("s3")
    region = region_of(s3, name, aws.account)
    if region is None:
        return BucketState(name, exists=False)
    if region != aws.region:
        raise StorageError(f"The bucket {name} lies in {region}, not in {aws.region}. Choose another bucket, or --region {region}.")
    return BucketState(
        name,
        exists=True,
        block=block_of(s3, name),
        policy=policy_of(s3, name),
        lifecycle=lifecycle_of(s3, name),
        cors=cors_of(s3, name),
        versioned=is_versioned(s3, name),
        open_acl=is_open_by_acl(s3, name),
        notifications=notifications_of(s3, name),
    )


def region_of(s3: Any, name: str, account: str) -> str | None:
    """The region of a bucket of ours; None if there is no such bucket, AccessDenied if it is another account's."""
    try:
        answer = found(s3.head_bucket, ("404", "NoSuchBucket"), Bucket=name, ExpectedBucketOwner=account)
    except AccessDenied as error:
        sentence = f"The bucket {name} belongs to another account, or these credentials may not look at it."
        raise AccessDenied(f"{sentence} Choose another name.") from error
    if answer is None:
        return None
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return str(answer.get("BucketRegion") or headers.get("x-amz-bucket-region") or "us-east-1")


def block_of(s3: Any, name: str) -> dict[str, bool] | None:
    """Block Public Access, None if it was never set."""
    answer = found(s3.get_public_access_block, ("NoSuchPublicAccessBlockConfiguration",), Bucket=name)
    return dict(answer["PublicAccessBlockConfiguration"]) if answer else None


def policy_of(s3: Any, name: str) -> dict[str, Any] | None:
    """The bucket's policy."""
    answer = found(s3.get_bucket_policy, ("NoSuchBucketPolicy",), Bucket=name)
    if answer is None:
        return None
    policy: dict[str, Any] = json.loads(answer["Policy"])
    return policy


def lifecycle_of(s3: Any, name: str) -> dict[str, Any] | None:
    """All that is to be put back when a rule is added."""
    answer = found(s3.get_bucket_lifecycle_configuration, ("NoSuchLifecycleConfiguration",), Bucket=name)
    return {key: answer[key] for key in ("Rules", "TransitionDefaultMinimumObjectSize") if key in answer} if answer else None


def cors_of(s3: Any, name: str) -> tuple[Mapping[str, Any], ...]:
    """The CORS rules."""
    answer = found(s3.get_bucket_cors, ("NoSuchCORSConfiguration",), Bucket=name)
    return tuple(answer["CORSRules"]) if answer else ()


def is_versioned(s3: Any, name: str) -> bool:
    """Whether the bucket keeps versions."""
    return bool(found(s3.get_bucket_versioning, (), Bucket=name).get("Status") == "Enabled")


def is_open_by_acl(s3: Any, name: str) -> bool:
    """Whether the bucket's access list gives anything to everybody."""
    grants = found(s3.get_bucket_acl, (), Bucket=name).get("Grants", ())
    return any(each.get("Grantee", {}).get("URI", "").endswith(("/AllUsers", "/AuthenticatedUsers")) for each in grants)


def notifications_of(s3: Any, name: str) -> tuple[Notification, ...]:
    """Who is told of what happens in the bucket."""
    answer = found(s3.get_bucket_notification_configuration, (), Bucket=name)
    return tuple(_notification(each, each[arn]) for kind, arn in _DESTINATIONS.items() for each in answer.get(kind, ()))


def ends_unfinished_uploads(rules: list[Mapping[str, Any]]) -> bool:
    """Whether a rule for the whole bucket ends unfinished multipart uploads."""
    return any(rule.get("Status") == "Enabled" and "AbortIncompleteMultipartUpload" in rule and _is_for_all(rule) for rule in rules)


def ends_old_versions(rules: list[Mapping[str, Any]]) -> bool:
    """Whether a rule for the whole bucket ends versions that are not the current one."""
    return any(rule.get("Status") == "Enabled" and "NoncurrentVersionExpiration" in rule and _is_for_all(rule) for rule in rules)


def _is_for_all(rule: Mapping[str, Any]) -> bool:
    where = rule.get("Filter", {"Prefix": rule.get("Prefix", "")})
    return not where or where == {"Prefix": ""}


def _notification(configuration: Mapping[str, Any], destination: str) -> Notification:
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    by_name = {rule["Name"].lower(): rule["Value"] for rule in rules}
    return Notification(destination, tuple(configuration["Events"]), by_name.get("prefix", ""), by_name.get("suffix", ""))
