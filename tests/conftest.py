"""What the tests share: a workspace on three temporary folders, and small images drawn on the spot."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.model.settings import Settings
from lambdazoom.operations import bundle
from lambdazoom.publishing.workspace import Workspace, open_workspace


@pytest.fixture(scope="session", autouse=True)
def exiftool_bundle() -> Path:
    """exiftool with a perl of its own; `make test` has built it already."""
    return bundle.build().executable


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


@pytest.fixture
def workspace(environment: dict[str, str]) -> Iterator[Workspace]:
    """A workspace on three folders."""
    opened = open_workspace(Settings.from_env(environment))
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source folder of `environment` and `workspace`."""
    return tmp_path / "source"


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
    """A picture with smooth and busy parts, different for each seed: three gradients, turned and bent."""
    across = Image.linear_gradient("L").resize((width, height))
    around = Image.radial_gradient("L").resize((width, height))
    bent = around.point(lambda value: (value * (7 + seed)) % 256)
    return Image.merge("RGB", (across, bent, around.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
