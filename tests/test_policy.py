"""What the function may do and what the public may read, held against tables; and the evaluator that the tables rely on."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambdazoom.model.places import Bucket
from lambdazoom.operations import policy
from lambdazoom.operations.checks_function import STRANGERS
from lambdazoom.operations.policy import allows

SOURCE, ZOOM, METADATA = Bucket("originals"), Bucket("tiles"), Bucket("facts", "lz")
LOG = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/lambdazoom-live"


def function_policy(manage_source: bool = False, source: Bucket = SOURCE, region: str = "eu-central-1") -> policy.Document:
    return policy.function_policy(source, ZOOM, METADATA, "lambdazoom-live", region, "123456789012", manage_source)


ALLOWED = [
    ("s3:GetObject", "arn:aws:s3:::originals/trip/cat.jpg"),
    ("s3:ListBucket", "arn:aws:s3:::originals"),
    ("s3:GetObject", "arn:aws:s3:::tiles/trip/cat.jpg.dzi"),
    ("s3:PutObject", "arn:aws:s3:::tiles/_tiles/3f/x/image_files/0/0_0.jpg"),
    ("s3:DeleteObject", "arn:aws:s3:::tiles/trip/cat.jpg.dzi"),
    ("s3:ListBucket", "arn:aws:s3:::tiles"),
    ("s3:GetObject", "arn:aws:s3:::facts/lz/_lambdazoom/secrets/live.json"),
    ("s3:PutObject", "arn:aws:s3:::facts/lz/cat.jpg.json"),
    ("s3:DeleteObject", "arn:aws:s3:::facts/lz/cat.jpg.json"),
    ("s3:ListBucket", "arn:aws:s3:::facts"),
    ("logs:CreateLogGroup", LOG),
    ("logs:CreateLogStream", f"{LOG}:log-stream:2026/11/23/[$LATEST]0"),
    ("logs:PutLogEvents", f"{LOG}:log-stream:2026/11/23/[$LATEST]0"),
    ("lambda:InvokeFunction", "arn:aws:lambda:eu-central-1:123456789012:function:lambdazoom-live"),
]

REFUSED = [
    ("s3:PutObject", "arn:aws:s3:::originals/trip/cat.jpg"),
    ("s3:DeleteObject", "arn:aws:s3:::originals/trip/cat.jpg"),
    ("s3:GetObjectVersion", "arn:aws:s3:::originals/trip/cat.jpg"),
    ("s3:DeleteObjectVersion", "arn:aws:s3:::tiles/cat.jpg.dzi"),
    ("s3:DeleteBucket", "arn:aws:s3:::tiles"),
    ("s3:PutBucketPolicy", "arn:aws:s3:::tiles"),
    ("s3:PutObjectAcl", "arn:aws:s3:::tiles/cat.jpg.dzi"),
    ("s3:GetObject", "arn:aws:s3:::facts/somebody-elses.json"),
    ("s3:GetObject", "arn:aws:s3:::facts/lzx/cat.jpg.json"),
    ("s3:PutObject", "arn:aws:s3:::tiles-2/cat.jpg.dzi"),
    ("s3:ListAllMyBuckets", "*"),
    ("lambda:InvokeFunction", "arn:aws:lambda:eu-central-1:123456789012:function:lambdazoom-live-2"),
    ("logs:PutLogEvents", "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/other:log-stream:x"),
    ("logs:CreateLogGroup", "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/lambdazoom-live-2"),
    *((action, resource) for action, resource, _ in STRANGERS),
]


@pytest.mark.parametrize(("action", "resource"), ALLOWED)
def test_the_function_may_do_what_it_does(action: str, resource: str) -> None:
    assert allows(function_policy(), action, resource)


@pytest.mark.parametrize(("action", "resource"), REFUSED)
def test_the_function_may_do_nothing_else(action: str, resource: str) -> None:
    assert not allows(function_policy(), action, resource)


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"])
def test_managing_the_source_is_a_statement_of_its_own(action: str) -> None:
    managing = function_policy(manage_source=True)
    assert allows(managing, action, "arn:aws:s3:::originals/cat.jpg")
    assert [each for each in managing["Statement"] if each["Sid"] != policy.MANAGE_SOURCE] == function_policy()["Statement"]


@pytest.mark.parametrize("manage_source", [False, True])
def test_no_resource_lies_outside_the_buckets_the_function_itself_and_its_log(manage_source: bool) -> None:
    itself = "arn:aws:lambda:eu-central-1:123456789012:function:lambdazoom-live"
    buckets = [f"arn:aws:s3:::{name}{objects}" for name in ("originals", "tiles", "facts") for objects in ("", "/*", "/lz/*")]
    resources = {each["Resource"] for each in function_policy(manage_source)["Statement"]}
    assert resources <= {*buckets, itself, LOG, f"{LOG}:*"}


def test_the_policy_that_lies_here_is_the_one_that_is_made_but_for_names() -> None:
    source, zoom, metadata = (Bucket(f"your-{purpose}-bucket") for purpose in ("source", "zoom", "metadata"))
    shipped = json.loads((Path(__file__).parents[1] / "zappa_policy.json").read_text("utf-8"))
    assert shipped == policy.function_policy(source, zoom, metadata, "lambdazoom-live", "*", "*")


def test_every_statement_has_a_sid_of_its_own_that_iam_accepts() -> None:
    sids = [each["Sid"] for each in function_policy(manage_source=True)["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() and sid.startswith("LambdaZoom") for sid in sids)


def test_the_policy_is_smaller_than_an_inline_policy_may_be() -> None:
    longest = Bucket("b" * 63, "p" * 200)
    document = policy.function_policy(longest, longest, longest, "f" * 64, "ap-southeast-2", "1" * 12, True)
    assert len(json.dumps(document)) < 10_240


def test_listing_below_a_prefix_is_bound_to_it_but_a_missing_object_can_be_told_from_a_forbidden_one() -> None:
    listing = next(each for each in function_policy()["Statement"] if each["Sid"] == "LambdaZoomListMetadata")
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": "lz/*"}}


def test_an_asterisk_in_a_prefix_is_no_wildcard() -> None:
    document = function_policy(source=Bucket("originals", "a*b"))
    assert allows(document, "s3:GetObject", "arn:aws:s3:::originals/a*b/cat.jpg")
    assert not allows(document, "s3:GetObject", "arn:aws:s3:::originals/axb/cat.jpg")
    assert ("s3:GetObject", "arn:aws:s3:::originals/a*b/any/name") in list(policy.needs(document))


@pytest.mark.parametrize(
    ("region", "start"), [("cn-north-1", "arn:aws-cn:"), ("us-gov-west-1", "arn:aws-us-gov:"), ("eu-west-1", "arn:aws:")]
)
def test_arns_are_of_the_regions_partition(region: str, start: str) -> None:
    assert all(each["Resource"].startswith(start) for each in function_policy(region=region)["Statement"])


@pytest.mark.parametrize("manage_source", [False, True])
def test_a_policy_meets_its_own_needs(manage_source: bool) -> None:
    document = function_policy(manage_source)
    assert all(allows(document, *need) for need in policy.needs(document))


def test_the_public_may_read_pointers_and_tiles_and_list_nothing() -> None:
    document = policy.public_tiles_policy(Bucket("tiles", "z"), "eu-central-1")
    assert allows(document, "s3:GetObject", "arn:aws:s3:::tiles/z/_tiles/3f/x/image_files/12/3_4.jpg")
    assert allows(document, "s3:GetObject", "arn:aws:s3:::tiles/z/trip/cat.jpg.dzi")
    assert not allows(document, "s3:GetObject", "arn:aws:s3:::tiles/z/notes.txt")
    assert not allows(document, "s3:GetObject", "arn:aws:s3:::tiles/_tiles/3f/x/image.dzi")
    assert not allows(document, "s3:ListBucket", "arn:aws:s3:::tiles")
    assert not allows(document, "s3:PutObject", "arn:aws:s3:::tiles/z/_tiles/x")
    assert policy.is_public(document)


def statement(effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> policy.Document:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], False),
        (statement(), True),  # a single statement needs no list
        ([statement(action="S3:getobject")], True),  # actions in any case
        ([statement(action="s3:Get*")], True),
        ([statement(action="s3:GetObjec?")], True),
        ([statement(action="s3:GetObject?")], False),
        ([statement(action="*")], True),
        ([statement(resource="arn:aws:s3:::b/*")], True),
        ([statement(resource="arn:aws:s3:::B/*")], False),  # resources as they are
        ([statement(resource="arn:aws:s3:::b/k?y")], True),
        ([statement(resource="arn:aws:s3:::b")], False),
        ([statement(), statement("Deny", "s3:*", "arn:aws:s3:::b/key")], False),
        ([statement("Deny", "s3:*", "arn:aws:s3:::b/key"), statement()], False),
        ([statement(), statement("Deny", "s3:*", "arn:aws:s3:::c/*")], True),
        ([statement(), statement("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})], True),
        ([statement(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})], False),
        ([statement(Condition={"StringLikeIfExists": {"s3:prefix": "a/*"}})], True),
        ([{"Effect": "Allow", "NotAction": "s3:Put*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "NotAction": "s3:Get*", "Resource": "*"}], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": ["arn:aws:s3:::b/*"]}], False),
    ],
)
def test_the_evaluator_agrees_with_iams_rules(statements: Any, expected: bool) -> None:
    assert allows({"Statement": statements}, "s3:GetObject", "arn:aws:s3:::b/key") is expected


def test_merging_replaces_our_statements_and_keeps_the_others_in_their_order() -> None:
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:…"}
    nameless = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    held = {"Version": "2008-10-17", "Id": "x", "Statement": [theirs, {"Sid": "Ours", "Effect": "Allow"}, nameless, {"Sid": "Old"}]}
    ours = [{"Sid": "New"}, {"Sid": "Ours", "Effect": "Deny"}]
    merged = policy.with_statements(held, ours, gone=["Old"])
    assert merged == {
        "Version": "2008-10-17",
        "Id": "x",
        "Statement": [theirs, {"Sid": "Ours", "Effect": "Deny"}, nameless, {"Sid": "New"}],
    }
    assert policy.with_statements(merged, ours) == merged


@pytest.mark.parametrize(
    ("principal", "expected"),
    [("*", True), ({"AWS": "*"}, True), ({"AWS": ["*"]}, True), ({"AWS": "arn:aws:iam::1:root"}, False), ({"Service": "x"}, False)],
)
def test_a_policy_that_opens_a_bucket_is_known(principal: Any, expected: bool) -> None:
    assert policy.is_public({"Statement": [statement(Principal=principal)]}) is expected
    assert not policy.is_public({"Statement": [statement("Deny", Principal=principal)]})


def test_a_lifecycle_rule_takes_the_form_of_those_that_are_there() -> None:
    assert policy.unfinished_uploads_rule()["Filter"] == {"Prefix": ""}
    assert policy.unfinished_uploads_rule([{"ID": "theirs", "Prefix": "old/"}])["Prefix"] == ""
    assert "Prefix" not in policy.unfinished_uploads_rule([{"ID": "theirs", "Filter": {}}])


def test_pages_can_read_the_etag_of_a_part_that_they_upload() -> None:
    assert "ETag" in policy.source_cors()["ExposeHeaders"]
    assert set(policy.zoom_cors()["AllowedMethods"]) == {"GET", "HEAD"}
