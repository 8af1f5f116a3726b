"""What people see on the terminal while images are processed: bars on a terminal, plain lines in a log."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from tqdm import tqdm

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.publishing.workspace import utc_now
from lambdazoom.summary import summary

_BAR = "{desc:<40} {percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt} {unit} {elapsed}"
_REDRAW_SECONDS = 0.1

log = logging.getLogger(__name__)


@contextmanager
def single_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for one image, on stderr if that is a terminal; what is yielded takes the tiles done and their total."""
    with _bar(name) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


@contextmanager
def counting_bar(name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar for many images, on stderr if that is a terminal; what is yielded takes how many are done."""
    with tqdm(desc=name, unit=" images", total=total, leave=False, disable=None, mininterval=_REDRAW_SECONDS) as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        yield progress


class Terminal:
    """Listens to the workers: a bar for each image at work, one line for each that is done."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[NoReturn]] = {}
        self._lock = threading.Lock()

    def progress(self, image: ImageKey, progress: Progress) -> None:
        """Move the image's bar."""
        with self._lock:
            bar = self._bars.get(image.key)
            if bar is None:
                bar = self._bars[image.key] = _bar(image.display)
            bar.set_description_str(f"{_cut(image.display, 24)}: {progress.stage}", refresh=False)
            bar.total = progress.total or None
            bar.n = progress.done
            bar.update(0)

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        """Take the bar away, and say how it ended if it was at work at all."""
        worked = self._take_bar(image)
        if record is None:
            self._say(f"{image.display}: gone from the source; nothing of it is published any more.")
        elif worked:
            self._say(summary(image, record, utc_now()))

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        """Take the bar away and say what went wrong."""
        self._take_bar(image)
        self._say(f"{image.display}: {error}")

    def close(self) -> None:
        """Take all bars away."""
        for bar in self._bars.values():
            bar.close()

    def _take_bar(self, image: ImageKey) -> bool:
        with self._lock:
            bar = self._bars.pop(image.key, None)
            if bar is not None:
                bar.close()
        return bar is not None

    def _say(self, line: str) -> None:
        try:
            with tqdm.external_write_mode():
                click.echo(line)
        except (OSError, ValueError) as error:  # nobody reads any more (`serve | head`), or the terminal has no such letters
            log.warning("Not printed (%s): %s", error, line)


def _bar(name: str) -> "tqdm[NoReturn]":
    bar: tqdm[NoReturn] = tqdm(desc=_cut(name, 24), unit="tiles", bar_format=_BAR, leave=False, disable=None, mininterval=_REDRAW_SECONDS)
    return bar


def _cut(name: str, length: int) -> str:
    """The name, its middle left out if it is longer."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[len(name) - (length - length // 2 - 1) :]}"
