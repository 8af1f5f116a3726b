"""What tests of faults share: images to be ruined, and a look at what a run leaves behind."""

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.model.geometry import Recipe
from lambdazoom.publishing.export import export
from tests.conftest import picture
from tests.files import vips_image
from tests.tiling import MAX_PIXELS, threads_of_ours

SIZE = (1500, 2600)
SUFFIXES = ("jpg", "png", "tif")
RECIPE = Recipe(128)
CUT_OFF = r"scan\.\w+ is cut off(; \d+ % could be read)?\. Replace it with a whole file(, or set LAMBDAZOOM_TRUNCATED=accept and retry)?\."


@pytest.fixture(scope="module")
def drawn() -> Image.Image:
    """A picture that compresses badly, so that reading it takes a while."""
    noise = Image.effect_noise(SIZE, 60).convert("RGB")
    return Image.blend(picture(*SIZE), noise, 0.5)


@pytest.fixture(scope="module")
def written(drawn: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of each kind that streams."""
    folder = tmp_path_factory.mktemp("written")
    drawn.save(folder / "scan.jpg", quality=95)
    drawn.save(folder / "scan.png", compress_level=1)
    vips_image(drawn).tiffsave(str(folder / "scan.tif"), compression="lzw", tile=True, tile_width=128, tile_height=128)
    return folder


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, written: Path, tmp_path: Path) -> Path:
    """One of them, to be ruined."""
    return Path(shutil.copy(written / f"scan.{request.param}", tmp_path))


@dataclass(frozen=True)
class Held:
    """What a run holds while it works. `mapped_bytes` are those of mappings that want huge pages: nobody else asks for them."""

    threads: Counter[str]
    descriptors: Counter[str]
    mapped_bytes: int

    @classmethod
    def now(cls) -> "Held":
        descriptors = Counter(target for name in os.listdir("/proc/self/fd") if (target := _target(name)))  # noqa: PTH208
        return cls(Counter(threads_of_ours()), descriptors, sum(_wanting_huge_pages()))

    def is_within(self, other: "Held") -> bool:
        return self.threads <= other.threads and self.descriptors <= other.descriptors and self.mapped_bytes <= other.mapped_bytes


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    except OSError:  # the listing's own, and already gone
        return ""


def _wanting_huge_pages() -> Iterator[int]:
    size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size = int(line.split()[1]) * 1024
        if line.startswith("VmFlags:") and {"hg", "nr"} <= set(line.split()):
            yield size


@contextmanager
def leaving_nothing_behind() -> Iterator[None]:
    """Fails if a second later more is held than before."""
    before = Held.now()
    yield
    deadline = time.monotonic() + 1
    while not Held.now().is_within(before):
        assert time.monotonic() < deadline, (before, Held.now())
        time.sleep(0.01)


def exported(path: Path, watch: Callable[[int], None] = lambda _: None) -> None:
    """As `tile` does it; `watch` hears how many tiles are done."""
    export(path, path.parent / "out", RECIPE, MAX_PIXELS, lambda done, _: watch(done))


def ends_with(error: type[BaseException], sentence: str, path: Path, watch: Callable[[int], None] = lambda _: None) -> None:
    with leaving_nothing_behind():
        with pytest.raises(error) as caught:
            exported(path, watch)
        assert type(caught.value) is error
        assert re.fullmatch(sentence, str(caught.value)), str(caught.value)
        del caught
    assert list(path.parent.glob("out/*")) == list(path.parent.glob("out/.*")) == []
