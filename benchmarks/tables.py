"""Text for people: aligned tables and numbers; what is in them is not known here."""

from collections.abc import Sequence

from benchmarks.measuring import Summary

MEBIBYTE = 2**20


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that reads well on a terminal too: the first column is text, in the others numbers stand below each other."""
    widths = [max(3, *(len(row[index]) for row in [header, *rows])) for index in range(len(header))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_padded(row, widths) for row in (header, ruler, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def seconds(value: float) -> str:
    """Three digits where they mean something."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def mebibytes(value: float) -> str:
    """Bytes as whole MiB."""
    return f"{value / MEBIBYTE:,.0f}"


def cells(summary: Summary) -> list[str]:
    """Wall seconds, processor seconds, MiB."""
    return [seconds(summary.wall), seconds(summary.cpu), mebibytes(summary.peak_memory)]


def spread(summary: Summary) -> str:
    """The fastest and the slowest run."""
    return f"{seconds(summary.fastest)}–{seconds(summary.slowest)}"


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
