"""How S3 is reached: endpoint, region and credentials, for the two libraries that speak to it.

What the environment says completely, as on Lambda, is taken from there. All else of boto3's chain (profiles, roles, files) is
left to boto3 itself, which takes a quarter of a second to load and to make a client of; so that is done when it is needed.
"""

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import S3Store

from lambdazoom.model.errors import AccessDenied, SettingsError

if TYPE_CHECKING:
    import ssl

    import boto3
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS, REQUEST_SECONDS = 5, 30
CREDENTIALS_TTL = timedelta(minutes=5)  # boto3 renews what has less than ten minutes left
DEFAULT_REGION = "us-east-1"
NO_CREDENTIALS = "There are no AWS credentials. Set them up as for the AWS command line."

_CONNECTIONS = 22  # of boto3's at once
_ORDINARY_REGION = re.compile(r"(af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-\d")  # those of amazonaws.com
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_LEFT_TO_BOTO3 = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_NO_RETRIES: dict[str, Any] = {  # by_obstore.py asks again itself: it counts, and knows how much time is left
    "max_retries": 0,
    "backoff": {"init_backoff": timedelta(seconds=1), "max_backoff": timedelta(seconds=1), "base": 2},
    "retry_timeout": timedelta(seconds=REQUEST_SECONDS),
}


@dataclass(frozen=True)
class _Access:
    """What obstore has to know: an endpoint (None for AWS's own), a region, and credentials as S3Store takes them."""

    endpoint: str | None
    region: str
    credentials: dict[str, Any]


class Connection:
    """What all buckets share; nothing is sent and boto3 is not loaded before it is needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # whoever comes first makes what all share
        self._stores: dict[float, S3Store] = {}  # by their seconds

    def store(self, seconds: float) -> S3Store:
        """obstore's store of all buckets: its paths are `bucket/key`. It is made once, for that takes a hundredth of a second.

        It asks nothing twice, and gives up an answer that has not come whole after so many seconds. Raises AccessDenied if there
        are no credentials.
        """
        with self._lock:
            if seconds not in self._stores:
                self._stores[seconds] = self._open_store(seconds)
            return self._stores[seconds]

    def _open_store(self, seconds: float) -> S3Store:
        access = self._known_access
        # obstore's runtime, which begins with the first request: one thread hands on all that ours wait for; more would wake each other
        os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
        endpoint = access.endpoint or f"https://s3.{access.region}.amazonaws.com"
        authorities = _further_authorities()
        options: Any = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=seconds),
            **({"root_certificate": authorities} if authorities else {}),
        }
        return S3Store(
            "-",  # obstore wants one, and adds it nowhere if told that the endpoint knows the bucket
            endpoint=endpoint,
            region=access.region,
            virtual_hosted_style_request=True,
            unsigned_payload=_is_safe_on_its_way(endpoint),
            client_options=options,
            retry_config=_NO_RETRIES,  # type: ignore[arg-type] # a typed dictionary that exists for type checkers alone
            **access.credentials,
        )

    @property
    def client(self) -> "S3Client":
        """boto3's client, by its whole chain: environment, profile, role, AWS_ENDPOINT_URL."""
        with self._lock:
            return self._client

    @cached_property
    def _client(self) -> "S3Client":
        from lambdazoom.storage.by_boto3 import open_client

        return open_client(self._session, _CONNECTIONS)

    @cached_property
    def _session(self) -> "boto3.Session":
        import boto3

        return boto3.Session()

    @cached_property
    def _known_access(self) -> _Access:
        return _by_environment(os.environ) or self._by_boto3()

    def _by_boto3(self) -> _Access:
        from obstore.auth.boto3 import Boto3CredentialProvider

        if self._session.get_credentials() is None:
            raise AccessDenied(NO_CREDENTIALS)
        meta = self._client.meta
        provider = Boto3CredentialProvider(self._session, ttl=CREDENTIALS_TTL)
        return _Access(meta.endpoint_url, meta.region_name, {"credential_provider": provider})


def _further_authorities() -> bytes | None:
    """The certificates of AWS_CA_BUNDLE, if it is set. Raises SettingsError."""
    path = os.environ.get("AWS_CA_BUNDLE")
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise SettingsError(f"AWS_CA_BUNDLE is {path}, which can't be read ({error.strerror}).") from error


def trusted_authorities() -> "ssl.SSLContext":
    """Whose certificates Python's own requests accept: the system's, those that every system should know, and AWS_CA_BUNDLE's."""
    import ssl

    import certifi

    context = ssl.create_default_context()
    for path in (certifi.where(), os.environ.get("AWS_CA_BUNDLE")):
        if path:
            context.load_verify_locations(path)
    return context


def region_named(environment: Mapping[str, str]) -> str | None:
    """The region that the environment names, in either of AWS's two variables."""
    return environment.get("AWS_DEFAULT_REGION") or environment.get("AWS_REGION")


def region_of(session: "boto3.Session") -> str:
    """The region of boto3's requests: that of its own chain, which hears AWS_DEFAULT_REGION only, or the environment's other name."""
    return session.region_name or region_named(os.environ) or DEFAULT_REGION


def _is_safe_on_its_way(endpoint: str) -> bool:
    """Whether nobody can change what is sent: over TLS, or if it never leaves this machine. Then its hash need not be signed.

    As boto3 does it; the hash of a tile takes a quarter of the processor time of its upload.
    """
    address = urlsplit(endpoint)
    return address.scheme == "https" or address.hostname in _THIS_MACHINE


def _by_environment(environment: Mapping[str, str]) -> _Access | None:
    """What the environment says, if it says all and nothing else could speak into it."""
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    region = region_named(environment) or DEFAULT_REGION
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    # not Path's own expanduser: it raises where there is no home, as in some containers
    has_file = any(Path(os.path.expanduser(environment.get(name, usual))).exists() for name, usual in _FILES.items())  # noqa: PTH111
    is_ordinary = bool(endpoint or _ORDINARY_REGION.fullmatch(region))
    if not key or not secret or has_file or not is_ordinary or any(environment.get(name) for name in _LEFT_TO_BOTO3):
        return None
    credentials = {"access_key_id": key, "secret_access_key": secret}
    token = environment.get("AWS_SESSION_TOKEN")
    return _Access(endpoint, region, {**credentials, "session_token": token} if token else credentials)
