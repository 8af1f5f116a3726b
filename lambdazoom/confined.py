"""`process --child`: one image, settled for a parent that keeps it apart, under limits that are set before any file is opened.

The parent's side is publishing/children.py.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Progress
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import limits, reports
from lambdazoom.publishing.reports import End
from lambdazoom.stopping import stopped_by_sigterm

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.1  # progress is told
STOP_SECONDS = 3.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def process(image: ImageKey, wish: Wish, run: str, settings: Settings) -> None:
    """Settle the image; standard output tells the parent how far it is and how it ended, and nothing else reaches it."""
    with suppress(KeyboardInterrupt), stopped_by_sigterm():  # the parent knows that it asked for it
        _end_with_the_parent()
        limits.confine(settings)
        settings = replace(settings, memory_limit=limits.memory(settings) // 10**6)  # so that what needs more is not even begun
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
        told = _Told()
        told.send(End(_settle(image, wish, run, settings, told)))


def _settle(image: ImageKey, wish: Wish, run: str, settings: Settings, told: "_Told") -> str:
    """What stood in the way, if something did."""
    from lambdazoom.publishing.pipeline import settle
    from lambdazoom.publishing.workspace import open_workspace

    try:
        with open_workspace(settings, [image.key]).closing() as workspace:
            settle(image, workspace, told.progress, wish, run)
    except LambdaZoomError as error:
        return str(error)
    except Exception as error:  # as among the workers: it must not pass for a decoder's crash
        log.exception("%s: unexpected error", image.display)
        return f"It met an unexpected error ({type(error).__name__}). Please report it."
    return ""


class _Told:
    """The parent's end of standard output; what libraries print goes where errors go."""

    def __init__(self) -> None:
        self._pipe = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._stage = ""
        self._due = 0.0

    def progress(self, progress: Progress) -> None:
        """Tell it, but not each tile."""
        now = time.monotonic()
        if progress.stage != self._stage or now >= self._due:
            self._stage, self._due = progress.stage, now + EVERY_SECONDS
            self.send(progress)

    def send(self, report: reports.Report) -> None:
        try:
            os.write(self._pipe, reports.line(report))
        except BrokenPipeError:
            _stop()  # nobody is left who would listen


def _end_with_the_parent() -> None:
    """Whatever becomes of the parent, this does not outlive it.

    On Linux the kernel sees to it, be we stuck in a decoder. Elsewhere, and if the parent is gone already, standard input ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    threading.Thread(target=_wait_for_the_end, name="parent", daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _stop()
    time.sleep(STOP_SECONDS)
    os._exit(1)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
