"""A plan: what is to be done, as sentences that can be shown first and steps that can be run; a dry run is the plan without the run."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class Step:
    """One change: a sentence that says it, and the deed. `apply` returns what there is to tell afterwards, or nothing.

    `details` follows the sentence when the plan is shown: a diff, say.
    """

    sentence: str
    apply: Callable[[], str] = _nothing
    details: str = ""


@dataclass(frozen=True)
class Plan:
    """Steps in their order, and notes: what was seen and needs somebody's attention."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan, as it is shown."""
        shown = [line for step in self.steps for line in (f"- {step.sentence}", *step.details.splitlines())]
        return [*shown, *(f"! {note}" for note in self.notes)]


def rewrite(path: Path, before: str | None, after: str) -> Step:
    """The step that writes a text file anew, with its diff."""
    lines = difflib.unified_diff(
        (before or "").splitlines(), after.splitlines(), path.name if before is not None else "/dev/null", path.name, lineterm=""
    )

    def write() -> str:
        with path.open("w", encoding="utf-8", newline="") as opened:
            opened.write(after)
        return ""

    return Step(f"{'Change' if before is not None else 'Write'} {path.name}.", write, "\n".join(lines))
