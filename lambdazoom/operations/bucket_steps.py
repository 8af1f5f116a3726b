"""The steps that make a bucket what LambdaZoom needs: added to what is there, never in its place."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lambdazoom.model.errors import AccessDenied, StorageError
from lambdazoom.model.places import Bucket
from lambdazoom.operations import policy
from lambdazoom.operations.aws import Aws, asking
from lambdazoom.operations.buckets import BLOCKS, POLICY_BLOCKS, BucketState, ends_unfinished_uploads
from lambdazoom.operations.plan import Step

Steps = Iterator[Step]


def bucket(aws: Aws, state: BucketState, private: bool) -> Steps:
    """A bucket that is there, that is private if nobody has opened it, and that drops unfinished uploads."""
    if not state.exists:
        yield Step(f"Make the bucket {state.name} in {aws.region}.", _doing(lambda: _create(aws, state.name)))
    if private and state.block is None and not _is_open(state):
        yield Step(f"Turn on Block Public Access for {state.name}.", _block(aws, state.name, dict.fromkeys(BLOCKS, True)))
    if not _has_upload_rule(state):
        sentence = f"End unfinished uploads to {state.name} after {policy.UNFINISHED_DAYS} days (a lifecycle rule)."
        yield Step(sentence, _add_lifecycle_rule(aws, state))


def versions(aws: Aws, state: BucketState) -> Steps:
    """Versions of originals are kept from now on."""
    if not state.versioned:
        enabled = {"Status": "Enabled"}
        call = _call(aws, "put_bucket_versioning", Bucket=state.name, VersioningConfiguration=enabled)
        yield Step(f"Keep versions in {state.name}: an original that was overwritten or deleted can be brought back.", call)


def cors(aws: Aws, state: BucketState, rule: Mapping[str, Any], purpose: str) -> Steps:
    """A CORS rule beside those that are there."""
    if any(_same_rule(each, rule) for each in state.cors):
        return
    rules = [*state.cors, rule]
    call = _call(aws, "put_bucket_cors", Bucket=state.name, CORSConfiguration={"CORSRules": rules})
    yield Step(f"Add a CORS rule to {state.name}: {purpose}.", call)


def public_tiles(aws: Aws, state: BucketState, zoom: Bucket) -> Steps:
    """Everybody may read tiles by their names, and pages of any origin may show them; nothing is opened that need not be."""
    held = state.block if state.exists else dict.fromkeys(BLOCKS, True)  # what S3 gives a new bucket
    block = {**(held or {}), **dict.fromkeys(POLICY_BLOCKS, False)}
    if held is not None and block != held:
        yield Step(f"Let a policy of {state.name} open it (Block Public Access stays on for access lists).", _block(aws, state.name, block))
    document = policy.with_statements(state.policy, [policy.public_tiles_statement(zoom, aws.region)])
    if document != state.policy:
        what = "pointers and tiles can be read by their names, nothing can be listed"
        yield Step(f"Open {state.name} to everybody: {what}.", _doing(lambda: _put_policy(aws, state.name, document)))
    yield from cors(aws, state, policy.zoom_cors(), "pages of any origin may show its tiles")


def refuse_open_metadata(state: BucketState) -> None:
    """StorageError if the bucket for metadata is one that everybody can read something in."""
    if _is_open(state) and not all((state.block or {}).get(each) for each in BLOCKS):
        sentence = f"The bucket {state.name} is open to the public, and metadata holds places, names and the password's hash."
        raise StorageError(f"{sentence} Choose a private bucket.")


def foreign_notifications(state: BucketState, function_name: str, events: tuple[str, ...]) -> Iterator[str]:
    """A note for each notification that will keep Zappa from adding ours: S3 takes one for each event and key."""
    for each in state.notifications:
        if each.destination.rsplit(":", 1)[-1] != function_name and each.meets(events):
            yield (
                f"{state.name} already tells {each.destination} of {', '.join(each.events)}, and S3 takes one listener for an event. "
                "Move it to an SNS topic or EventBridge, or choose another source bucket."
            )


def _is_open(state: BucketState) -> bool:
    return state.open_acl or policy.is_public(state.policy)


def _has_upload_rule(state: BucketState) -> bool:
    rules = state.lifecycle_rules
    return ends_unfinished_uploads(rules) or any(rule.get("ID") == policy.UNFINISHED_UPLOADS for rule in rules)


def _same_rule(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def content(rule: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in rule.items() if key != "ID"}

    return one.get("ID") == other["ID"] or content(one) == content(other)


def _create(aws: Aws, name: str) -> None:
    where = {} if aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    aws.client("s3").create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced", **where)


def _block(aws: Aws, name: str, block: Mapping[str, bool]) -> Callable[[], str]:
    return _call(aws, "put_public_access_block", Bucket=name, PublicAccessBlockConfiguration=block)


def _add_lifecycle_rule(aws: Aws, state: BucketState) -> Callable[[], str]:
    rules = state.lifecycle_rules
    size = (state.lifecycle or {}).get("TransitionDefaultMinimumObjectSize")
    more = {"TransitionDefaultMinimumObjectSize": size} if size else {}
    configuration = {"Rules": [*rules, policy.unfinished_uploads_rule(rules)]}
    return _call(aws, "put_bucket_lifecycle_configuration", Bucket=state.name, LifecycleConfiguration=configuration, **more)


def _put_policy(aws: Aws, name: str, document: policy.Document) -> None:
    try:
        with asking():
            aws.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(document))
    except AccessDenied as error:
        sentence = f"AWS refused to open {name}: the account's own Block Public Access may be on, or these credentials may not."
        raise AccessDenied(f"{sentence} Change that and run init again, or use a CDN.") from error


def _call(aws: Aws, operation: str, **arguments: Any) -> Callable[[], str]:
    return _doing(lambda: getattr(aws.client("s3"), operation)(**arguments))


def _doing(deed: Callable[[], Any]) -> Callable[[], str]:
    def apply() -> str:
        with asking():
            deed()
        return ""

    return apply
