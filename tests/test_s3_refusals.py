"""What S3 refuses, and how we say it: a server answers as S3's documentation does, to boto3 and to obstore."""

import json
import stat
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lambdazoom.model.errors import AccessDenied, Archived, Conflict, NoBucket, StorageError
from lambdazoom.model.keys import SourceObject, SourceVersion
from lambdazoom.model.places import Bucket
from lambdazoom.storage import connection, effort
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.storage.connection import Connection
from lambdazoom.storage.s3 import BucketSource, BucketStore
from tests.quiet_server import QuietHandler, serving

DOCTOR = "Run `python -m lambdazoom doctor` to see the missing permission."
NOW = datetime(2026, 11, 23, tzinfo=UTC)


class RefusingS3:
    """Answers every request alike; `requests` counts them."""

    def __init__(self) -> None:
        self.status, self.code, self.message = 403, "AccessDenied", "Access Denied"
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.answers: list[bytes] = []  # of the next requests, each with status 200

    def refuse(self, status: int, code: str, message: str = "", **headers: str) -> None:
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def document(self) -> bytes:
        return f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingS3]:
    """A refusing S3, as the endpoint of boto3's environment."""
    refusal = RefusingS3()

    class Handler(QuietHandler):
        def respond(self) -> None:
            refusal.requests += 1
            self.body()
            body = b"" if self.command == "HEAD" else refusal.document()
            status = refusal.status
            if refusal.answers:
                status, body = 200, refusal.answers.pop(0)
            self.answer(status, body, {**refusal.headers, "Content-Type": "application/xml"})

    with serving(Handler) as address:
        for name, value in (("AWS_ENDPOINT_URL", f"http://{address}"), ("AWS_DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
        yield refusal


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "sentence"),
    [
        (403, "AccessDenied", "Access Denied", AccessDenied, f"S3 refused access to trip/cat.jpg in the bucket originals. {DOCTOR}"),
        (404, "NoSuchBucket", "", NoBucket, "There is no bucket originals. Create it, or correct the settings."),
        (403, "InvalidObjectState", "", Archived, "trip/cat.jpg is in Glacier; restore it first."),
        (
            403,
            "AccessDenied",
            "User is not authorized to perform: kms:Decrypt",
            AccessDenied,
            f"trip/cat.jpg is encrypted with a KMS key that may not be used here. {DOCTOR}",
        ),
        (
            403,
            "AccessDenied",
            'not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::originals/trekms/a.jpg"',
            AccessDenied,
            f"S3 refused access to trip/cat.jpg in the bucket originals. {DOCTOR}",
        ),
        (400, "KMS.DisabledException", "", AccessDenied, "The KMS key of trip/cat.jpg is disabled. Enable it."),
        (400, "AuthorizationHeaderMalformed", "", AccessDenied, "The bucket originals lies in another region."),
        (403, "InvalidAccessKeyId", "", AccessDenied, "S3 does not accept the AWS credentials in use. Renew or correct them."),
        (403, "SignatureDoesNotMatch", "", AccessDenied, "S3 does not accept the AWS credentials in use. Renew or correct them."),
        (400, "SomethingNew", "", StorageError, "S3 answered SomethingNew over trip/cat.jpg. Retry later."),
        (412, "PreconditionFailed", "", Conflict, "trip/cat.jpg was changed by somebody else."),
    ],
)
def test_each_refusal_is_a_sentence(
    refusing: RefusingS3, status: int, code: str, message: str, kind: type[StorageError], sentence: str
) -> None:
    refusing.refuse(status, code, message)
    wanted = SourceObject("trip/cat.jpg", SourceVersion('"e"', NOW, 10))
    with pytest.raises(kind) as caught, BucketSource(Connection(), Bucket("originals")).fetch(wanted):
        pass
    assert str(caught.value).startswith(sentence)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "key", ["E", "Error performing GET x in 1s - Server returned non-2xx status code: 404 Not Found: <Code>NoSuchKey<"]
)
@pytest.mark.parametrize(("status", "code"), [(400, "SomethingNew"), (403, "InvalidAccessKeyId")])
def test_no_key_is_taken_for_an_answer(refusing: RefusingS3, key: str, status: int, code: str) -> None:
    refusing.refuse(status, code)
    with pytest.raises(StorageError, match=f"{code} over|AWS credentials in use"):
        BucketStore(Connection(), Bucket("zoom")).read(key)
    assert refusing.requests == 1


def test_slow_down_is_retried_and_then_said(refusing: RefusingS3, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing.refuse(503, "SlowDown", "Please reduce your request rate.")
    pauses: list[float] = []
    monkeypatch.setattr("lambdazoom.storage.effort.time.sleep", pauses.append)  # the clock is faked: half a minute would be long
    with pytest.raises(StorageError, match=r"S3 asked to slow down, again and again, over a\.json\. Retry later\.") as caught:
        BucketStore(Connection(), Bucket("zoom")).read("a.json")
    assert caught.value.retryable
    assert refusing.requests == effort.LONG.attempts
    assert max(pauses) <= effort.LONG.longest
    assert len(set(pauses)) == len(pauses), "jittered"


def test_a_write_that_s3_leaves_undecided_is_asked_again_a_few_times(refusing: RefusingS3, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing.refuse(409, "ConditionalRequestConflict")
    pauses: list[float] = []
    monkeypatch.setattr("lambdazoom.storage.effort.time.sleep", pauses.append)
    store = BucketStore(Connection(), Bucket("zoom"))
    with pytest.raises(Conflict):
        store.write("a.json", b"{}", JSON, '"1"')
    assert refusing.requests == effort.SHORT.attempts
    with pytest.raises(Conflict):
        store.delete("a.json", '"1"')
    with pytest.raises(Conflict):
        store.write("a.json", b"{}", JSON, None)  # obstore calls this one "exists", though nothing landed
    assert refusing.requests == 3 * effort.SHORT.attempts
    assert max(pauses) <= effort.SHORT.longest
    assert len(set(pauses)) == len(pauses), "jittered"


def test_what_one_request_left_of_a_thousand_is_deleted_by_the_next(refusing: RefusingS3) -> None:
    failed = b"<Error><Key>b</Key><Code>InternalError</Code><Message>-</Message></Error>"
    refusing.answers = [b"<DeleteResult>" + failed + b"</DeleteResult>", b"<DeleteResult/>"]
    BucketStore(Connection(), Bucket("zoom")).discard_all(["a", "b", "c"])
    assert refusing.requests == 2
    refusing.answers = [b"<DeleteResult>" + failed.replace(b"InternalError", b"AccessDenied") + b"</DeleteResult>"]
    with pytest.raises(StorageError, match="S3 refused access to b in the bucket"):
        BucketStore(Connection(), Bucket("zoom")).discard_all(["a", "b", "c"])
    assert refusing.requests == 3


def test_access_denied_is_not_retried(refusing: RefusingS3) -> None:
    with pytest.raises(AccessDenied) as caught:
        BucketStore(Connection(), Bucket("zoom")).write("a.json", b"{}", JSON, None)
    assert refusing.requests == 1
    assert not caught.value.retryable


def test_a_head_without_words_is_understood_all_the_same(refusing: RefusingS3) -> None:
    source = BucketSource(Connection(), Bucket("originals"))
    with pytest.raises(AccessDenied, match=r"S3 refused access to cat\.jpg"):
        source.head("cat.jpg")
    refusing.refuse(404, "NoSuchBucket")
    with pytest.raises(NoBucket, match="There is no bucket originals"):
        source.head("cat.jpg")


@pytest.mark.parametrize(
    ("status", "code", "kind", "sentence"),
    [
        (403, "AccessDenied", AccessDenied, f"S3 refused access to _tiles/1.jpg in the bucket zoom. {DOCTOR}"),
        (404, "NoSuchBucket", NoBucket, "There is no bucket zoom. Create it, or correct the settings."),
        (400, "KMS.DisabledException", AccessDenied, "The KMS key of _tiles/1.jpg is disabled. Enable it."),
    ],
)
def test_uploads_say_it_too(refusing: RefusingS3, status: int, code: str, kind: type[StorageError], sentence: str) -> None:
    refusing.refuse(status, code)
    with pytest.raises(kind) as caught, BucketStore(Connection(), Bucket("zoom")).bulk() as write:
        write("_tiles/1.jpg", b"1", EMPTY)
    assert str(caught.value) == sentence


def test_a_failed_upload_stops_those_that_follow(refusing: RefusingS3) -> None:
    with pytest.raises(AccessDenied), BucketStore(Connection(), Bucket("zoom")).bulk() as write:
        for number in range(5000):
            write(f"_tiles/{number}.jpg", b"1", EMPTY)
    assert refusing.requests < 200


def test_without_credentials_it_says_so(refusing: RefusingS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = BucketStore(Connection(), Bucket("zoom"))
    with pytest.raises(AccessDenied, match="There are no AWS credentials"):
        store.read("a")
    with pytest.raises(AccessDenied, match="There are no AWS credentials"), store.bulk() as write:
        write("_tiles/1.jpg", b"1", EMPTY)


def test_no_refusal_repeats_a_secret(refusing: RefusingS3) -> None:
    for code in ("SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "SomethingNew"):
        refusing.refuse(403, code, "The key AKIDEXAMPLE and its secret topsecret")
        with pytest.raises(StorageError) as caught:
            BucketStore(Connection(), Bucket("zoom")).read("a.json")
        assert "AKIDEXAMPLE" not in str(caught.value)
        assert "topsecret" not in str(caught.value)


def test_expiring_credentials_of_any_source_are_renewed_for_both(
    make_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program = tmp_path / "credentials"
    answer = {"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s", "SessionToken": "t"}
    program.write_text(
        f"#!{sys.executable}\nimport json, datetime\nopen({str(asked)!r}, 'a').write('x')\n"
        f"end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)\n"
        f"print(json.dumps({{**{json.dumps(answer)}, 'Expiration': end.isoformat()}}))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\nregion = us-east-1\n")
    bucket = make_bucket("zoom")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr(connection, "CREDENTIALS_TTL", timedelta(seconds=1))  # the clock is faked: minutes would be long
    store = BucketStore(Connection(), Bucket(bucket))
    counts = []
    for number in range(2):
        with store.bulk() as write:
            write(f"_tiles/{number}.jpg", b"1", EMPTY)
        counts.append(len(asked.read_text()))
        time.sleep(2.5)
    assert counts[1] > counts[0] >= 1
    assert len(list(store.list("_tiles/"))) == 2
