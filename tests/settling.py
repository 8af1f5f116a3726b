"""What tests of publishing share: an image settled, what is then on show and in the stores, and stores that fail."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import Generation, ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import generations
from lambdazoom.publishing.generations import Published
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import Headers
from lambdazoom.storage.folder import FolderStore

CAT = ImageKey("trip/cat.jpg")


def settled(image: ImageKey, workspace: Workspace, asked: bool = False) -> ImageRecord:
    record = settle(image, workspace, wish=Wish(asked=asked))
    assert record is not None
    return record


def shown(image: ImageKey, workspace: Workspace) -> Published:
    found = generations.published(image, workspace.zoom)
    assert found is not None
    return found


def tiles_of(published: Published, workspace: Workspace) -> set[str]:
    names = workspace.zoom.list(published.generation.tiles)
    return {name.removeprefix(published.generation.tiles) for name in names}


def all_files(workspace: Workspace) -> dict[str, int]:
    assert isinstance(workspace.zoom, FolderStore)
    assert isinstance(workspace.metadata, FolderStore)
    roots = (workspace.zoom.root, workspace.metadata.root)
    return {str(path): path.stat().st_mtime_ns for root in roots for path in root.rglob("*") if path.is_file()}


class FullStore(FolderStore):
    """A store whose disk is full after ten files."""

    writes = 0

    def _write(self, name: str, data: bytes, headers: Headers) -> None:
        self.writes += 1
        if self.writes > 10:
            raise StorageError("The disk is full.")
        super()._write(name, data, headers)


def later(workspace: Workspace, **ahead: float) -> Workspace:
    """The same workspace at a later time."""
    return replace(workspace, now=lambda: workspace.now() + timedelta(**ahead))


def patient(workspace: Workspace) -> Workspace:
    """The same, but nobody waits."""
    return replace(workspace, rest=lambda _: None)


def notes(workspace: Workspace) -> list[str]:
    return list(workspace.metadata.list(Generation.NOTES))


def tiles(workspace: Workspace) -> list[str]:
    return list(workspace.zoom.list("_tiles/"))


class FailingStore(FolderStore):
    """A folder that fails when `fails(verb, name)` says so."""

    fails: Callable[[str, str], bool] = staticmethod(lambda verb, name: False)

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:
        self._meet("write", name)
        return super().write(name, data, headers, etag)

    def _write(self, name: str, data: bytes, headers: Headers) -> None:
        self._meet("bulk", name)
        super()._write(name, data, headers)

    def _meet(self, verb: str, name: str) -> None:
        if self.fails(verb, name):
            raise StorageError(f"The drive did not answer ({verb} {name}).")


def failing(store: object, fails: Callable[[str, str], bool]) -> FailingStore:
    assert isinstance(store, FolderStore)
    made = FailingStore(store.root)
    made.fails = fails
    return made
