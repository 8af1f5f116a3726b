"""The errors that LambdaZoom raises: each carries one sentence for people and a code for programs."""

from typing import ClassVar


class LambdaZoomError(Exception):
    """Anything that went wrong and that we can name.

    `str(error)` is one sentence that names the thing and the way out. `code` is stable, for programs.
    `retryable` says whether the same work may succeed later without anybody changing the source.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class SettingsError(LambdaZoomError):
    """The settings contradict each other or name nothing that exists; raised at start, never later."""

    code = "settings"


class ImageError(LambdaZoomError):
    """This source can't become a pyramid: recorded, and not retried until the source changes."""

    code = "image"


class NotAnImage(ImageError):
    """The content is no image, whatever the name says."""

    code = "not-an-image"


class UnsupportedImage(ImageError):
    """An image of a kind that we don't open."""

    code = "unsupported-image"


class CorruptImage(ImageError):
    """The image is cut off or damaged."""

    code = "corrupt-image"


class ImageTooLarge(ImageError):
    """The header claims more pixels than the settings allow."""

    code = "image-too-large"


class NeedsMoreMemory(ImageError):
    """More memory would be needed than there is; known before the work starts."""

    code = "needs-more-memory"


class MetadataError(LambdaZoomError):
    """The metadata could not be read; the tiles are made all the same."""

    code = "metadata"


class ExifToolMissing(MetadataError):
    """There is no exiftool to ask, or it does not start."""

    code = "exiftool-missing"


class ExifToolFailed(MetadataError):
    """exiftool gave no usable answer for this file."""

    code = "exiftool-failed"


class ExifToolTimeout(MetadataError):
    """exiftool took longer than it may."""

    code = "exiftool-timeout"


class StorageError(LambdaZoomError):
    """A store did not do what it was asked; worth another try, unless a subclass says otherwise."""

    code = "storage"
    retryable = True


class NotFound(StorageError):
    """There is nothing under that name."""

    code = "not-found"
    retryable = False


class NoBucket(StorageError):
    """The bucket itself is not there: nothing can be said of what it holds."""

    code = "no-bucket"
    retryable = False


class AccessDenied(StorageError):
    """The store refused; asking again won't help."""

    code = "access-denied"
    retryable = False


class Archived(StorageError):
    """The object is in an archive, and must be restored before it can be read."""

    code = "archived"
    retryable = False


class Unstorable(StorageError):
    """The store can't hold an object of that name."""

    code = "unstorable"
    retryable = False


class Conflict(StorageError):
    """A conditional write or delete lost: somebody else was there first. Look again."""

    code = "conflict"


class AlreadyThere(StorageError):
    """An original of that name exists; nothing was overwritten."""

    code = "exists"
    retryable = False


class NoRoom(StorageError):
    """There is too little room for what was to be stored."""

    code = "no-room"


class Incomplete(StorageError):
    """An upload lacks parts, or they don't fit together; they can be sent again."""

    code = "incomplete"


class Interrupted(LambdaZoomError):
    """The work was asked to stop before it was done; nothing was published."""

    code = "interrupted"
    retryable = True


class OutOfTime(LambdaZoomError):
    """The time limit of the call came too near; nothing was published."""

    code = "out-of-time"
    retryable = True


class Crashed(LambdaZoomError):
    """The process that worked on an image ended without a word; nothing was published."""

    code = "crashed"
    retryable = True


class OutOfMemory(LambdaZoomError):
    """The process that worked on an image took more memory than it may, and was ended; nothing was published."""

    code = "out-of-memory"
    retryable = True


class Unfinished(LambdaZoomError):
    """Some of several changes could not be settled; the same event, sent again, may settle them."""

    code = "unfinished"
    retryable = True
