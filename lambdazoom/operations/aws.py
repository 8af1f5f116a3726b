"""AWS as an operator meets it: clients by boto3's chain, the account in use, and refusals as our own errors."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from lambdazoom.model.errors import AccessDenied, StorageError
from lambdazoom.storage.connection import region_named, region_of

NO_CREDENTIALS = "There are no AWS credentials. Set them up as for the AWS command line (`aws configure`)."

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
_BAD_CREDENTIALS = {
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
}


@dataclass(frozen=True)
class Aws:
    """An account and a region, with the session that reaches them."""

    session: boto3.Session
    account: str
    region: str

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        config = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 4})
        client: Any = self.session.client(service, region_name=self.region, config=config)  # type: ignore[call-overload]
        return client


def default_region(profile: str | None) -> str:
    """The region that AWS's own configuration names, or nothing."""
    with asking():
        return boto3.Session(profile_name=profile).region_name or region_named(os.environ) or ""


def open_aws(region: str, profile: str | None) -> Aws:
    """The account that the credentials in use belong to; AccessDenied without credentials, or with those that AWS does not know."""
    with asking():
        session = boto3.Session(profile_name=profile, region_name=region)
        if session.get_credentials() is None:
            raise AccessDenied(NO_CREDENTIALS)
        unknown = Aws(session, "", region)
        account = unknown.client("sts").get_caller_identity()["Account"]
        return Aws(session, account, region)


def call_function(name: str, event: Mapping[str, Any]) -> None:
    """Have Lambda run a function of this account and region with that event, soon and by itself."""
    with asking():
        session = boto3.Session()
        client = Aws(session, "", region_of(session)).client("lambda")
        client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())


@contextmanager
def asking() -> Iterator[None]:
    """Turn what boto3 raises into our own errors; AccessDenied names the call that was refused."""
    try:
        yield
    except ClientError as error:
        raise _translate(error) from error
    except NoCredentialsError as error:
        raise AccessDenied(NO_CREDENTIALS) from error
    except BotoCoreError as error:
        raise StorageError(f"AWS could not be asked ({type(error).__name__}). Look at the profile, the region and the network.") from error


def found(call: Callable[..., Any], missing: tuple[str, ...], **arguments: Any) -> Any:
    """The answer of a call; None if AWS answers one of the codes that mean "there is none". Raises as `asking` does."""
    with asking():
        try:
            return call(**arguments)
        except ClientError as error:
            if code_of(error) in missing:
                return None
            raise


def code_of(error: ClientError) -> str:
    """AWS's short name of what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _translate(error: ClientError) -> StorageError:
    code = code_of(error)
    if code in _BAD_CREDENTIALS:
        return AccessDenied(f"AWS does not accept the credentials in use ({code}). Renew or correct them.")
    if code in _DENIED:
        return AccessDenied(f"AWS refused {error.operation_name}. Use credentials that may do it.")
    message = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    said = f": {message}" if message and "\n" not in message else ""  # not the page of some gateway
    return StorageError(f"AWS answered {code or 'an error'} to {error.operation_name}{said}.")
