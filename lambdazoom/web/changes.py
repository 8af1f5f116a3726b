"""What people may change: have an image tried again, delete an original; for the pages and the API alike, no markup."""

from flask import Flask

from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing import catalog
from lambdazoom.web.addresses import missing
from lambdazoom.web.failures import Refused
from lambdazoom.web.opening import opening, workspace

OFF_FOLDER = "Uploading and deleting are off here. Set LAMBDAZOOM_MANAGE_SOURCE=yes to turn them on."
OFF_BUCKET = "Uploading and deleting are off here. `python -m lambdazoom init --manage-source` turns them on; then `zappa update live`."
UNCONFIRMED = "Nothing was deleted: what was repeated is not the name of {name}. Type it as it stands."


def install(application: Flask) -> None:
    """Let templates ask what is possible."""
    application.add_template_global(can_upload)
    application.add_template_global(can_delete)


def can_upload() -> bool:
    """Whether originals may be uploaded."""
    return opening().manages_source


def can_delete() -> bool:
    """Whether originals may be deleted."""
    return opening().manages_source


def require_managing() -> None:
    """Refused, unless the source may be changed."""
    if not opening().manages_source:
        raise Refused(OFF_BUCKET if workspace().source.bucket else OFF_FOLDER, 403, "not-allowed")


def retry(image: ImageKey, recipe: bool = False, anew: bool = False) -> None:
    """Have what failed tried once more, or more of it made, as a Wish says; NotFound if there is no such image."""
    if catalog.find(image, workspace().metadata) is None:
        require_original(image)
    opening().ask(image, Wish(asked=True, recipe=recipe, anew=anew), workspace())


def delete(image: ImageKey, confirmed: str) -> bool:
    """Delete the original, if its stored name was repeated; what was made of it follows. Whether the bucket keeps a version."""
    require_managing()
    if confirmed != image.name:
        raise Refused(UNCONFIRMED.format(name=image.display), 422, "unconfirmed")
    try:
        kept = opening().originals().delete(image.key)
    finally:
        opening().ask(image, HINT, workspace())  # also if it was gone before: then what was made of it may not be
    return kept


def require_original(image: ImageKey) -> None:
    """NotFound, unless there is such an original."""
    try:
        workspace().source.head(image.key)
    except NotFound as error:
        raise missing(image.display) from error
