"""What becomes of the record of a run that can't see to it itself; whether its process lives is not found out here.

A run is known by its name, which its record bears for as long as it is at work: a record that is somebody else's by now is left alone.
"""

from lambdazoom.model.errors import Conflict, LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog
from lambdazoom.publishing.looking import look_at
from lambdazoom.publishing.verdicts import beside_what_is_on_show, died, speaks_of
from lambdazoom.publishing.workspace import Workspace


def lay_down(image: ImageKey, run: str, workspace: Workspace) -> None:
    """Leave a record that does not look alive: the run was stopped, and nothing speaks against the image. Raises StorageError.

    What it was removing stays in the list of active ones, where it is found.
    """
    kept = catalog.find_kept(image, workspace.metadata)
    if kept and kept.record.run == run and not kept.record.is_being_removed:
        catalog.save(kept.record.at_rest(), kept, workspace.metadata)


def put_on_record(image: ImageKey, run: str, error: LambdaZoomError, wish: Wish, workspace: Workspace) -> ImageRecord | None:
    """Have the record tell what the run died of; that record, or None if it has no place for it. Raises StorageError.

    There is none if the run had not begun yet, if another has taken its image over, if the source has changed meanwhile, or if the
    run had published already.
    """
    look = look_at(image, workspace)
    if look.kept is None or look.kept.record.run != run:
        return None
    if look.record is None or look.current is None:
        lay_down(image, run, workspace)
        return None
    if look.shown and look.shows(look.current.version) and not speaks_of(look.record, look.shown):
        lay_down(image, run, workspace)
        return None
    record = died(look.record, error, wish, workspace.now())
    try:
        catalog.save(beside_what_is_on_show(record, look, look.current), look.kept, workspace.metadata)
    except Conflict:
        return None
    return record if record.complaints else None
