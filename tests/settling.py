"""What tests of publishing share: an image settled, what is then on show, and a disk that fills up."""

from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey
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
    """A store whose disk is full from the tenth tile on."""

    writes = 0

    def _write(self, name: str, data: bytes, headers: Headers) -> None:
        self.writes += 1
        if self.writes > 10:
            raise StorageError("The disk is full.")
        super()._write(name, data, headers)
