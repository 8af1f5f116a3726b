"""One script, unchanged, on three folders and on three buckets: from an event through Zappa's handler to Chromium at the bottom."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from lambdazoom.model.keys import stored_name
from tests.conftest import encoded
from tests.gateway import REST_HOST, gateway, rest_event, sign_in
from tests.places import Buckets, Folders, Places, object_event
from tests.zappa_function import PASSWORD, FunctionError, ZappaFunction

TILE = re.compile(r"_files/(\d+)/\d+_\d+\.jpg\?v=")


@pytest.fixture(params=["folders", "buckets", "prefixes"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    if request.param == "folders":
        return Folders(tmp_path)
    return Buckets(request.getfixturevalue("aws"), "deep/in here/" if request.param == "prefixes" else "")


@pytest.fixture
def function(places: Places, zappa_settings: Path, tmp_path: Path) -> Iterator[ZappaFunction]:
    with ZappaFunction(zappa_settings, places.environment, tmp_path / "function.log") as running:
        yield running


def with_gps() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (54.0, 19.0, 12.5), 3: "E", 4: (10.0, 8.0, 6.0)})
    return exif


def get(function: ZappaFunction, path: str) -> str:
    answer = function.invoke(rest_event("GET", path, {"Host": REST_HOST, "Cookie": sign_in(function.invoke)}))
    assert answer["statusCode"] == 200, answer
    return str(answer["body"])


def test_from_the_event_to_the_last_pixel(places: Places, function: ZappaFunction, browser: Browser) -> None:
    originals = {
        "gps.jpg": encoded(3000, 2000, exif=with_gps()),
        "trip/ä ö+&.png": encoded(640, 480, "PNG"),
        "100% ~really~.tif": encoded(320, 200, "TIFF"),
    }
    for key, data in originals.items():
        places.put(key, data)
    events = [object_event(places, key) for key in originals]
    function.invoke({"Records": events[:2]})
    function.invoke({"Records": events[2:]})

    written = places.published()
    names = {stored_name(key) for key in originals}
    assert {name for name in names if any(path.endswith(f"{name}.dzi") for path in written)} == names
    assert {name for name in names if any(path.endswith(f"/{name}.json") for path in written)} == names
    tiles = [path for path in written if "/_tiles/" in path]

    for event in events:
        function.invoke({"Records": [event]})
    assert places.published() == written, "a repeat writes nothing"
    assert len([path for path in places.published() if "/_tiles/" in path]) == len(tiles) > 100

    tags = json.loads(get(function, "/metadata/gps.jpg.json"))["tags"]
    assert [tag["text"] for name, tag in tags.items() if name.endswith("GPSPosition")] == ["54 deg 19' 12.50\" N, 10 deg 8' 6.00\" E"]
    page_text = get(function, "/")
    for size in ("3,000 × 2,000", "640 × 480", "320 × 200"):
        assert size in page_text
    zoom_to_the_bottom(function, browser)

    places.remove("gps.jpg")
    function.invoke({"Records": [object_event(places, "gps.jpg", "ObjectRemoved:Delete")]})
    left = places.published()
    assert not [path for path in left if path.endswith(("gps.jpg.dzi", "/gps.jpg.json"))]
    assert "3,000 × 2,000" not in get(function, "/")


def zoom_to_the_bottom(function: ZappaFunction, browser: Browser) -> None:
    with gateway(function.invoke) as address:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        answers: list[tuple[int, str]] = []
        page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        page.goto(f"{address}/")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="gps.jpg").click()
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
        for _ in range(6):
            page.get_by_role("button", name="Zoom in").click()
            page.wait_for_timeout(200)
        page.wait_for_load_state("networkidle")
        page.close()
    tiles = [(status, found[1]) for status, url in answers if (found := TILE.search(url))]
    assert max(int(level) for _, level in tiles) == 12
    assert {status for status, _ in tiles} == {200}


def test_one_bad_record_does_not_keep_the_good_ones_from_being_settled(places: Places, function: ZappaFunction) -> None:
    places.put("good.jpg", encoded(320, 200))
    places.put("cut.jpg", encoded(900, 700)[:4000])
    places.put("other.jpg", encoded(330, 200))
    strange = {**object_event(places, "x"), "s3": {**object_event(places, "x")["s3"], "object": {}}}  # type: ignore[dict-item]
    records = [object_event(places, "cut.jpg"), strange, object_event(places, "good.jpg"), {}, object_event(places, "other.jpg")]
    function.invoke({"Records": records})
    page = get(function, "/")
    assert "320 × 200" in page
    assert "330 × 200" in page
    assert re.search(r"cut\.jpg is cut off; [0-9]+ % could be read\.", page)
    said = function.log.read_text("utf-8")
    assert said.count("event not understood") == 2
    assert re.search(r'image key="good\.jpg" state=published pixels=320x200 tiles=\d+ seconds=\d+\.\d\d code=-', said)
    assert 'image key="cut.jpg" state=failed pixels=0x0 tiles=0' in said
    assert "code=corrupt-image" in said


def test_s3s_test_event_and_hidden_keys_do_nothing(places: Places, function: ZappaFunction) -> None:
    before = places.published()
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "your-source-bucket", "RequestId": "5582815E1AEA5ADF"}
    function.invoke(test)
    places.put("trip/.DS_Store", b"x")
    function.invoke({"Records": [object_event(places, "trip/.DS_Store")]})
    assert places.published() == before


def test_events_of_an_unknown_bucket_are_told_to_the_operator(aws: str, zappa_settings: Path, tmp_path: Path) -> None:
    places = Buckets(aws)
    places.put("cat.jpg", encoded(320, 200))
    with ZappaFunction(zappa_settings, places.environment, tmp_path / "function.log") as function:
        # Zappa dispatches on the first record's bucket, so a stranger's can only come behind one of ours
        function.invoke({"Records": [object_event(places, "cat.jpg"), object_event(places, "x.jpg", bucket="somebody-elses")]})
        page = get(function, "/")
        assert "320 × 200" in page
        assert "Events arrive from the bucket somebody-elses, which is not LAMBDAZOOM_SOURCE." in page


@pytest.mark.parametrize("environment", [{"LAMBDAZOOM_QUALTY": "80"}, {"LAMBDAZOOM_ZOOM": "s3://your-source-bucket/zoom"}])
def test_wrong_settings_fail_each_event_and_are_a_page(aws: str, zappa_settings: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    places = Buckets(aws)
    with ZappaFunction(zappa_settings, {**places.environment, **environment}, tmp_path / "function.log") as function:
        with pytest.raises(FunctionError, match=r"QUALITY|Choose another bucket") as caught:
            function.invoke({"Records": [object_event(places, "cat.jpg")]})
        assert caught.value.kind == "SettingsError"
        answer = function.invoke(rest_event("GET", "/", {"Host": "example.org"}))
        assert answer["statusCode"] == 500
        assert re.search(r"QUALITY|Choose another bucket", answer["body"])


@pytest.mark.long  # three minutes: nobody answers, and each of the two images is given up after one and a half
def test_what_may_go_better_is_raised_after_all_were_tried(aws: str, zappa_settings: Path, tmp_path: Path) -> None:
    places = Buckets(aws)
    for key in ("a.jpg", "b.jpg"):
        places.put(key, encoded(320, 200))
    unreachable = {**places.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}  # the discard port: nobody listens
    with ZappaFunction(zappa_settings, unreachable, tmp_path / "function.log") as function:
        with pytest.raises(FunctionError, match="2 of this event's images could not be settled") as caught:
            function.invoke({"Records": [object_event(places, "a.jpg"), object_event(places, "b.jpg")]})
        assert caught.value.kind == "Unfinished"
    with ZappaFunction(zappa_settings, places.environment, tmp_path / "function.log") as function:
        function.invoke({"Records": [object_event(places, "a.jpg"), object_event(places, "b.jpg")]})
        assert get(function, "/").count("320 × 200") == 2


def test_no_aws_key_is_ever_logged_or_shown(aws: str, zappa_settings: Path, tmp_path: Path) -> None:
    places = Buckets(aws)
    broken = {**places.environment, "LAMBDAZOOM_SOURCE": "s3://no-such-bucket-here", "AWS_SECRET_ACCESS_KEY": "TOPSECRETKEY"}
    with ZappaFunction(zappa_settings, broken, tmp_path / "function.log") as function:
        function.invoke({"Records": [object_event(places, "cat.jpg")]})
        cookie = sign_in(function.invoke)
        page = function.invoke(rest_event("GET", "/image/cat.jpg", {"Host": "example.org", "Cookie": cookie}))["body"]
    assert "TOPSECRETKEY" not in page + function.log.read_text("utf-8")


def test_originals_are_only_ever_read(aws: str, zappa_settings: Path, tmp_path: Path) -> None:
    places = Buckets(aws)
    places.put("cat.jpg", encoded(320, 200))
    before = boto3.client("s3").head_object(Bucket="your-source-bucket", Key="cat.jpg")["LastModified"]
    with ZappaFunction(zappa_settings, places.environment, tmp_path / "function.log") as function:
        function.invoke({"Records": [object_event(places, "cat.jpg")]})
    listed = boto3.client("s3").list_objects_v2(Bucket="your-source-bucket")["Contents"]
    assert [(entry["Key"], entry["LastModified"].replace(microsecond=0)) for entry in listed] == [("cat.jpg", before)]
