"""Line plots on logarithmic axes, as one SVG that reads in light and in dark; what is plotted is not known here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _GAP = 360, 300, 24  # of one panel, and between two
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 92, 40, 40  # room inside a panel for numbers, names, title and unit
_LINE_HEIGHT = 14
_MARGIN = 1.25  # how far, as a factor, the axes go beyond the points

_STYLE = """\
svg { font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.background { fill: #FFFFFF; } .grid { stroke: #E5E2DC; } .text { fill: #1C1B19; } .quiet { fill: #5F5B55; } .title { font-weight: 600; }
.line { fill: none; stroke-width: 2; }
.line-0 { stroke: #0F766E; } .mark-0 { fill: #0F766E; } .line-1 { stroke: #B54708; stroke-dasharray: 6 4; } .mark-1 { fill: #B54708; }
@media (prefers-color-scheme: dark) {
  .background { fill: #1D1C1B; } .grid { stroke: #33312E; } .text { fill: #ECE9E4; } .quiet { fill: #A8A39B; }
  .line-0 { stroke: #4FB8A8; } .mark-0 { fill: #4FB8A8; } .line-1 { stroke: #FDB022; } .mark-1 { fill: #FDB022; }
}"""


@dataclass(frozen=True)
class Line:
    """One named line; x and y are above nought, in the order of x. There are two looks: the first line of a panel, and the others."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """One plot: its title, what its x axis counts, and its lines."""

    title: str
    across: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class _Axis:
    """From a value to a place: `start` and `end` in the SVG's units belong to `least` and `most`."""

    least: float
    most: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Powers of ten; with twos and fives where there are few."""
        powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        for factors in ((1,), (1, 2, 5)):
            ticks = [factor * 10.0**power for power in powers for factor in factors]
            inside = [tick for tick in ticks if self.least <= tick <= self.most]
            if len(inside) > 2:
                break
        return inside


def svg(panels: Sequence[Panel], description: str) -> str:
    """The whole document."""
    width, height = len(panels) * (_WIDTH + _GAP) - _GAP, _HEIGHT
    drawn = "".join(f'<g transform="translate({index * (_WIDTH + _GAP)} 0)">\n{_panel(panel)}</g>\n' for index, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        f"<title>{escape(description)}</title>\n<style>\n{_STYLE}\n</style>\n"
        f'<rect class="background" width="{width}" height="{height}"/>\n{drawn}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines for point in line.points]
    across = _axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [_text(8, 20, panel.title, "text title"), _text(_LEFT, _HEIGHT - 8, panel.across, "quiet"), *_grid(across, up)]
    parts += [_drawn(line, min(index, 1), across, up) for index, line in enumerate(panel.lines)]
    ends = sorted((up.place(line.points[-1][1]), across.place(line.points[-1][0]), line.name) for line in panel.lines)
    lowest = 0.0
    for y, x, name in ends:
        lowest = max(y + 4, lowest + _LINE_HEIGHT)  # names must not lie on each other
        parts.append(_text(x + 8, lowest, name, "text"))
    return "".join(f"{part}\n" for part in parts)


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    return _Axis(min(values) / _MARGIN, max(values) * _MARGIN, start, end)


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{up.start}" y2="{up.end}"/>')
        parts.append(_text(x, up.start + 16, f"{tick:,g}", "quiet", "middle"))
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(f'<line class="grid" x1="{across.start}" x2="{across.end}" y1="{y}" y2="{y}"/>')
        parts.append(_text(across.start - 6, y + 4, f"{tick:,g}", "quiet", "end"))
    return parts


def _drawn(line: Line, look: int, across: _Axis, up: _Axis) -> str:
    places = [(across.place(x), up.place(y)) for x, y in line.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    marks = "".join(f'<circle class="mark-{look}" cx="{x}" cy="{y}" r="3"/>' for x, y in places)
    return f'<polyline class="line line-{look}" points="{path}"/>{marks}'


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
