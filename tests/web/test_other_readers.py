"""Readers that know nothing of us open what we publish: over plain files, and over the application's addresses."""

import shutil
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from large_image_source_deepzoom import DeepzoomFileTileSource
from playwright.sync_api import Browser

from lambdazoom.model.geometry import NAMESPACE, Pyramid, Recipe
from lambdazoom.model.keys import ImageKey
from lambdazoom.publishing.generations import published
from lambdazoom.publishing.workspace import Workspace

from .browsing import Witness
from .browsing import plain_server as plain_server  # a fixture
from .conftest import Publish, Serve

VENDOR = Path(__file__).parents[2] / "static" / "vendor" / "openseadragon"

PAGE = """<!doctype html><title>A stranger's page</title><div id="viewer" style="width: 800px; height: 600px"></div>
<script src="openseadragon.min.js"></script>
<script>window.viewer = OpenSeadragon({id: "viewer", tileSources: "%s", showNavigationControl: false, drawer: "canvas"});</script>"""


@pytest.mark.parametrize("by", ["generation", "pointer"])
def test_openseadragon_on_a_plain_file_server(
    workspace: Workspace, publish: Publish, plain_server: str, browser: Browser, tmp_path: Path, by: str
) -> None:
    publish("trip/cat.jpg", 2000, 1500)
    shown = published(ImageKey("trip/cat.jpg"), workspace.zoom)
    assert shown is not None
    shutil.copy(VENDOR / "openseadragon.min.js", tmp_path / "zoom")
    address = shown.generation.descriptor if by == "generation" else "trip/cat.jpg.dzi"
    # a relative Url is taken by OpenSeadragon relative to the page: so the page lies beside the descriptor
    page_file = tmp_path / "zoom" / Path(address).with_name("page.html")
    page_file.write_text(PAGE.replace("openseadragon.min.js", "/zoom/openseadragon.min.js") % Path(address).name)
    page = browser.new_page()
    witness = Witness(page)
    page.goto(f"{plain_server}/zoom/{Path(address).parent}/page.html")
    page.wait_for_function("window.viewer.world.getItemCount() === 1 && window.viewer.world.getItemAt(0).getFullyLoaded()")
    page.evaluate("window.viewer.viewport.zoomTo(window.viewer.viewport.imageToViewportZoom(1), null, true)")
    page.wait_for_timeout(300)
    page.wait_for_load_state("networkidle")
    size = page.evaluate("(({x, y}) => [x, y])(window.viewer.world.getItemAt(0).getContentSize())")
    page.close()
    assert size == [2000, 1500]
    tiles = [answer for answer in witness.answers if answer.url.endswith(".jpg")]
    assert any("/image_files/11/" in tile.url for tile in tiles)
    assert {tile.status for tile in tiles} == {200}


# large_image leaves the files open that it reads
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_that_follows_the_format_mirrors_the_applications_address(publish: Publish, serve: Serve, tmp_path: Path) -> None:
    record = publish("trip/ä ö.jpg", 900, 700)
    with serve("/live") as address:
        stable = f"{address}/dzi/trip/%C3%A4%20%C3%B6.jpg"
        with urllib.request.urlopen(f"{stable}.dzi") as answer:
            (tmp_path / "mirror.dzi").write_bytes(answer.read())
        root = ET.parse(tmp_path / "mirror.dzi").getroot()
        assert "Url" not in root.attrib
        assert root.tag == f"{{{NAMESPACE}}}Image"
        pyramid = Pyramid(record.width, record.height, Recipe(int(root.attrib["TileSize"]), int(root.attrib["Overlap"])))
        for level, column, row in pyramid.tiles():
            tile = tmp_path / "mirror_files" / str(level) / f"{column}_{row}.jpg"
            tile.parent.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(f"{stable}_files/{level}/{column}_{row}.jpg") as answer:
                tile.write_bytes(answer.read())
    reader = DeepzoomFileTileSource(str(tmp_path / "mirror.dzi"))
    assert (reader.sizeX, reader.sizeY) == (900, 700)
    assert reader.getTile(0, 0, reader.levels - 1, pilImageAllowed=True).size == (254, 254)
