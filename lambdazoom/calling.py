"""How the function calls itself: what somebody asks for on a page gets a run of its own, for a gateway waits no longer than 30 s.

The event names the handler as Zappa's own asynchronous tasks do (`command`); only who may invoke the function can send one. What
merely changed in the source needs no call: S3's own event tells of it.
"""

import os

from lambdazoom.model.errors import AccessDenied
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing.asking import OwnThreads
from lambdazoom.publishing.workspace import Workspace

COMMAND = "lambdazoom.handler.on_wish"
REFUSED = "The function may not start a run of its own, so nothing was tried again. Run `python -m lambdazoom doctor`."


class Calling:
    """On Lambda asks the function itself, anywhere else threads of this process."""

    def __init__(self) -> None:
        self._threads = OwnThreads()

    def __call__(self, image: ImageKey, wish: Wish, workspace: Workspace) -> None:
        """One run for this image; AccessDenied if the role does not allow it."""
        function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        if function is None:
            self._threads(image, wish, workspace)
        elif wish.tries_again:
            from lambdazoom.operations.aws import call_function  # boto3 takes half a second to import: only who calls pays

            try:
                call_function(function, {"command": COMMAND, "names": [image.name], "recipe": wish.recipe, "anew": wish.anew})
            except AccessDenied as error:
                raise AccessDenied(REFUSED) from error
