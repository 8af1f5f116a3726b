"""What was measured so far, in a file: an interrupted benchmark goes on where it was, unless what it measures has changed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks.measuring import Measured, Summary, summary


class Ledger:
    """Runs by case and program, one JSON line each; a file of another `identity` is started anew."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._runs: dict[tuple[str, str], list[Measured]] = {}
        lines = _lines(path)
        if lines and lines[0].get("identity") == identity:
            for line in lines[1:]:
                self._keep(line.pop("case"), line.pop("program"), Measured(**line))
        self._start(identity)

    def runs(self, case: str, program: str) -> list[Measured]:
        """In the order in which they ran."""
        return self._runs.get((case, program), [])

    def programs(self, case: str) -> list[str]:
        """Those that ran in this case, in the order of their first runs."""
        return [program for each, program in self._runs if each == case]

    def summary(self, case: str, program: str) -> Summary:
        """The medians; SystemExit if nothing was measured."""
        runs = self.runs(case, program)
        if not runs:
            raise SystemExit(f"{program} was not measured: {case}.")
        return summary(runs)

    def add(self, case: str, program: str, run: Measured) -> None:
        """Keep one run, at once."""
        self._keep(case, program, run)
        self._append(_line(case, program, run))

    def close(self) -> None:
        """All is done: the next benchmark starts anew."""
        self._path.replace(self._path.with_name(f"last-{self._path.name}"))

    def _keep(self, case: str, program: str, run: Measured) -> None:
        self._runs.setdefault((case, program), []).append(run)

    def _start(self, identity: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({"identity": identity}) + "\n", encoding="utf-8")
        for (case, program), runs in self._runs.items():
            for run in runs:
                self._append(_line(case, program, run))

    def _append(self, line: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")


def _line(case: str, program: str, run: Measured) -> dict[str, Any]:
    return {"case": case, "program": program, **dataclasses.asdict(run)}


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole: the last one may be half."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
