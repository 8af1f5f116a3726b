"""What an address names: an image by its stored name, a generation by its id; anything else is NotFound."""

from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import Generation, ImageKey, key_of


def image_named(name: str) -> ImageKey:
    """The image of a stored name."""
    try:
        return ImageKey(key_of(name))
    except ValueError as error:
        raise missing(name) from error


def generation_named(text: str) -> Generation:
    """The generation of an address's `v`."""
    try:
        return Generation.parse(text)
    except ValueError as error:
        raise NotFound("There is no such version of this image.") from error


def missing(display: str) -> NotFound:
    """What to raise when there is no such image."""
    return NotFound(f"There is no image {display}. It may have been deleted or renamed.")
