"""The third way people use us: `zappa deploy live`, `zappa update live`, in a fresh environment, against an AWS that runs the zip.

The function is the very zip that was uploaded, in an isolated Python 3.13 with only boto3 beside it and no exiftool or perl on
its PATH. Not reproduced by this AWS: the enforcement of IAM (the calls are recorded and held against the policy instead), and
HTTP through API Gateway (the function is invoked with its events).
"""

import io
import json
import re
import time
import urllib.request
import zipfile
from typing import Any
from urllib.parse import quote, unquote

import pytest
from PIL import Image

from benchmarks.drawing import photo_like
from lambdazoom.operations.policy import allows
from tests.conftest import picture
from tests.gateway import body_of
from tests.long.conftest import FUNCTION, NAMES, Project, set_names

ODD_KEY = "trip/a b+c ä?.jpg"

pytestmark = pytest.mark.long


def encoded(kind: str, width: int, height: int, exif: Image.Exif | None = None) -> bytes:
    target = io.BytesIO()
    picture(width, height).save(target, kind, exif=exif if exif is not None else Image.Exif())
    return target.getvalue()


def with_gps() -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (54.0, 19.0, 12.5), 3: "E", 4: (10.0, 8.0, 6.0)})
    return exif


def put_multipart(s3: Any, key: str, data: bytes) -> None:
    """An upload in parts, of which all but the last have 5 MiB at least."""
    upload = s3.create_multipart_upload(Bucket=NAMES["source"], Key=key)["UploadId"]
    where = {"Bucket": NAMES["source"], "Key": key, "UploadId": upload}
    parts = [data[start : start + 5 * 2**20] for start in range(0, len(data), 5 * 2**20)]
    etags = [s3.upload_part(**where, PartNumber=number, Body=part)["ETag"] for number, part in enumerate(parts, 1)]
    finished = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": finished})


def notifications(s3: Any) -> list[str]:
    found = s3.get_bucket_notification_configuration(Bucket=NAMES["source"])
    return [each["LambdaFunctionArn"] for each in found.get("LambdaFunctionConfigurations", ())]


def test_the_whole_life_of_a_deployment(project: Project) -> None:
    s3 = project.client("s3")
    set_names(project)
    foreign = foreign_notification(project)
    assert "Deployment complete" in project.zappa("deploy", "live")
    assert len(notifications(s3)) == 2
    said = project.run("python", "-m", "lambdazoom", "doctor")
    assert "The function's zip holds exiftool, its modules, perl, the viewer, the application." in said
    assert said.endswith("All is well.\n"), said

    originals = {
        "gps.jpg": encoded("JPEG", 3000, 2000, with_gps()),
        "plate.png": encoded("PNG", 640, 480),
        "map.tif": encoded("TIFF", 320, 200),
        ODD_KEY: encoded("JPEG", 330, 200),
    }
    for key, data in originals.items():
        s3.put_object(Bucket=NAMES["source"], Key=key, Body=data)
    put_multipart(s3, "scans/large.tif", encoded("TIFF", 2600, 2400))
    pointers = {key for key in project.keys("zoom") if not key.startswith("_tiles/")}
    assert pointers == {"gps.jpg.dzi", "plate.png.dzi", "map.tif.dzi", "trip/a b+c ä~3F.jpg.dzi", "scans/large.tif.dzi"}
    for pointer in pointers:
        hold_against_its_record(project, pointer.removesuffix(".dzi"))
    document = json.loads(s3.get_object(Bucket=NAMES["metadata"], Key="gps.jpg.json")["Body"].read())
    assert [tag["text"] for name, tag in document["tags"].items() if name.endswith("GPSPosition")] == [
        "54 deg 19' 12.50\" N, 10 deg 8' 6.00\" E"
    ]

    publish_twelve_megapixels(project)
    look_at_the_pages(project)
    update_and_lose_nothing(project)
    for _ in range(2):
        project.zappa("schedule", "live")
    assert sorted(notifications(s3)) == sorted({*notifications(s3)})
    assert len(notifications(s3)) == 2
    rules = project.client("events").list_rules()["Rules"]
    assert [rule["ScheduleExpression"] for rule in rules] == ["rate(1 hour)"]
    remove_leftover_statements(project)
    delete_an_image(project)
    hold_the_calls_against_the_policy(project)
    manage_the_source(project)
    hold_the_calls_against_the_policy(project)

    everything = {purpose: project.keys(purpose) for purpose in ("source", "zoom", "metadata")}
    project.zappa("undeploy", "live", "--yes")
    assert {purpose: project.keys(purpose) for purpose in everything} == everything
    assert notifications(s3) == [foreign]


def foreign_notification(project: Project) -> str:
    """Another function hears of the same bucket, under a prefix of its own."""
    role = project.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("other.py", "def handle(event, context):\n    return None\n")
    made = project.client("lambda").create_function(
        FunctionName="other", Runtime="python3.13", Role=role, Handler="other.handle", Code={"ZipFile": archive.getvalue()}
    )
    arn = str(made["FunctionArn"])
    rule = {"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "somebody-elses/"}]}}}
    configuration = {"Id": "other", "LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], **rule}
    project.client("s3").put_bucket_notification_configuration(
        Bucket=NAMES["source"], NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )
    return arn


def publish_twelve_megapixels(project: Project) -> None:
    """A photograph is on show six seconds after it was put, though nothing ran before; the best of three, for machines have other work."""
    photo = io.BytesIO()
    photo_like(4000, 3000, seed=1).save(photo, "JPEG", quality=90)
    s3, seconds = project.client("s3"), []
    for _ in range(3):
        started = time.monotonic()
        s3.put_object(Bucket=NAMES["source"], Key="photo.jpg", Body=photo.getvalue())  # this AWS answers when the function has ended
        seconds.append(time.monotonic() - started)
        s3.head_object(Bucket=NAMES["zoom"], Key="photo.jpg.dzi")
        s3.delete_object(Bucket=NAMES["source"], Key="photo.jpg")
        if seconds[-1] <= 6:
            break
    assert min(seconds) <= 6, seconds


def hold_against_its_record(project: Project, name: str) -> None:
    """Metadata are there, and as many tiles as the record tells."""
    s3, documents = project.client("s3"), (f"{name}.json", f"_lambdazoom/records/{name}.json")
    metadata, record = (json.loads(s3.get_object(Bucket=NAMES["metadata"], Key=key)["Body"].read()) for key in documents)
    assert "File:FileType" in metadata["tags"]
    tiles = [key for key in project.keys("zoom") if f"/{record['generation']}/image_files/" in key]
    assert len(tiles) == record["tile_count"] > 0


def look_at_the_pages(project: Project) -> None:
    assert project.get("/")["statusCode"] in (302, 303), "nobody gets in without a password"
    assert project.get("/dzi/gps.jpg.dzi")["statusCode"] == 401
    project.sign_in()
    page = project.get("/")["body"]
    assert "3,000 × 2,000" in page
    links = re.findall(r'(?:href|src)="(/[^"]*)"', page)
    assert links
    assert all(link.startswith("/live/") for link in links), links
    s3 = project.client("s3")
    tile = next(key for key in project.keys("zoom") if key.endswith("/image_files/12/3_4.jpg"))
    stored = s3.get_object(Bucket=NAMES["zoom"], Key=tile)["Body"].read()
    generation = tile.split("/")[2]
    assert body_of(project.get(f"/dzi/gps.jpg_files/12/3_4.jpg?v={generation}")) == stored
    one = project.get("/image/trip/a%20b%2Bc%20%C3%A4~3F.jpg")
    assert one["statusCode"] == 200
    assert [link for link in re.findall(r'(?:href|src|action)="(/[^"]*)"', one["body"]) if not link.startswith("/live/")] == []
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    answer = project.request("POST", "/api/images/gps.jpg/retry", f"token={quote(token[1])}")
    assert answer["statusCode"] == 202, answer


def update_and_lose_nothing(project: Project) -> None:
    """`zappa update` takes the notification away for a while; what is put meanwhile is found by the scheduled function."""
    s3 = project.client("s3")
    settings = project.folder / "zappa_settings.json"
    changed = json.loads(settings.read_text())
    changed["live"]["aws_environment_variables"] |= {"LAMBDAZOOM_QUALITY": "55", "LAMBDAZOOM_GRACE_SECONDS": "1"}
    settings.write_text(json.dumps(changed, indent=2))
    ours = s3.get_bucket_notification_configuration(Bucket=NAMES["source"])["LambdaFunctionConfigurations"]
    kept = [each for each in ours if FUNCTION not in each["LambdaFunctionArn"]]
    # in the middle of the update: the notification is away
    s3.put_bucket_notification_configuration(Bucket=NAMES["source"], NotificationConfiguration={"LambdaFunctionConfigurations": kept})
    s3.put_object(Bucket=NAMES["source"], Key="missed.jpg", Body=encoded("JPEG", 340, 200))
    assert "updated" in project.zappa("update", "live").lower()
    assert len(notifications(s3)) == 2
    assert "missed.jpg.dzi" not in project.keys("zoom")
    strike_the_clock(project)
    assert "missed.jpg.dzi" in project.keys("zoom")
    pointer = s3.get_object(Bucket=NAMES["zoom"], Key="missed.jpg.dzi")["Body"].read().decode()
    assert "q55" in pointer, "the changed setting is in force"


def strike_the_clock(project: Project) -> None:
    """What EventBridge does once an hour."""
    rule = project.client("events").list_rules()["Rules"][0]
    project.invoke({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [rule["Arn"]], "detail": {}})


def remove_leftover_statements(project: Project) -> None:
    """Each `zappa schedule` has left one."""
    permitted = project.client("lambda")

    def statements() -> list[str]:
        held = json.loads(permitted.get_policy(FunctionName=FUNCTION)["Policy"])["Statement"]
        return [each["Sid"] for each in held if each["Principal"] == {"Service": "s3.amazonaws.com"}]

    before = len(statements())
    assert before > 2
    assert f"{before - 1} removed." in project.run("python", "-m", "lambdazoom", "doctor", "--fix")
    assert len(statements()) == 1


def delete_an_image(project: Project) -> None:
    """What was made of it goes: what it is known by at once, its tiles when nobody can be looking at them any more."""
    s3 = project.client("s3")
    generation = json.loads(s3.get_object(Bucket=NAMES["metadata"], Key="_lambdazoom/records/gps.jpg.json")["Body"].read())["generation"]
    s3.delete_object(Bucket=NAMES["source"], Key="gps.jpg")
    assert "gps.jpg.dzi" not in project.keys("zoom")
    assert "gps.jpg.json" not in project.keys("metadata")
    assert [key for key in project.keys("zoom") if f"/{generation}/" in key]
    time.sleep(2)  # LAMBDAZOOM_GRACE_SECONDS
    strike_the_clock(project)
    assert [key for key in project.keys("zoom") if f"/{generation}/" in key] == []


def manage_the_source(project: Project) -> None:
    """`init --manage-source`: from then on the pages upload and delete, straight to the bucket."""
    assert project.ask("POST", "/api/uploads", name="new.jpg", size=1)[0] == 403
    project.run("python", "-m", "lambdazoom", "init", "--manage-source", "--yes")
    project.zappa("update", "live")
    data = encoded("JPEG", 350, 220)
    _, begun = project.ask("POST", "/api/uploads", name="new.jpg", size=len(data))
    [part] = begun["parts"]
    with urllib.request.urlopen(urllib.request.Request(part["url"], data, part["headers"], method="PUT"), timeout=60) as answer:
        etag = answer.headers["ETag"]
    assert project.ask("POST", begun["links"]["complete"], etags=[etag])[0] == 201
    assert "new.jpg.dzi" in project.keys("zoom")
    _, large = project.ask("POST", "/api/uploads", name="large.tif", size=10**9)
    assert large["part_count"] > 1
    assert project.ask("DELETE", large["links"]["abort"])[0] == 204
    assert project.ask("DELETE", "/api/images/new.jpg", confirm="new.jpg")[0] == 202
    assert "new.jpg.dzi" not in project.keys("zoom")
    assert "new.jpg" not in project.keys("source")
    said = project.run("python", "-m", "lambdazoom", "doctor")
    assert said.endswith("All is well.\n"), said


def hold_the_calls_against_the_policy(project: Project) -> None:
    """Each call that the function made is allowed by its policy, and whatever a statement of the policy allows occurred."""
    policy = json.loads((project.folder / "zappa_policy.json").read_text())
    needed = set()
    for line in project.calls.read_text().splitlines():
        who, method, path, query, status = json.loads(line)
        if who == "role" and path != "/":
            needed.add(action_of(method, path, query))
            if status == 404:  # who may not list is told 403 instead
                needed.add(("s3:ListBucket", f"arn:aws:s3:::{path.split('/')[1]}"))
    assert [each for each in needed if not allows(policy, *each)] == []
    granted = [(statement, action) for statement in policy["Statement"] for action in listed(statement["Action"])]
    unused = [
        (statement["Sid"], action)
        for statement, action in granted
        if not action.startswith("logs:")  # Lambda itself writes the log
        and not any(allows({"Statement": [statement]}, *each) for each in needed if each[0] == action)
    ]
    assert unused == []


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


ACTIONS = {  # by the method and the query's telling parameter: "Actions, resources, and condition keys for Amazon S3"
    ("GET", ""): "s3:GetObject",
    ("HEAD", ""): "s3:GetObject",
    ("PUT", ""): "s3:PutObject",
    ("DELETE", ""): "s3:DeleteObject",
    ("PUT", "uploadId"): "s3:PutObject",
    ("POST", "uploads"): "s3:PutObject",
    ("POST", "uploadId"): "s3:PutObject",
    ("DELETE", "uploadId"): "s3:AbortMultipartUpload",
}
ACTIONS_ON_BUCKETS = {("GET", "list-type"): "s3:ListBucket", ("HEAD", ""): "s3:ListBucket", ("POST", "delete"): "s3:DeleteObject"}


def action_of(method: str, path: str, query: str) -> tuple[str, str]:
    """The IAM action and resource of a call to S3 or Lambda; a call that nobody thought of is a KeyError."""
    if path.endswith("/invocations"):
        name = unquote(path.split("/")[-2]).rpartition(":")[2]
        return "lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    bucket, _, key = path.lstrip("/").partition("/")
    names = {pair.partition("=")[0] for pair in query.split("&")}
    telling = next(iter(names & {"uploadId", "uploads", "list-type", "delete", "versionId", "acl", "tagging"}), "")
    if key:
        return ACTIONS[method, telling], f"arn:aws:s3:::{bucket}/{key}"
    action = ACTIONS_ON_BUCKETS[method, telling]
    return action, f"arn:aws:s3:::{bucket}{'/anything' if action == 's3:DeleteObject' else ''}"
