"""What moto 5.2.5 lacks, and our programs ask for: three answers of Lambda's, conditional writes of which one wins, and pace.

Nothing of the clients is replaced: boto3 sends real requests and reads real answers.
"""

import hashlib
import json
import logging
import threading
from collections import defaultdict
from contextlib import nullcontext
from functools import cache, wraps
from typing import Any
from urllib.parse import unquote

import boto3
from moto import server
from moto.awslambda import responses, urls
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.responses import S3Response

ACCOUNT_LIMIT = {"UnreservedConcurrentExecutions": 1000}
"""What GetAccountSettings tells; a test may change it for a while."""

_VERSION = r"{0}/(?P<api_version>[^/]+)"
_CODE = "awslambda-us-east-1-tasks"


def fill() -> None:
    """Teach moto; before its server starts."""
    urls.url_paths[_VERSION + r"/functions/(?P<function_name>[\w_:%-]+)/urls/?$"] = responses.LambdaResponse.dispatch
    urls.url_paths[_VERSION + "/account-settings/?$"] = responses.LambdaResponse.dispatch
    setattr(responses.LambdaResponse, "list_function_url_configs", _list_function_url_configs)  # noqa: B010
    setattr(responses.LambdaResponse, "get_account_settings", _get_account_settings)  # noqa: B010
    setattr(responses.LambdaResponse, "get_function", _get_function)  # noqa: B010
    if not hasattr(S3Response._key_response, "__wrapped__"):
        setattr(S3Response, "_key_response", _one_wins(S3Response._key_response))  # noqa: B010
        # moto looks through its own folders at each request, and all wait for it
        setattr(DomainDispatcherApplication, "get_backend_for_host", cache(DomainDispatcherApplication.get_backend_for_host))  # noqa: B010


def _one_wins(respond: Any) -> Any:
    """moto looks whether a condition holds and then writes: on threads, two may have looked before either has written.

    Each object has a lock of its own, for what is put may be told to a function, which reads it, and writes others, before the answer.
    """
    locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    @wraps(respond)
    def one_at_a_time(self: Any, request: Any, full_url: str) -> Any:
        is_conditional = "If-Match" in request.headers or "If-None-Match" in request.headers
        with locks[request.path] if is_conditional and request.method != "GET" else nullcontext():
            return respond(self, request, full_url)

    return one_at_a_time


def _list_function_url_configs(self: Any) -> str:
    function = self.backend.get_function(unquote(self.path.split("/")[-2]))
    config = getattr(function, "url_config", None)
    return json.dumps({"FunctionUrlConfigs": [config.to_dict()] if config else []})


def _get_account_settings(self: Any) -> str:
    return json.dumps({"AccountLimit": ACCOUNT_LIMIT, "AccountUsage": {}})


def _get_function(self: Any) -> str:
    """As moto's own, but that `Location` leads to the code, as on AWS: an address in S3, signed for ten minutes."""
    function = self.backend.get_function(unquote(self.path.rsplit("/", 1)[-1]), self._get_param("Qualifier", None))
    s3 = boto3.client(
        "s3", endpoint_url=f"http://{self.headers['host']}", aws_access_key_id="lambda", aws_secret_access_key="-", region_name="us-east-1"
    )
    where: Any = {"Bucket": _CODE, "Key": hashlib.sha256(function.code_bytes).hexdigest()}
    s3.create_bucket(Bucket=_CODE)
    s3.put_object(**where, Body=function.code_bytes)
    location = s3.generate_presigned_url("get_object", where, ExpiresIn=600)
    return json.dumps({**function.get_code(), "Code": {"Location": location, "RepositoryType": "S3"}})


if __name__ == "__main__":  # moto's server in a process of its own
    fill()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each request
    server.main()
