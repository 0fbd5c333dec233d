"""Plots as SVG: lines, distributions, histograms and bars, without any library.

They follow the reader's light or dark colours, and are as readable on a phone as in a wide window: the
drawing is narrow, and pages place several side by side. A browser shows a value on hovering over its point.

Source:  W3C SVG 1.1; ``prefers-color-scheme`` of CSS Media Queries 5.
Bounds:  POINTS_MAX points of a line are drawn, SERIES_MAX colours are told apart.
Trust:   every text is escaped; names come from scenario files.
Pure:    no I/O, clock or randomness; the same values give the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from kontinuum.sim.report.scale import Axis, Scale, fit
from kontinuum.sim.report.units import Unit, text, tick

WIDTH = 480
"""Width of the drawing. Our choice: its letters can be read where a phone shows it 360 pixels wide."""

PLOT_HEIGHT = 210
"""Height of the space between the axes."""

BAR_HEIGHT = 15
"""Height of one horizontal bar."""

LETTER = 7.0
"""Width of a letter of 12.5 pixels, for placing; rather too wide, since fonts differ."""

POINTS_MAX = 1000
"""Points of a line that are drawn; of more, every n-th. Our choice: two for each pixel."""

SERIES_MAX = 6
"""Lines that have a colour of their own; from then on colours come again."""

MARKED_MAX = 40
"""Points up to which a line shows each as a dot. Our choice."""

LIGHT = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#57606a")
"""Colours of the series on a light ground. GitHub Primer, as the other images of the documentation."""

DARK = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#ff7bc4", "#9198a1")
"""Colours of the series on a dark ground."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    """For what was computed rather than measured."""
    dots: bool | None = None
    """Show each point; ``None``: when they are few."""
    joined: bool = True
    """Draw the line between the points."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars of one kind: one value per category, in the order of the categories."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, for a page or as a file of its own."""

    title: str
    height: float
    elements: tuple[str, ...]

    def inline(self) -> str:
        """Return the ``<svg>`` element for a page that has :func:`style` already."""
        return "\n".join([self._open(""), *self.elements, "</svg>\n"])

    def file(self) -> str:
        """Return the whole contents of an SVG file."""
        size = f' width="{WIDTH * 1.5:g}" height="{self.height * 1.5:g}"'
        return "\n".join([self._open(size), f"<style>\n{style()}</style>", *self.elements, "</svg>\n"])

    def _open(self, size: str) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot"{size}'
            f' viewBox="0 0 {WIDTH} {self.height:g}" role="img" aria-label="{escape(self.title)}">'
        )


def style() -> str:
    """Return the style sheet of all plots."""
    rules = [
        ".plot text { font: 12.5px ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif }",
        ".plot .title { font-size: 14.5px; font-weight: 600 }",
        ".plot .line { fill: none; stroke-width: 2; stroke-linejoin: round }",
        ".plot .grid { stroke-width: 1 } .plot .dashed { stroke-dasharray: 6 4 }",
    ]
    light = _colours(LIGHT, ink="#24292f", soft="#57606a", grid="#d8dee4")
    dark = _colours(DARK, ink="#e6edf3", soft="#9198a1", grid="#30363d")
    return "\n".join([*rules, *light, "@media (prefers-color-scheme: dark) {", *dark, "}", ""])


def _colours(series: Sequence[str], *, ink: str, soft: str, grid: str) -> list[str]:
    rules = [f".plot .ink {{ fill: {ink} }} .plot .soft {{ fill: {soft} }} .plot .grid {{ stroke: {grid} }}"]
    for number, colour in enumerate(series):
        rules.append(f".plot .f{number} {{ fill: {colour} }} .plot .s{number} {{ stroke: {colour} }}")
    return rules


def lines(title: str, x: Axis, y: Axis, curves: Sequence[Line]) -> Plot:
    """Draw curves over two axes."""
    across = fit(x, (point[0] for curve in curves for point in curve.points))
    up = fit(y, (point[1] for curve in curves for point in curve.points))
    drawing = _Drawing(title, [curve.name for curve in curves])
    drawing.axes(x, across, y, up)
    for number, curve in enumerate(curves):
        drawing.curve(number % SERIES_MAX, curve, (x, across), (y, up))
    return drawing.plot()


def distribution(title: str, x: Axis, curves: Sequence[Line]) -> Plot:
    """Draw cumulative distributions: which part of all values is at most so great."""
    steps = [Line(curve.name, _staircase(curve.points), curve.dashed, dots=False) for curve in curves]
    return lines(title, x, Axis("share of all", Unit.RATIO, low=0.0, high=1.0), steps)


def cumulative(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points of the cumulative distribution of ``values``."""
    ordered = sorted(values)
    return [(value, (number + 1) / len(ordered)) for number, value in enumerate(ordered)]


def histogram(title: str, x: Axis, y: Axis, bins: Sequence[tuple[float, float, float]]) -> Plot:
    """Draw how many values fall into each bin: its low end, its high end, its height."""
    low = min((low for low, *_ in bins), default=0.0) if x.low is None else x.low
    high = max((high for _, high, _ in bins), default=1.0) if x.high is None else x.high
    across = fit(Axis(x.label, x.unit, x.log, low, high), ())
    up = fit(
        Axis(y.label, y.unit, y.log, 0.0 if y.low is None else y.low, y.high), (bin_[2] for bin_ in bins)
    )
    drawing = _Drawing(title, [])
    drawing.axes(x, across, y, up)
    for begin, end, height in bins:
        left, right = drawing.x(across.place(begin)), drawing.x(across.place(end))
        top = drawing.y(up.place(height))
        drawing.add(
            f'<rect class="f0" x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}"'
            f' height="{drawing.bottom - top:.1f}">'
            f"<title>{escape(f'{text(begin, x.unit)} to {text(end, x.unit)}: {text(height, y.unit)}')}"
            "</title></rect>"
        )
    return drawing.plot()


def bars(title: str, x: Axis, categories: Sequence[str], kinds: Sequence[Bars]) -> Plot:
    """Draw horizontal bars, grouped by category; the value stands at the end of each."""
    values = [value for kind in kinds for value in kind.values if value is not None]
    across = fit(x if x.low is not None or x.log else Axis(x.label, x.unit, x.log, 0.0, x.high), values)
    group = BAR_HEIGHT * len(kinds) + 12
    left = min(14 + max(map(len, categories), default=0) * LETTER, WIDTH * 0.42)
    room = max((len(text(value, x.unit)) for value in values), default=0) * LETTER + 10
    names = [kind.name for kind in kinds] if len(kinds) > 1 else []
    drawing = _Drawing(title, names, left=left, right=WIDTH - room, height=group * len(categories) + 4)
    drawing.uprights(x, across)
    for row, category in enumerate(categories):
        top = drawing.top + 6 + row * group
        drawing.text(left - 8, top + (group - 12) / 2 + 4.5, category, "ink", "end")
        for number, kind in enumerate(kinds):
            value = kind.values[row]
            if value is None:
                continue
            y, width = top + number * BAR_HEIGHT, drawing.x(across.place(value)) - left
            drawing.add(
                f'<rect class="f{number % SERIES_MAX}" x="{left:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}"'
                f' height="{BAR_HEIGHT - 3}" rx="1.5"/>'
            )
            drawing.text(left + max(width, 1) + 5, y + 10.5, text(value, x.unit), "soft")
    return drawing.plot()


@dataclass(slots=True)
class _Drawing:
    """The frame of one plot: title, legend, axes; and what is drawn into it."""

    title: str
    names: Sequence[str]
    left: float = 62.0
    right: float = WIDTH - 16.0
    height: float = PLOT_HEIGHT
    top: float = field(init=False)
    bottom: float = field(init=False)
    elements: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.text(8, 20, self.title, "ink title")
        self.top = 34 + self._legend()
        self.bottom = self.top + self.height

    def plot(self) -> Plot:
        return Plot(self.title, self.bottom + 44, tuple(self.elements))

    def add(self, element: str) -> None:
        self.elements.append(element)

    def text(self, x: float, y: float, words: str, css: str, anchor: str = "start") -> None:
        side = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}"{side}>{escape(words)}</text>')

    def x(self, part: float) -> float:
        return self.left + part * (self.right - self.left)

    def y(self, part: float) -> float:
        return self.bottom - part * (self.bottom - self.top)

    def axes(self, x: Axis, across: Scale, y: Axis, up: Scale) -> None:
        """Draw both axes with their grids."""
        labels = [tick(value, y.unit) for value in up.ticks]
        self.left = 30 + max(map(len, labels), default=0) * LETTER
        for value, label in zip(up.ticks, labels, strict=True):
            place = self.y(up.place(value))
            self.add(_segment("grid", self.left, place, self.right, place))
            self.text(self.left - 6, place + 4, label, "soft", "end")
        self.add(
            f'<text class="soft" transform="translate(14 {(self.top + self.bottom) / 2:.1f}) rotate(-90)"'
            f' text-anchor="middle">{escape(y.label)}</text>'
        )
        self.uprights(x, across)

    def uprights(self, x: Axis, across: Scale) -> None:
        """Draw the axis at the bottom, its grid, and as many tick labels as have room."""
        free = 0.0
        for value in across.ticks:
            place, label = self.x(across.place(value)), tick(value, x.unit)
            self.add(_segment("grid", place, self.top, place, self.bottom))
            half = len(label) * LETTER / 2
            if place - half >= free:
                self.text(min(place, WIDTH - half - 1), self.bottom + 17, label, "soft", "middle")
                free = place + half + 6
        self.text((self.left + self.right) / 2, self.bottom + 36, x.label, "soft", "middle")

    def curve(self, colour: int, curve: Line, across: tuple[Axis, Scale], up: tuple[Axis, Scale]) -> None:
        """Draw one curve."""
        (x, x_scale), (y, y_scale) = across, up
        every = -(-len(curve.points) // POINTS_MAX)
        points = [*curve.points[:: every or 1]]
        if points and points[-1] != curve.points[-1]:
            points.append(curve.points[-1])
        places = [(self.x(x_scale.place(a)), self.y(y_scale.place(b))) for a, b in points]
        if curve.joined and len(places) > 1:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            dash = " dashed" if curve.dashed else ""
            self.add(f'<polyline class="line s{colour}{dash}" points="{path}"/>')
        if curve.dots if curve.dots is not None else len(points) <= MARKED_MAX:
            for (a, b), (left, top) in zip(points, places, strict=True):
                words = f"{curve.name}: {text(a, x.unit)}, {text(b, y.unit)}"
                self.add(
                    f'<circle class="f{colour}" cx="{left:.1f}" cy="{top:.1f}" r="3.2">'
                    f"<title>{escape(words)}</title></circle>"
                )

    def _legend(self) -> float:
        """Name the colours under the title; return the height that this takes."""
        if len(self.names) < 2:
            return 0.0
        x, row = 8.0, 0
        for number, name in enumerate(self.names):
            width = 32 + len(name) * LETTER
            if x > 8 and x + width > WIDTH:
                x, row = 8.0, row + 1
            y = 40 + row * 18
            css = f"f{number % SERIES_MAX}"
            self.add(f'<rect class="{css}" x="{x:.1f}" y="{y - 9}" width="11" height="11" rx="2"/>')
            self.text(x + 16, y + 1, name, "soft")
            x += width
        return 18.0 * (row + 1)


def _segment(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of a function that jumps at each point and stays in between."""
    stairs: list[tuple[float, float]] = []
    every = -(-len(points) // (POINTS_MAX // 2)) or 1
    kept = [*points[::every]]
    if kept and kept[-1] != points[-1]:
        kept.append(points[-1])
    height = 0.0
    for x, y in kept:
        stairs += [(x, height), (x, y)]
        height = y
    return stairs
