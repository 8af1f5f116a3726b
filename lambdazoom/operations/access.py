"""The password's hash and the session secret of a stage, in a private object that Zappa loads into the function's environment.

They stand in no file of the project, in no zip and in no configuration that the console shows. The password itself is kept nowhere.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lambdazoom.model.errors import StorageError
from lambdazoom.model.passwords import hash_password
from lambdazoom.model.places import Bucket
from lambdazoom.operations.aws import Aws, asking, found
from lambdazoom.operations.plan import Step

PASSWORD_HASH = "LAMBDAZOOM_PASSWORD_HASH"  # noqa: S105 (the name of a setting)
SESSION_SECRET = "LAMBDAZOOM_SESSION_SECRET"  # noqa: S105

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_SALT_BYTES = 16


def secrets_key(metadata: Bucket, stage: str) -> str:
    """The object's key in the metadata bucket."""
    return f"{metadata.path}_lambdazoom/secrets/{stage}.json"


def secrets_url(metadata: Bucket, stage: str) -> str:
    """The object as Zappa's `remote_env` names it."""
    return f"s3://{metadata.name}/{secrets_key(metadata, stage)}"


def read_secrets(aws: Aws, bucket: str, key: str) -> tuple[dict[str, str], str] | None:
    """What the object holds, and its etag; None if it is not there. StorageError if it can't be understood."""
    answer = found(aws.client("s3").get_object, ("NoSuchKey", "NoSuchBucket"), Bucket=bucket, Key=key)
    if answer is None:
        return None
    try:
        held = json.loads(answer["Body"].read())
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise StorageError(f"s3://{bucket}/{key} is not the JSON object that Zappa reads. Delete it, and run init again.")
    return held, answer["ETag"]


def readable_password() -> str:
    """A password of 99 random bits that can be read out and typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def secrets_steps(aws: Aws, metadata: Bucket, stage: str, bucket_exists: bool, elsewhere: Collection[str], new: bool) -> Iterator[Step]:
    """Make what is missing of hash and secret; `new` makes another password, which ends every session too.

    What stands `elsewhere`, in the function's configuration, is not missing.
    """
    key = secrets_key(metadata, stage)
    read = read_secrets(aws, metadata.name, key) if bucket_exists else None
    held, etag = read or ({}, None)
    wanted = {name for name in (PASSWORD_HASH, SESSION_SECRET) if name not in held and name not in elsewhere}
    wanted |= {PASSWORD_HASH} if new else set()
    if not wanted:
        return
    what = " and ".join(text for name, text in ((PASSWORD_HASH, "a password"), (SESSION_SECRET, "a session secret")) if name in wanted)

    def apply() -> str:
        made, told = _make(wanted)
        _put(aws, metadata.name, key, {**held, **made}, etag)
        return told

    yield Step(f"Make {what}; the hash and the secret go to s3://{metadata.name}/{key}.", apply)


def _make(wanted: Collection[str]) -> tuple[dict[str, str], str]:
    made, told = {}, ""
    if SESSION_SECRET in wanted:
        made[SESSION_SECRET] = secrets.token_urlsafe(32)
    if PASSWORD_HASH in wanted:
        password = readable_password()
        made[PASSWORD_HASH] = hash_password(password, secrets.token_bytes(_SALT_BYTES))
        told = f"Password: {password}\nIt is shown this once and kept nowhere: note it now. `init --new-password` makes another."
    return made, told


def _put(aws: Aws, bucket: str, key: str, content: Mapping[str, str], etag: str | None) -> None:
    condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    body = json.dumps(content, indent=1).encode()
    with asking():
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition)
