"""What S3 refuses, said in our own errors: for boto3 by the code of its answer, for obstore by the kind of its exception."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from obstore.exceptions import NotFoundError, PermissionDeniedError, UnauthenticatedError

from lambdazoom.model.errors import AccessDenied, Archived, Conflict, NoBucket, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import display_name

_LOST = {"PreconditionFailed", "NoSuchKey", "404", "412"}  # of a conditional request: look again
_UNDECIDED = {"ConditionalRequestConflict", "OperationAborted", "409"}  # the same, but S3 itself says: ask once more
_BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)

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
    "SlowDown": (StorageError, _BUSY),
    "503": (StorageError, _BUSY),
    "KeyTooLongError": (Unstorable, "The name {name} is too long for S3."),
    "EntityTooLarge": (Unstorable, "{name} is too large for S3."),
}


class Undecided(Conflict):
    """Two conditional requests met in S3, which did neither: the same one may well succeed in a moment."""


class CutShort(StorageError):
    """An answer began and did not end: boto3, which has handed it over already, does not ask again."""


@contextmanager
def speaking(bucket: str, name: str, conditional: bool = False) -> Iterator[None]:
    """Turn what boto3 raises into our own errors; `conditional` requests that are lost or undecided are Conflicts."""
    try:
        yield
    except ClientError as error:
        raise _translate(error, bucket, name, conditional) from error
    except NoCredentialsError as error:
        raise AccessDenied("There are no AWS credentials. Set them up as for the AWS command line.") from error
    except _BROKEN_OFF as error:
        raise CutShort(f"S3's answer over {display_name(name)} was cut short, again and again. Retry later.") from error
    except BotoCoreError as error:
        raise StorageError(f"S3 could not be reached over {display_name(name)} ({type(error).__name__}). Retry later.") from error


def _translate(error: ClientError, bucket: str, name: str, conditional: bool) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    shown = display_name(name) or "the bucket"
    if conditional and code in _LOST | _UNDECIDED:
        return (Conflict if code in _LOST else Undecided)(f"{shown} was changed by somebody else.")
    if code == "AccessDenied" and "kms" in str(error).lower():
        return AccessDenied(f"{shown} is encrypted with a KMS key that may not be used here. {_RUN_DOCTOR}")
    kind, sentence = _REFUSALS.get(code, (StorageError, f"S3 answered {code or 'an error'} over {{name}}. Retry later."))
    return kind(sentence.format(name=shown, bucket=bucket))


def was_repeated(error: StorageError) -> bool:
    """Whether boto3 had sent the request before: then the first one may have done what the last one was refused."""
    answer = error.__cause__.response if isinstance(error.__cause__, ClientError) else {}
    return bool(answer.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def of_upload(error: BaseException, bucket: str, name: str) -> StorageError:
    """What to raise for an upload that failed; obstore's own words hold whole answers of S3, so they are not repeated."""
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return AccessDenied(_DENIED.format(name=name, bucket=bucket))
    if isinstance(error, (NotFoundError, FileNotFoundError)):  # of a PUT: obstore raises Python's own
        return no_bucket(bucket)
    return StorageError(f"{name} could not be stored in the bucket {bucket} ({type(error).__name__}). Retry later.")


def no_bucket(bucket: str) -> NoBucket:
    """What to raise when the bucket itself is not there."""
    return NoBucket(_NO_BUCKET.format(bucket=bucket))
