"""Every tag of a file: a path goes to one long-lived exiftool process, plain values that JSON can hold come back.

What the tags mean is not decided here: which of them make a caption stands in lambdazoom.metadata.facts, and which may be shared
is the business of privacy. Nothing is written, and exiftool is not installed (lambdazoom.operations.bundle does that).
"""

import contextlib
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Self, TypeAlias, TypedDict

from lambdazoom.metadata.process import Process, hide_environment
from lambdazoom.model.errors import ExifToolFailed, ExifToolMissing, ExifToolTimeout, MetadataError

TagValue: TypeAlias = "str | int | float | list[TagValue] | dict[str, TagValue]"

MAX_DEPTH = 64
"""Levels in one structured tag: the deepest that people use have five or six, and json gives up at a thousand."""

READ = (
    *("-j", "-l", "-a", "-struct", "-G0:1:4"),
    *("-api", "StructFormat=JSONQ"),  # every value as a string, exactly as the text print has it: 1.10 stays 1.10, TRUE stays TRUE
    *("-charset", "filename=utf8"),
    *("-charset", "EXIF=Latin"),  # so that no byte is lost of what is no UTF-8; _as_utf_8 sets right what is
    "--System:all",  # name, folder, times and rights of our own temporary file
)

NUMBER = re.compile(r"-?(\d|[1-9]\d{1,14})(\.\d{1,16})?(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)
"""What exiftool itself takes for a number in JSON (EscapeJSON in its script): 007 and longer ones are names of something."""

IN_EITHER = ("EXIF:", "IPTC:")
"""Groups whose texts do not tell how they are encoded: in practice in Latin-1 as Windows has it, or in UTF-8."""

_LATIN = {ord(character): byte for byte in range(0x80, 0xA0) if (character := bytes((byte,)).decode("cp1252", "ignore"))}

BINARY_KEY = re.compile(r"[A-Z]\w*(:[\w-]+)*:[A-Z][A-Za-z]\w+", re.ASCII)
"""What can be asked for by name: groups and a tag as exiftool calls them; without a colon, or ending in a number, it might be an option."""


class Tag(TypedDict):
    """One tag: `text` as people read it; `number`, exiftool's raw value, where it differs from the text.

    `text` is a string, or, for lists and structures (-struct), a list or mapping of such strings in the file's own nesting. `number`
    has the same shape; its leaves are ints and floats where they are numbers (a latitude in degrees), else strings ("JPG").
    """

    text: TagValue
    number: NotRequired[TagValue]


@dataclass(frozen=True)
class Metadata:
    """What exiftool read in one file, in its order, ready for json.dumps.

    A key is exiftool's groups of families 0, 1 and 4 and the tag's name: "EXIF:IFD0:Make", "File:MIMEType". Family 4 tells tags of one name
    apart *across all groups*, so the second Make is "EXIF:IFD1:Copy1:Make" and the GPS's own latitude, beside the composite one,
    is "EXIF:GPS:Copy1:GPSLatitude": ask with facts.without_copy where the origin matters.
    """

    tags: Mapping[str, Tag]
    exiftool_version: str


def find_exiftool(configured: Path | None = None) -> Path:
    """The exiftool to use: the configured one, else the bundle in build/exiftool (in the zip: build/lambda), else the one on PATH.

    Raises ExifToolMissing; a configured one that isn't there is never replaced by another.
    """
    if configured is not None:
        return _executable(configured)
    build = Path(__file__).resolve().parents[2] / "build"
    for bundled in (build / "exiftool" / "exiftool", build / "lambda" / "exiftool"):
        if bundled.is_file():
            return _executable(bundled)
    installed = shutil.which("exiftool")
    if installed is None:
        raise ExifToolMissing("There is no exiftool: `make demo` builds one, and so does `python -m lambdazoom.operations.bundle`.")
    return Path(installed).absolute()


def _executable(path: Path) -> Path:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ExifToolMissing(f"{path} is no program that can be started: `python -m lambdazoom.operations.bundle` builds an exiftool.")
    return path.absolute()


def _does_not_start(executable: object) -> ExifToolMissing:
    return ExifToolMissing(f"{executable} does not start; `python -m lambdazoom.operations.bundle` builds one that does.")


class ExifTool:
    """One exiftool process for many files and threads: started at the first, replaced when it dies, gone after close().

    `seconds` is the limit for each file (and for a start); a process that exceeds it is killed with its children.
    After close() the next read would start another one.
    """

    def __init__(self, configured: Path | None = None, *, seconds: float = 30.0) -> None:
        self._configured = configured
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def close(self) -> None:
        """End the process, after the file that it is reading."""
        with self._lock:
            self._stop()

    def prepare(self) -> None:
        """Launch the process if none runs, and don't wait for it; what goes wrong with that, the next read tells."""
        if not self._lock.acquire(blocking=False):
            return  # it is at work
        try:
            with contextlib.suppress(MetadataError):
                self._launched()
        finally:
            self._lock.release()

    def read(self, path: Path) -> Metadata:
        """Every tag of the file at `path`, which the caller named: never a name that a stranger chose.

        A file of a kind that exiftool doesn't know, an empty one and one that is not there raise ExifToolFailed with the reason.
        A damaged or odd file of which something could be read is no failure, be it a plain text: exiftool's complaint is then
        the tag "ExifTool:Warning" or "ExifTool:Error" among the others. Raises ExifToolMissing, ExifToolFailed, ExifToolTimeout.
        """
        return _metadata(self._ask(path, *READ).decode("utf-8", errors="replace"))

    def extract(self, path: Path, key: str) -> bytes | bytearray:
        """The bytes of one binary tag of the file, by its key in the tags that `read` gave; none if it has no such tag.

        Of as many as MAX_REPLY_BYTES. Raises as `read` does.
        """
        return self._ask(path, "-b", f"-{key}") if BINARY_KEY.fullmatch(key) else b""

    def _ask(self, path: Path, *options: str) -> bytearray:
        argument = _argument(path)
        with self._lock:
            process = self._started()
            with self._or_stopped(ExifToolFailed("exiftool stopped in the middle of this file.")):
                return process.execute(*options, argument)

    def _started(self) -> Process:
        process = self._launched()
        if not process.has_answered:
            with self._or_stopped(_does_not_start(process.executable)):
                process.greet()
        return process

    def _launched(self) -> Process:
        if self._process is not None and self._process.alive:
            return self._process
        self._stop()
        executable = find_exiftool(self._configured)
        if not hide_environment():
            raise ExifToolMissing("exiftool is not started: this system does not let us hide our environment from it.")
        with self._or_stopped(_does_not_start(executable)):
            self._process = Process(executable, self._seconds)
            self._process.run()
        return self._process

    @contextlib.contextmanager
    def _or_stopped(self, broken: MetadataError) -> Iterator[None]:
        """Translates what may go wrong in an exchange; whatever interrupts one, its process can't be used for the next."""
        answered = False
        try:
            yield
            answered = True
        except TimeoutError as error:
            raise ExifToolTimeout(f"exiftool took longer than {self._seconds:g} s.") from error
        except (EOFError, OSError) as error:
            raise broken from error
        finally:
            if not answered:
                self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process = None


def _argument(path: Path) -> str:
    """The path as one line of exiftool's argument file: absolute, so it begins with "/", and is neither an option nor a comment.

    exiftool reads one argument a line, so a newline in a name would add options of the name's choosing, and `-if` runs perl code.
    """
    argument = str(path.absolute())
    if not argument.startswith("/") or any(character in argument for character in "\n\r\0"):
        raise ExifToolFailed("exiftool was not asked: the file's path has a line break or a NUL in it.")
    if not path.is_file():
        raise ExifToolFailed("exiftool was not asked: the file is not there.")
    return argument


def _metadata(reply: str) -> Metadata:
    try:
        [document] = json.loads(reply, parse_int=str, parse_float=str)
        tags = {key: _tag(key, entry) for key, entry in document.items() if key != "SourceFile"}
    except (ValueError, KeyError, RecursionError) as error:
        raise ExifToolFailed("exiftool's answer about this file can't be read.") from error
    if all(key.startswith("ExifTool:") for key in tags):
        reason = tags.get("ExifTool:Error", {"text": "no tags"})["text"]
        raise ExifToolFailed(f"exiftool can't read this file: {reason}.")
    return Metadata(tags, str(tags["ExifTool:ExifToolVersion"]["text"]))


def _tag(key: str, entry: dict[str, Any]) -> Tag:
    said = _as_utf_8 if key.startswith(IN_EITHER) else str
    if "num" not in entry:
        return {"text": _leaves(entry["val"], said)}
    return {"text": _leaves(entry["val"], said), "number": _leaves(entry["num"], lambda text: _raw(said(text)))}


def _as_utf_8(text: str) -> str:
    """The text, if exiftool took UTF-8 for Latin-1 then as it was meant: other texts are hardly ever UTF-8 throughout."""
    if text.isascii():
        return text
    try:
        return text.translate(_LATIN).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _leaves(value: Any, leaf: Callable[[str], str | int | float], depth: int = 0) -> TagValue:
    """The value in its own shape, with `leaf` applied at its ends."""
    if depth > MAX_DEPTH:
        raise ExifToolFailed(f"A tag of this file is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, dict):
        return {key: _leaves(inner, leaf, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_leaves(inner, leaf, depth + 1) for inner in value]
    return leaf(str(value))


def _raw(text: str) -> str | int | float:
    """A number where exiftool sees one; what is beyond a float's range stays text, for JSON has no infinity."""
    if not NUMBER.fullmatch(text):
        return text
    if text.lstrip("-").isdigit():
        return int(text)
    return float(text) if math.isfinite(float(text)) else text
