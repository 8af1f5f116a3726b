"""The lines by which a process that settles one image tells its parent how far it is, and how it ended: JSON, one object a line.

Whoever reads them trusts them with nothing but a bar's length and a sentence: what was published is read from the stores.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from lambdazoom.model.records import Progress

MAX_BYTES = 64 * 2**10  # more than any honest line


@dataclass(frozen=True)
class End:
    """The call has come to its end: `refusal` is the sentence of the error that it raised, if it did."""

    refusal: str = ""


Report = Progress | End


def line(report: Report) -> bytes:
    """The report as one line."""
    kind = "end" if isinstance(report, End) else "progress"
    return json.dumps({kind: asdict(report)}).encode("ascii") + b"\n"


def parse(text: bytes) -> Report | None:
    """The report of a line; None for anything else, which some library may have printed."""
    try:
        document: Any = json.loads(text)
        if "end" in document:
            return End(str(document["end"]["refusal"]))
        told = document["progress"]
        return Progress(str(told["stage"]), int(told["done"]), int(told["total"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
