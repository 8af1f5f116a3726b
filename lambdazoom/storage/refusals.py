"""What S3 refuses, said in our own errors; which library it was told to is the affair of by_obstore.py and by_boto3.py."""

import re

from lambdazoom.model.errors import AccessDenied, Archived, Conflict, NoBucket, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import display_name

_LOST = {"PreconditionFailed", "NoSuchKey", "404", "412"}  # of a conditional request: look again
_UNDECIDED = {"ConditionalRequestConflict", "OperationAborted", "409"}  # the same, but S3 itself says: ask once more
_PASSING = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException", "429"}

_OF_KMS = re.compile(r"\bkms:[A-Z]|:kms:")  # its actions and its resources, not a bucket or a key that is called so

_RUN_DOCTOR = "Run `python -m lambdazoom doctor` to see the missing permission."
_DENIED = "S3 refused access to {name} in the bucket {bucket}. " + _RUN_DOCTOR
_MISSING = "There is no {name}."
_NO_BUCKET = "There is no bucket {bucket}. Create it, or correct the settings."
_REGION = "The bucket {bucket} lies in another region. Set AWS_REGION to the bucket's own."
_UNKNOWN_US = "S3 does not accept the AWS credentials in use. Renew or correct them."
_BUSY = "S3 asked to slow down, again and again, over {name}. Retry later."
_REFUSALS: dict[str, tuple[type[StorageError], str]] = {
    "NoSuchKey": (NotFound, _MISSING),
    "NoSuchVersion": (NotFound, _MISSING),
    "404": (NotFound, _MISSING),
    "NoSuchBucket": (NoBucket, _NO_BUCKET),
    "AccessDenied": (AccessDenied, _DENIED),
    "401": (AccessDenied, _DENIED),
    "403": (AccessDenied, _DENIED),
    "AllAccessDisabled": (AccessDenied, _DENIED),
    "InvalidObjectState": (Archived, "{name} is in Glacier; restore it first."),
    "KMS.DisabledException": (AccessDenied, "The KMS key of {name} is disabled. Enable it."),
    "KMS.NotFoundException": (AccessDenied, "The KMS key of {name} is gone."),
    "PermanentRedirect": (AccessDenied, _REGION),
    "AuthorizationHeaderMalformed": (AccessDenied, _REGION),
    "IllegalLocationConstraintException": (AccessDenied, _REGION),
    "301": (AccessDenied, _REGION),
    "InvalidAccessKeyId": (AccessDenied, _UNKNOWN_US),
    "SignatureDoesNotMatch": (AccessDenied, _UNKNOWN_US),
    "ExpiredToken": (AccessDenied, _UNKNOWN_US),
    "KeyTooLongError": (Unstorable, "The name {name} is too long for S3."),
    "EntityTooLarge": (Unstorable, "{name} is too large for S3."),
}


class Undecided(Conflict):
    """Two conditional requests met in S3, which did neither: the same one may well succeed in a moment."""


class RefusedAgain(Conflict):
    """A conditional request was refused that had been sent before: the first one may have done what the last one was refused."""


class Passing(StorageError):
    """S3 was busy, or the network broke off: the same request may well succeed in a moment."""


def refusal(code: str, message: str, bucket: str, name: str, conditional: bool = False) -> StorageError:
    """What to raise for an answer with this code (or status) and message; `conditional` requests that are lost are Conflicts."""
    shown = display_name(name) or "the bucket"
    if conditional and code in _LOST | _UNDECIDED:
        return (Conflict if code in _LOST else Undecided)(f"{shown} was changed by somebody else.")
    if code == "AccessDenied" and _OF_KMS.search(message):
        return AccessDenied(f"{shown} is encrypted with a KMS key that may not be used here. {_RUN_DOCTOR}")
    if code in _REFUSALS:
        kind, sentence = _REFUSALS[code]
        return kind(sentence.format(name=shown, bucket=bucket))
    if code in ("SlowDown", "503"):
        return Passing(_BUSY.format(name=shown))
    is_passing = code in _PASSING or (code.isdecimal() and int(code) >= 500)
    return (Passing if is_passing else StorageError)(f"S3 answered {code or 'an error'} over {shown}. Retry later.")


def unreachable(name: str, how: str) -> Passing:
    """What to raise when no answer came, or half of one."""
    return Passing(f"S3 could not be reached over {display_name(name) or 'the bucket'} ({how}). Retry later.")


def no_bucket(bucket: str) -> NoBucket:
    """What to raise when the bucket itself is not there."""
    return NoBucket(_NO_BUCKET.format(bucket=bucket))
