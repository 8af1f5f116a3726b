"""What the tests share: a workspace on three temporary folders, small images drawn on the spot, and a browser."""

import gc
import io
import os
import shutil
import signal
import socket
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import boto3
import pytest
from botocore.loaders import JSONFileLoader
from moto.server import ThreadedMotoServer
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, expect, sync_playwright

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.settings import Settings
from lambdazoom.operations import bundle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from tests import moto_gaps
from tests.zappa_function import write_python_settings

# what is not as it should be is told in full, as of the tests' own assertions
HELPERS = "crews decoding deployed files histories leftovers project settling streams tiff_by_hand tiling waiting web.guarding"
pytest.register_assert_rewrite(*(f"tests.{name}" for name in HELPERS.split()))

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that has us in the background ignores it, and so would what we start
gc.set_threshold(50_000)  # a sixth of the tests' time went into looking for garbage among modules


@pytest.fixture(scope="session", autouse=True)
def descriptions_of_aws() -> Iterator[None]:
    """What botocore reads anew for each client, megabytes of JSON, is read once."""
    read = cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture(scope="session", autouse=True)
def exiftool_bundle() -> Path:
    """exiftool with a perl of its own; `make test` has built it already."""
    return bundle.build().executable


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """moto's server, which honours conditional writes as S3 does."""
    moto_gaps.fill()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """moto as the AWS of this test: by the environment that boto3 and obstore both heed."""
    names = {
        "AWS_ENDPOINT_URL": moto_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return moto_endpoint


@pytest.fixture
def make_bucket(aws: str) -> Callable[[str], str]:
    """Makes an empty bucket of a name never used before; its name."""

    def make(purpose: str) -> str:
        name = f"{purpose}-{uuid.uuid4().hex[:12]}"
        boto3.client("s3").create_bucket(Bucket=name)
        return name

    return make


def environment_for(folder: Path) -> dict[str, str]:
    """The settings of three folders below one."""
    return {
        "LAMBDAZOOM_SOURCE": str(folder / "source"),
        "LAMBDAZOOM_ZOOM": str(folder / "zoom"),
        "LAMBDAZOOM_METADATA": str(folder / "metadata"),
    }


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The settings of three folders, the source being there."""
    (tmp_path / "source").mkdir()
    return environment_for(tmp_path)


@pytest.fixture(scope="session")
def running_exiftool(exiftool_bundle: Path) -> Iterator[ExifTool]:
    """One process for all tests that read metadata by the way; whoever closes it finds another one."""
    with ExifTool(exiftool_bundle) as running:
        yield running


@pytest.fixture
def workspace(environment: dict[str, str], running_exiftool: ExifTool) -> Iterator[Workspace]:
    """A workspace on three folders."""
    settings = Settings.from_env(environment)
    opened = open_workspace(settings)
    yield opened if settings.exiftool else replace(opened, exiftool=running_exiftool)
    opened.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source folder of `environment` and `workspace`."""
    return tmp_path / "source"


@pytest.fixture(scope="session")
def zappa_settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the deployed function's handler reads."""
    return write_python_settings(tmp_path_factory.mktemp("zappa"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Draw = Callable[..., Path]


@pytest.fixture
def draw(source: Path) -> Draw:
    """Draws an image into the source folder: draw("trip/cat.jpg", 300, 200)."""

    def draw_image(key: str, width: int = 300, height: int = 200, seed: int = 1, **options: object) -> Path:
        path = source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(width, height, seed).save(path, **options)  # type: ignore[arg-type]
        return path

    return draw_image


def picture(width: int, height: int, seed: int = 1) -> Image.Image:
    """A picture with smooth and busy parts, every region unlike the others, another one for each seed."""
    across = Image.linear_gradient("L").resize((width, height))
    around = Image.radial_gradient("L").resize((width, height)).point(lambda value: (value * (7 + seed)) % 256)
    drawn = Image.merge("RGB", (across, around, around.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    pencil = ImageDraw.Draw(drawn)
    for step in range(0, max(width, height), 50):
        pencil.line((step, 0, 0, step), fill=(step % 256, 90, 200), width=3)
        pencil.ellipse((step, step // 2, step + 30, step // 2 + 30), fill=(250, step % 200, 60))
    return drawn


def encoded(width: int, height: int, format: str = "JPEG", exif: Image.Exif | None = None, seed: int = 1) -> bytes:  # noqa: A002
    """The bytes of a file with such a picture."""
    target = io.BytesIO()
    picture(width, height, seed).save(target, format, exif=exif or Image.Exif())
    return target.getvalue()


def write_bad_files(source: Path) -> dict[str, str]:
    """Bad input of all sorts, by name, and what its sentence must hold."""
    good = source.parent / "good.jpg"
    picture(900, 700).save(good, quality=90)
    (source / "notes.jpg").write_text("Just a few words.")
    (source / "cut.jpg").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (source / "empty.png").write_bytes(b"")
    shutil.make_archive(str(source / "album"), "zip", source.parent, "good.jpg")
    (source / "album.zip").rename(source / "album.tif")
    header = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    (source / "map.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big") + b"\0\0\0\0IDAT")
    return {
        "notes.jpg": "notes.jpg is not an image: its content is plain text. Replace or delete it in the source.",
        "cut.jpg": "cut.jpg is cut off; 45 % could be read. Replace it with a whole file, or set LAMBDAZOOM_TRUNCATED=accept and retry.",
        "empty.png": "empty.png is empty. Replace or delete it in the source.",
        "album.tif": "album.tif is not an image: its content is a ZIP archive. Replace or delete it in the source.",
        "map.png": "map.png claims 100,000 × 100,000 pixels; 4,000,000,000 are allowed (LAMBDAZOOM_MAX_PIXELS).",
    }


CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium: $CHROMIUM, or the one on PATH, which `make test` sees to."""
    candidates = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    program = next((found for name in candidates if name and (found := shutil.which(name))), None)
    if program is None:
        pytest.fail("The browser tests need Chromium; `make test` installs it on Debian or says how.")
    expect.set_options(timeout=20_000)  # the machine may be busy
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS))
        yield opened
        opened.close()
