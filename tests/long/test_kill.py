"""kill -9 at random moments of a real job of 100 megapixels, while somebody looks: they see whole pyramids, and nothing is left over."""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.reconciling import survey
from lambdazoom.publishing.repairing import ADDS, repair
from lambdazoom.publishing.sweeping import sweep
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.disk import LOCK, UNFINISHED
from lambdazoom.web.application import create_app

BIG = ImageKey("big.jpg")
KILLS = 50
SIDE = 10_000

pytestmark = pytest.mark.long


@dataclass
class Viewer:
    """Somebody who reads descriptors and tiles all the time, by the application's own addresses."""

    workspace: Workspace
    wrong: list[str] = field(default_factory=list)
    tiles: int = 0

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Viewer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        client = create_app(lambda: self.workspace).test_client()
        dice = random.Random(1)
        while not self._over.wait(0.02):
            shown = generations.published(BIG, self.workspace.zoom)
            if shown is None:
                self.wrong.append("no descriptor")
                continue
            every = list(shown.pyramid.tiles())
            for level, column, row in dice.sample(every, 5):
                address = f"/dzi/big.jpg_files/{level}/{column}_{row}.jpg?v={shown.generation.id}"
                answer = client.get(address)
                self.tiles += 1
                size = shown.pyramid.levels[level].box(column, row).size
                if answer.status_code != 200 or Image.open(io.BytesIO(answer.data)).size != size:
                    self.wrong.append(f"{answer.status_code} {address}")


def draw_two(folder: Path) -> tuple[Path, Path]:
    """Two images of 100 megapixels, that busy and that smooth parts take turns in."""
    tile = Image.effect_noise((500, 500), 60).convert("RGB")
    paths = (folder / "one.jpg", folder / "other.jpg")
    for path, colour in zip(paths, ((200, 120, 40), (40, 120, 200)), strict=True):
        whole = Image.new("RGB", (SIDE, SIDE), colour)
        for place in range(0, SIDE, 1000):
            for across in range(0, SIDE, 1000):
                whole.paste(tile, (across, place))
        whole.save(path, quality=85)
    return paths


def put(path: Path, source: Path) -> None:
    """As an upload that was renamed when it was whole."""
    shutil.copy(path, source / ".arriving")
    (source / ".arriving").rename(source / BIG.key)


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lambdazoom", "process", BIG.key]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {LOCK, UNFINISHED}


def test_fifty_kills_and_a_viewer_that_sees_only_whole_pyramids(
    workspace: Workspace, environment: dict[str, str], source: Path, tmp_path: Path
) -> None:
    images = draw_two(tmp_path)
    put(images[0], source)
    started = time.monotonic()
    assert start(environment).wait() == 0
    longest = time.monotonic() - started
    dice, kills, published = random.Random(), 0, 0
    with Viewer(workspace) as viewer:
        put(images[1], source)
        while kills < KILLS:
            running = start(environment)
            try:
                running.wait(dice.uniform(0, 1.2 * longest))
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                running.wait()
                kills += 1
                continue
            assert running.returncode == 0
            published += 1
            put(images[published % 2], source)
        assert start(environment).wait() == 0, "one run that is left alone publishes"
    assert viewer.wrong == []
    assert viewer.tiles > 10 * KILLS
    require_nothing_left_over(workspace, tmp_path)


def after(workspace: Workspace, hours: int) -> Workspace:
    return replace(workspace, now=lambda: workspace.now() + timedelta(hours=hours))


def require_nothing_left_over(workspace: Workspace, folder: Path) -> None:
    for later in (after(workspace, hours=14), after(workspace, hours=28)):
        assert sweep(later).failed == 0
        with survey(later) as found:  # what was killed before it wrote its record is on a list, which is taken for a leftover after a day
            repair(found.of(ADDS), later)
    record, shown = catalog.find(BIG, workspace.metadata), generations.published(BIG, workspace.zoom)
    assert record is not None
    assert shown is not None
    assert record.state(workspace.now()) == State.PUBLISHED
    assert shown.version.etag == workspace.source.head(BIG.key).version.etag
    assert files(folder / "zoom") == {BIG.pointer, *generations.names(shown.generation, shown.pyramid)}
    kinds = sorted(name.split("/")[1] for name in files(folder / "metadata") if name.startswith("_lambdazoom/"))
    assert kinds == ["newest", "records", "settled"]
    assert not [path for path in (folder / "zoom").rglob("*") if path.is_dir() and not any(path.iterdir())]
