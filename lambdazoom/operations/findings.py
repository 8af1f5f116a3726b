"""What a check finds: a mark, what is so, and the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

RUN_INIT = "Run `python -m lambdazoom init`."


class Mark(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


SIGNS = {Mark.OK: "✓", Mark.WARNING: "!", Mark.PROBLEM: "✗"}


@dataclass(frozen=True)
class Finding:
    """One line: what is so, and the way out where it should be otherwise."""

    mark: Mark
    what: str
    way_out: str = ""

    def __str__(self) -> str:
        return f"{SIGNS[self.mark]} {self.mark:<8} {self.what} {self.way_out}".rstrip()


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(Mark.OK, what)


def warning(what: str, way_out: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(Mark.WARNING, what, way_out)


def problem(what: str, way_out: str) -> Finding:
    """It does not work."""
    return Finding(Mark.PROBLEM, what, way_out)


def summary(marks: Sequence[Mark]) -> str:
    """All findings in a few words."""
    counts = {mark: marks.count(mark) for mark in (Mark.PROBLEM, Mark.WARNING)}
    words = [f"{count} {mark}{'s' if count > 1 else ''}" for mark, count in counts.items() if count]
    return f"{', '.join(words).capitalize()}." if words else "All is well."
