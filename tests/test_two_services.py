"""Two `serve` processes on the same folders: each image is published once and whole, and neither falls over the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lambdazoom.model.keys import Generation, ImageKey
from lambdazoom.model.records import State
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import Draw, free_port
from tests.waiting import wait_until


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[None]:
    """One service, until the context ends; what it said goes to `log`."""
    command = [sys.executable, "-m", "lambdazoom", "serve", "--port", str(free_port())]
    with log.open("wb") as said, subprocess.Popen(command, env={**os.environ, **environment}, stdout=said, stderr=said) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def published(workspace: Workspace) -> set[str]:
    records = catalog.newest(workspace.metadata).records
    return {record.key for record in records if record.state(workspace.now()) == State.PUBLISHED}


def test_two_services_on_the_same_folders(
    environment: dict[str, str], workspace: Workspace, draw: Draw, source: Path, tmp_path: Path
) -> None:
    keys = {f"trip/{number}.jpg" for number in range(8)}
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    environment = {**environment, "LAMBDAZOOM_GRACE_SECONDS": "0"}
    with serving(environment, logs[0]), serving(environment, logs[1]):
        for key in sorted(keys):
            draw(key, 1500, 1000)
        wait_until(lambda: published(workspace) == keys, 60)
        (source / "trip/3.jpg").unlink()
        draw("trip/4.jpg", 700, 500, seed=3)
        four = ImageKey("trip/4.jpg")
        wait_until(lambda: (found := generations.published(four, workspace.zoom)) is not None and found.pyramid.width == 700, 60)
        wait_until(lambda: published(workspace) == keys - {"trip/3.jpg"}, 60)
        time.sleep(3)  # for whoever is late
    require_whole(workspace, keys - {"trip/3.jpg"})
    for log in logs:
        text = log.read_text("utf-8")
        assert "rror" not in text, text
        assert "WARNING" not in text, text


def require_whole(workspace: Workspace, keys: set[str]) -> None:
    known = set(workspace.metadata.list(Generation.NOTES))  # what was replaced, or was made by both, and waits for the next sweep
    names = set(workspace.zoom.list(""))
    for key in sorted(keys):
        shown = generations.published(ImageKey(key), workspace.zoom)
        assert shown is not None
        wanted = set(generations.names(shown.generation, shown.pyramid))
        assert wanted <= names
        names -= wanted | {ImageKey(key).pointer}
    assert all(Generation.parse(name.split("/")[2]).note in known for name in names)
