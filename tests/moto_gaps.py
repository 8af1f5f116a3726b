"""What moto 5.2.5 lacks of Lambda, and our programs ask for: three answers of its server, as AWS's API reference has them.

Nothing of the clients is replaced: boto3 sends real requests and reads real answers.
"""

import hashlib
import json
from typing import Any
from urllib.parse import unquote

import boto3
from moto.awslambda import responses, urls

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
