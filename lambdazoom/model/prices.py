"""What AWS asks for requests, time and storage, as a table that a setting can replace; no I/O.

The defaults are us-east-1's list prices of November 2026, in dollars (aws.amazon.com/s3/pricing, aws.amazon.com/lambda/pricing):
S3 Standard, Lambda on x86, no free tier, no tax. Requests that delete cost nothing.
"""

import re
from dataclasses import dataclass, fields

_PAIR = re.compile(r"([a-z_0-9]+)=([0-9]{1,6}(?:\.[0-9]{1,12})?)")


@dataclass(frozen=True)
class Requests:
    """How many requests S3 was sent, by kind; `retries` are those among them that repeated one that had failed."""

    get: int = 0
    head: int = 0
    put: int = 0
    list: int = 0
    delete: int = 0
    other: int = 0
    retries: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.get + self.head + self.put + self.list + self.delete + self.other

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True)
class Prices:
    """Dollars for a thousand PUTs or LISTs, a thousand GETs or HEADs, a gigabyte-second, an invocation, and a stored gigabyte a month."""

    put_1000: float = 0.005
    get_1000: float = 0.0004
    gb_second: float = 0.0000166667
    invocation: float = 0.0000002
    gb_month: float = 0.023

    def of_requests(self, requests: Requests) -> float:
        """What S3 asks for these requests."""
        written = requests.put + requests.list + requests.other
        return (written * self.put_1000 + (requests.get + requests.head) * self.get_1000) / 1000

    def of_function(self, seconds: float, memory: int, invocations: int = 1) -> float:
        """What Lambda asks for invocations that take so long together, of a function with so many megabytes."""
        return seconds * memory / 1024 * self.gb_second + invocations * self.invocation if memory else 0.0

    def of_month(self, size: int) -> float:
        """What S3 asks for keeping so many bytes for a month."""
        return size / 10**9 * self.gb_month


def parse_prices(text: str) -> Prices:
    """The default prices, but for those that a text like "put_1000=0.0054 get_1000=0.00043" names; ValueError says what would be right."""
    given: dict[str, float] = {}
    for pair in text.split():
        found = _PAIR.fullmatch(pair)
        if found is None or found[1] not in {each.name for each in fields(Prices)}:
            names = ", ".join(each.name for each in fields(Prices))
            raise ValueError(f"pairs like put_1000=0.005 with spaces between; there are {names}")
        given[found[1]] = float(found[2])
    return Prices(**given)
