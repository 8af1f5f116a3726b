"""What is transparent in PNG and WebP tiles is so in the viewer and in what is saved of it: each part is drawn once, overlaps too."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from lambdazoom.model.keys import ImageKey
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace

from .browsing import Witness, wait_for_view
from .conftest import Serve

WIDTH, HEIGHT = 900, 600  # 4 by 3 tiles, which overlap
BAR = 56  # above the viewer
BEHIND = 0x1A  # the viewer's grey
RED = (200, 40, 60)
GLASS, CLEAR, SOLID = (0, 300), (300, 600), (600, 900)  # columns: half there, not there, there

each_format = pytest.mark.parametrize("kind", ["webp", "png"])


@pytest.fixture
def page(browser: Browser, serve: Serve, workspace: Workspace, kind: str) -> Iterator[Page]:
    """The page of three panes, in a window where all of it is shown pixel for pixel."""
    panes = Image.new("RGBA", (WIDTH, HEIGHT), (0, 255, 0, 0))
    panes.paste((*RED, 128), (GLASS[0], 0, GLASS[1], HEIGHT))
    panes.paste((*RED, 255), (SOLID[0], 0, SOLID[1], HEIGHT))
    panes.save(Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "glass.tif")
    record = settle(ImageKey("glass.tif"), replace(workspace, settings=replace(workspace.settings, format=kind, quality=100)))
    assert record is not None
    with serve() as address, browser.new_context(viewport={"width": WIDTH, "height": BAR + HEIGHT}) as context:
        opened = context.new_page()
        witness = Witness(opened)
        opened.goto(f"{address}/image/glass.tif")
        wait_for_view(opened)
        yield opened
        assert witness.complaints == []


def seen(page: Page) -> np.ndarray:
    """What is on the screen where the image is, with what stands above it hidden."""
    page.locator(".navigator, .controls, .scale").evaluate_all("elements => elements.forEach(each => each.hidden = true)")
    with Image.open(BytesIO(page.screenshot())) as shot:
        return np.asarray(shot.convert("RGB").crop((0, BAR, WIDTH, BAR + HEIGHT))).astype(int)


def inside(pixels: np.ndarray, columns: tuple[int, int]) -> np.ndarray:
    """The middle of a pane, away from the others, whose edges an encoder blurs."""
    return pixels[8:-8, columns[0] + 8 : columns[1] - 8]


@each_format
def test_the_viewer_shows_its_grey_through_glass_and_no_seams(page: Page, kind: str) -> None:
    pixels = seen(page)
    half = [(colour * 128 + BEHIND * 127) / 255 for colour in RED]
    for columns, expected in ((GLASS, half), (CLEAR, [BEHIND] * 3), (SOLID, RED)):
        assert np.abs(inside(pixels, columns) - expected).max() <= 4, columns


@each_format
def test_what_is_saved_is_as_transparent_as_the_image(page: Page, kind: str, tmp_path: Path) -> None:
    page.locator(".menu > summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="What is in view as PNG").click()
    assert download.value.suggested_filename == f"glass 0,0,{WIDTH},{HEIGHT}.png"
    download.value.save_as(tmp_path / "crop.png")
    with Image.open(tmp_path / "crop.png") as crop:
        assert (crop.mode, crop.size) == ("RGBA", (WIDTH, HEIGHT))
        pixels = np.asarray(crop).astype(int)
    for columns, alpha in ((GLASS, 128), (CLEAR, 0), (SOLID, 255)):
        assert (inside(pixels, columns)[:, :, 3] == alpha).all(), columns
        if alpha:
            assert np.abs(inside(pixels, columns)[:, :, :3] - RED).max() <= 4, columns
