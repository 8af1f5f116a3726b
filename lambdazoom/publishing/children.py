"""An image settled in a process of its own: a decoder that crashes, hangs or eats memory takes one image with it, and no more.

This is the parent's side: it starts the process, listens, ends it, and leaves word of how it died. What the process does to
itself stands in lambdazoom/confined.py.
"""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from lambdazoom.metadata.process import hide_environment
from lambdazoom.model.errors import Crashed, Interrupted, LambdaZoomError, OutOfMemory, OutOfTime, StorageError, Unstorable
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.model.settings import SETTINGS, Settings
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import limits, owners, reports
from lambdazoom.publishing.reports import End
from lambdazoom.publishing.workspace import Workspace

COMMAND = (sys.executable, "-P", "-m", "lambdazoom", "process")  # -P: no code of the current folder, which may be anybody's
PACKAGES = Path(__file__).parents[2]

PASSED_ON = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH")
"""All that it sees of our environment, with LC_... and the settings that are no secrets."""

LOOK_SECONDS = 0.1  # between two looks at the clock, the memory, and the wish to stop
STOP_SECONDS = 3.0  # to take tiles away and lay the record down; less than the workers wait
CHUNK_BYTES = 2**16

_NAMES = {int(each): each.name for each in signal.Signals}

Tell = Callable[[Progress], None]


class InChild:
    """Settles each image by a `process` of its own, as long as there is something to be made; what needs no file opened is done here."""

    def __init__(self, workspace: Workspace, command: Sequence[str] = COMMAND) -> None:
        self._workspace = workspace
        self._command = command

    def __call__(self, image: ImageKey, wish: Wish, tell: Tell) -> ImageRecord | None:
        """Settle one image. Raises Interrupted, what the process raised, and how it died, where no record can tell."""
        from lambdazoom.publishing.pipeline import new_run, settle_but_making  # the pages only put keys in

        if "\0" in image.key:
            raise Unstorable(f"No file can be named {image.display!r}.")
        record, is_left = settle_but_making(image, self._workspace, wish)
        if not is_left:
            return record
        return self._settle(image, wish, tell, new_run())

    def _settle(self, image: ImageKey, wish: Wish, tell: Tell, run: str) -> ImageRecord | None:
        from lambdazoom.publishing import catalog, deaths

        try:
            with self._started(image, wish, run) as child:
                end = self._heard(image, child, tell)
        except Interrupted:
            with suppress(StorageError):
                deaths.lay_down(image, run, self._workspace)  # it has done so itself, unless it had to be killed
            raise
        except (Crashed, OutOfMemory, OutOfTime) as error:
            record = deaths.put_on_record(image, run, error, wish, self._workspace)
            if record is None:
                raise
            return record
        if end.refusal:
            raise LambdaZoomError(end.refusal)
        return catalog.find(image, self._workspace.metadata)

    @contextmanager
    def _started(self, image: ImageKey, wish: Wish, run: str) -> Iterator["_Child"]:
        """The process, and at the end none of it; nor of its temporary files, however it ended."""
        settings = self._workspace.settings
        told = {"--if-changed": not wish.tries_again, "--recipe": wish.recipe, "--anew": wish.anew}
        options = [option for option, holds in told.items() if holds]
        hide_environment()  # or it could read in /proc what is kept from it
        with ExitStack() as stack:
            try:
                private = stack.enter_context(tempfile.TemporaryDirectory(prefix="lambdazoom-run-", ignore_cleanup_errors=True))
                command = [*self._command, *options, "--child", run, "--", image.key]
                child = _Child(command, {**environment(settings, os.environ), "TMPDIR": private})
            except OSError as error:
                raise LambdaZoomError(f"No process could be started for {image.display}: {error.strerror}.") from error
            stack.callback(child.kill)
            yield child

    def _heard(self, image: ImageKey, child: "_Child", tell: Tell) -> End:
        """How it ended. Raises Interrupted, OutOfTime, OutOfMemory and Crashed, and then it runs no more."""
        settings, stopping, end = self._workspace.settings, self._workspace.stopping, None
        deadline, allowed = time.monotonic() + settings.time_limit, limits.memory(settings)
        for text in child.lines():
            report = reports.parse(text) if text else None
            if isinstance(report, Progress):
                tell(report)
            elif report and end is None:
                end, deadline = report, time.monotonic() + STOP_SECONDS
            if time.monotonic() > deadline:
                break
            if end is None and stopping.is_set():
                child.stop()
                break
            if end is None and allowed and limits.memory_taken(child.pid) > allowed:
                raise _out_of_memory(image, allowed)
        if end:
            return end
        if stopping.is_set():
            raise Interrupted(f"{image.display} was interrupted; nothing was published.")
        raise _cause(image, child.died_of(), settings)


def environment(settings: Settings, ours: Mapping[str, str]) -> dict[str, str]:
    """What a process that opens strangers' files is told: how to run, and the settings; no secret, and nothing of AWS."""
    passed = {name: value for name, value in ours.items() if name in PASSED_ON or name.startswith("LC_")}
    told = {setting.name: settings.texts[setting.name] for setting in SETTINGS if not setting.is_secret}
    path = os.pathsep.join(filter(None, (str(PACKAGES), ours.get("PYTHONPATH"))))
    return {**passed, **told, "PYTHONPATH": path}


def _cause(image: ImageKey, died_of: int | None, settings: Settings) -> LambdaZoomError:
    """Why it ended without a word; `died_of` as the process tells it."""
    if died_of in (None, signal.SIGXCPU):
        return _out_of_time(image, settings)
    if died_of in (0, signal.SIGTERM):  # systemd asks all processes of a service at once to end
        return LambdaZoomError(f"The process that worked on {image.display} was stopped from outside. It is tried again.")
    return _crashed(image, died_of)


def _out_of_time(image: ImageKey, settings: Settings) -> OutOfTime:
    sentence = f"{image.display} took longer than {settings.time_limit:,} s and was stopped."
    return OutOfTime(f"{sentence} Raise LAMBDAZOOM_TIME_LIMIT and retry, or save it smaller.")


def _out_of_memory(image: ImageKey, allowed: int) -> OutOfMemory:
    sentence = f"{image.display} took more than {allowed / 1e6:,.0f} MB of memory and was stopped."
    return OutOfMemory(f"{sentence} Raise LAMBDAZOOM_MEMORY_LIMIT and retry, or save it smaller.")


def _crashed(image: ImageKey, died_of: int) -> Crashed:
    if died_of == signal.SIGKILL:
        sentence = f"The process that worked on {image.display} was killed, probably because the machine was out of memory."
        return Crashed(f"{sentence} Lower LAMBDAZOOM_JOBS or give it more memory, and retry.")
    how = f"by {_NAMES.get(died_of, f'signal {died_of}')}" if died_of > 0 else "without a word"
    sentence = f"The process that worked on {image.display} ended {how}: probably the file makes its decoder crash."
    return Crashed(f"{sentence} Save it anew with another program, and replace it in the source.")


class _Child:
    """The process: what it says line by line, and its end."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (ourselves)
            command,
            bufsize=0,
            stdin=subprocess.PIPE,  # never written to: it ends when we do, and that tells the process
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # so that Ctrl-C is ours alone, and reaches it once
        )
        self.pid = self._process.pid
        self._started: dict[int, str] = {}  # what it has started, and when: a number alone may be another's by now

    def lines(self) -> Iterator[bytes]:
        """Each line, and an empty one now and then, until it has ended; meanwhile it is noted what it starts."""
        kept, is_open, pipe = b"", True, cast(IO[bytes], self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while is_open:
                if selector.select(LOOK_SECONDS):
                    chunk = os.read(pipe.fileno(), CHUNK_BYTES)
                    is_open = bool(chunk)
                    *whole, kept = (kept + chunk).split(b"\n")
                    yield from whole
                    kept = kept if len(kept) <= reports.MAX_BYTES else b""
                self._note_started()
                yield b""
        while self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_SECONDS)
            yield b""

    def died_of(self) -> int | None:
        """The signal that ended it; below 1 its exit code, negative; None if it runs."""
        code = self._process.poll()
        return None if code is None else -code

    def stop(self) -> None:
        """Ask it to end, and wait a while."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it, and what it has started and may have left running; give back its pipes."""
        with self._process:
            groups = []
            if self._process.poll() is None:  # or its number may be another's, too
                groups.append(self.pid)
                self._note_started()
            # exiftool leads a group of its own, and stays if it is stuck
            groups += [each for each, start in self._started.items() if owners.start_of(each) == start]
            for group in groups:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)

    def _note_started(self) -> None:
        self._started.update({each: start for each in _children(self.pid) if (start := owners.start_of(each))})


def _children(process: int) -> list[int]:
    """The processes that a process has started, where the system tells."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text(encoding="ascii").split())
    return found
