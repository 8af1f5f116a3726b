"""One image among others: what is met with it is said and told, and stops none of them."""

import logging
from dataclasses import dataclass

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """What became of it: `trouble` is a sentence if it could not be settled, or is settled as what may go better another time."""

    record: ImageRecord | None
    trouble: str = ""
    is_retryable: bool = False


def attempt(image: ImageKey, workspace: Workspace, wish: Wish = HINT) -> Attempt:
    """Settle the image. Raises nothing but what ends the process."""
    try:
        record = settle(image, workspace, wish=wish)
    except LambdaZoomError as error:
        log.error("%s: %s", image.display, error)
        return Attempt(None, str(error), error.retryable)
    except Exception as error:
        log.exception("%s: unexpected error", image.display)
        return Attempt(None, f"{image.display} met an unexpected error ({type(error).__name__}).", is_retryable=True)
    if record and record.is_retryable:
        return Attempt(record, record.complaints[0], is_retryable=True)
    return Attempt(record)
