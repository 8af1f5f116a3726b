"""Originals in a bucket: browsers send uploads straight to it, with requests that we sign; nothing goes through us.

Each is signed with its exact length and `If-None-Match: *`, which S3 enforces as it does every signed header: what is sent can
neither be longer than was said nor take an original's place (S3 user guide, "Signature calculations: using query parameters",
"Conditional writes"). Parts of a multipart upload show nothing until we complete it, under the same condition.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdazoom.model.errors import AlreadyThere, Incomplete, NotFound
from lambdazoom.model.keys import SourceObject, display_name
from lambdazoom.model.places import Bucket
from lambdazoom.model.uploads import Part, Plan, Upload
from lambdazoom.storage.by_boto3 import speaking
from lambdazoom.storage.connection import region_of
from lambdazoom.storage.originals import Signed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOAD_SECONDS = 3600  # how long a part's address is good; the function's own credentials may end sooner
DOWNLOAD_SECONDS = 300
NO_ONE = "*"  # of If-None-Match: whatever is there

_LOST = "PreconditionFailed"
_MISSING = ("NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML")


class BucketOriginals:
    """The originals of a bucket, below its prefix."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket.name
        self._prefix = bucket.path
        self._client = _signing_client(bucket.name)

    @cached_property
    def origin(self) -> str:
        """Scheme and host of the bucket, as its signed addresses have them."""
        address = urlsplit(self._sign("head_bucket", {"Bucket": self._bucket}, {}).url)
        return f"{address.scheme}://{address.netloc}"

    def plan(self, size: int) -> Plan:
        """One part, or several from 100 MB on."""
        return Plan.for_bucket(size)

    def begin(self, key: str, plan: Plan, content_type: str) -> Upload:
        """Nothing at all for a file of one part; else S3's own multipart upload."""
        self._require_free(key)
        if plan.part_count == 1:
            return Upload("", key, plan)
        with speaking(self._bucket, key):
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._prefix + key, ContentType=content_type)
        return Upload(begun["UploadId"], key, plan)

    def signed(self, upload: Upload, part: Part, content_type: str) -> Signed:
        """A PUT of this part's length and no other."""
        where: dict[str, Any] = {"Bucket": self._bucket, "Key": self._prefix + upload.key, "ContentLength": part.length}
        if upload.id:
            return self._sign(
                "upload_part", {**where, "UploadId": upload.id, "PartNumber": part.number}, {"Content-Type": "application/octet-stream"}
            )
        headers = {"Content-Type": content_type, "If-None-Match": NO_ONE}
        return self._sign("put_object", {**where, "ContentType": content_type, "IfNoneMatch": NO_ONE}, headers)

    def complete(self, upload: Upload, etags: Sequence[str]) -> None:
        """Put S3's parts together, if there are several; then the original must be there, of the size that was said."""
        if upload.id:
            self._put_together(upload, etags)
        size = self._size(upload.key)
        if size is None:
            raise Incomplete(f"{display_name(upload.key)} has not arrived. Send it again.")
        if size != upload.plan.size:
            raise _in_the_way(upload.key)

    def abort(self, upload: Upload) -> None:
        """Have S3 delete the parts; of a file of one part nothing is known before it is whole."""
        if not upload.id:
            return
        with speaking(self._bucket, upload.key):
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._prefix + upload.key, UploadId=upload.id)
            except ClientError as error:
                if _code(error) != "NoSuchUpload":  # given up before, or complete
                    raise

    def download(self, found: SourceObject, file_name: str) -> str:
        """A signed address whose answer is kept as a file, whatever type the object claims to be."""
        disposition = f"attachment; filename*=UTF-8''{quote(file_name, safe='')}"
        asked = {"ResponseContentDisposition": disposition, "ResponseContentType": "application/octet-stream"}
        where = {"Bucket": self._bucket, "Key": self._prefix + found.key}
        with speaking(self._bucket, found.key):
            return self._client.generate_presigned_url("get_object", Params={**where, **asked}, ExpiresIn=DOWNLOAD_SECONDS)

    def delete(self, key: str) -> bool:
        """A plain DELETE; a bucket with versions keeps the version and hides it behind a delete marker."""
        if self._size(key) is None:
            raise NotFound(f"There is no {display_name(key)}.")
        with speaking(self._bucket, key):
            answer = self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        return bool(answer.get("DeleteMarker"))

    def _put_together(self, upload: Upload, etags: Sequence[str]) -> None:
        parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        if len(parts) != upload.plan.part_count:
            raise Incomplete(f"{len(parts)} of the {upload.plan.part_count} parts of {display_name(upload.key)} were named. Name them all.")
        with speaking(self._bucket, upload.key, conditional=True):
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._prefix + upload.key,
                    UploadId=upload.id,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch=NO_ONE,
                )
            except ClientError as error:
                if _code(error) == _LOST:
                    self.abort(upload)
                    raise _in_the_way(upload.key) from error
                if _code(error) in _MISSING:
                    raise Incomplete(f"Parts of {display_name(upload.key)} are missing, or it was given up. Begin again.") from error
                raise

    def _require_free(self, key: str) -> None:
        if self._size(key) is not None:
            raise _in_the_way(key)

    def _size(self, key: str) -> int | None:
        """The original's size; None if there is none."""
        with speaking(self._bucket, key):
            try:
                return self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"]
            except ClientError as error:
                if _code(error) != "404":
                    raise
        return None

    def _sign(self, operation: str, parameters: dict[str, Any], headers: dict[str, str]) -> Signed:
        with speaking(self._bucket, ""):
            url = self._client.generate_presigned_url(operation, Params=parameters, ExpiresIn=UPLOAD_SECONDS)
        return Signed(url, headers)


def _signing_client(bucket: str) -> "S3Client":
    """boto3's client, signing in version 4 (the older way signs neither length nor conditions) for the bucket's own host.

    The global host redirects to the region's, and a browser's preflight request follows no redirect.
    """
    session = boto3.Session()

    def client(addressing: Literal["virtual", "path"]) -> "S3Client":
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": addressing, "us_east_1_regional_endpoint": "regional"},
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return session.client("s3", region_name=region_of(session), config=config)

    made = client("virtual")
    # S3's certificate fits no name with a dot, and a server of another kind has one name for all buckets
    return client("path") if "." in bucket or ".amazonaws." not in made.meta.endpoint_url else made


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _in_the_way(key: str) -> AlreadyThere:
    return AlreadyThere(f"There is a file {display_name(key)} already. Rename yours, or delete that one first.")
