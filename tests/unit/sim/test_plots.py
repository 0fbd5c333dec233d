"""Plots: scales, ticks, drawings."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.sim.report import svg
from kontinuum.sim.report.scale import TICKS_MAX, Axis, fit
from kontinuum.sim.report.units import Unit, text, tick

SVG = "{http://www.w3.org/2000/svg}"
FINITE = st.one_of(st.just(0.0), st.floats(1e-9, 1e12), st.floats(-1e12, -1e-9))


def drawn(plot):
    """Parse a plot as XML; return its root."""
    return ET.fromstring(plot.inline())  # noqa: S314 -- we wrote it


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.00000234, Unit.SECONDS, "2.34 µs"),
        (0.25, Unit.SECONDS, "250 ms"),
        (0.99999, Unit.SECONDS, "1 s"),
        (90, Unit.SECONDS, "90 s"),
        (3600, Unit.SECONDS, "1 h"),
        (0, Unit.SECONDS, "0 s"),
        (1023, Unit.BYTES, "1023 B"),
        (5 << 20, Unit.BYTES, "5 MiB"),
        (0.99996, Unit.RATIO, "99.996 %"),
        (1, Unit.RATIO, "100.0 %"),
        (0.0001, Unit.RATIO, "0.01 %"),
        (1234567, Unit.COUNT, "1,234,567"),
        (2.456, Unit.NUMBER, "2.46"),
        (4321.5, Unit.NUMBER, "4,322"),
    ],
)
def test_values_are_written_with_their_unit(value, unit, words):
    """
    Three digits that mean something, and never a 100 % that is not one.
    """
    assert text(value, unit) == words


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (10_000_000, Unit.COUNT, "10 M"),
        (20_000, Unit.COUNT, "20 k"),
        (1000, Unit.COUNT, "1,000"),
        (0.5, Unit.RATIO, "50 %"),
        (1800, Unit.SECONDS, "30 min"),
    ],
)
def test_ticks_are_short(value, unit, words):
    """
    The ticks of an axis take little room.
    """
    assert tick(value, unit) == words


@pytest.mark.parametrize(
    ("axis", "values", "ticks"),
    [
        (Axis("x"), [0, 10], (0, 2, 4, 6, 8, 10)),
        (Axis("x"), [93, 97], (93, 94, 95, 96, 97)),
        (Axis("x"), [3, 97], (0, 20, 40, 60, 80, 100)),
        (Axis("x", Unit.SECONDS), [0, 3600], (0, 900, 1800, 2700, 3600)),
        (Axis("x", Unit.BYTES), [0, 1 << 20], (0, 1 << 18, 1 << 19, 3 << 18, 1 << 20)),
        (Axis("x", Unit.COUNT), [0, 2], (0, 1, 2)),
        (Axis("x", log=True), [100, 10_000], (100, 200, 500, 1000, 2000, 5000, 10_000)),
        (Axis("x", Unit.BYTES, log=True), [1 << 10, 1 << 30], (1 << 10, 1 << 15, 1 << 20, 1 << 25, 1 << 30)),
        (Axis("x", log=True, high=1e7), [100], (1e2, 1e3, 1e4, 1e5, 1e6, 1e7)),
    ],
)
def test_ticks_stand_at_round_values(axis, values, ticks):
    """
    1-2-5 for numbers, the clock's steps for long times, powers of two for bytes, decades on a log axis.
    """
    assert fit(axis, values).ticks == pytest.approx(ticks)


@given(values=st.lists(FINITE, max_size=20), log=st.booleans(), unit=st.sampled_from(Unit))
def test_every_scale_holds_its_values(values, log, unit):
    """
    Whatever the values: bounds in order, ticks few and inside, places between 0 and 1.
    """
    scale = fit(Axis("x", unit, log), values)

    assert scale.low < scale.high
    assert len(scale.ticks) <= TICKS_MAX
    for value in [*values, *scale.ticks]:
        assert 0 <= scale.place(value) <= 1
    for value in values:
        if not log or value > 0:
            room = (scale.high - scale.low) * 1e-6  # Below a pixel.
            assert scale.low - room <= value <= scale.high + room


def test_a_curve_is_drawn_where_its_values_are():
    """
    The ends of a line over two axes stand in the corners; each of few points is a dot with its values.
    """
    root = drawn(svg.lines("T", Axis("x"), Axis("y"), [svg.Line("a", [(0, 0), (10, 10)])]))

    (line,) = root.findall(f"{SVG}polyline")
    (left, bottom), (right, top) = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    assert left < right
    assert bottom > top
    assert [dot.find(f"{SVG}title").text for dot in root.findall(f"{SVG}circle")] == ["a: 0, 0", "a: 10, 10"]
    assert {"T", "x", "y"} <= {element.text for element in root.findall(f"{SVG}text")}


def test_several_curves_have_a_legend_and_one_has_none():
    """
    Colours are named only where there are several.
    """
    curves = [svg.Line("first", [(0, 0), (1, 1)]), svg.Line("second", [(0, 1), (1, 0)])]

    both = [element.text for element in drawn(svg.lines("T", Axis("x"), Axis("y"), curves)).iter()]
    one = [
        element.text for element in drawn(svg.lines("T", Axis("x"), Axis("y"), curves[:1])).iter(f"{SVG}text")
    ]

    assert {"first", "second"} <= set(both)
    assert "first" not in one


def test_names_cannot_leave_their_place():
    """
    Markup in a name is text.
    """
    evil = '</text><script>alert(1)</script>"&'
    plots = [
        svg.lines(evil, Axis(evil), Axis(evil), [svg.Line(evil, [(0, 0), (1, 1)]), svg.Line(evil, [])]),
        svg.bars(evil, Axis(evil), [evil], [svg.Bars(evil, [1.0]), svg.Bars(evil, [None])]),
        svg.histogram(evil, Axis(evil), Axis(evil), [(0, 1, 2)]),
    ]
    for plot in plots:
        assert "script" not in {element.tag.removeprefix(SVG) for element in drawn(plot).iter()}
        assert "<script" not in plot.file()


def test_a_distribution_climbs_to_one():
    """
    A cumulative distribution is a staircase from 0 to 1 that never falls.
    """
    points = svg.cumulative([3.0, 1.0, 2.0, 2.0])

    assert points == [(1.0, 0.25), (2.0, 0.5), (2.0, 0.75), (3.0, 1.0)]
    (line,) = drawn(svg.distribution("T", Axis("x"), [svg.Line("a", points)])).findall(f"{SVG}polyline")
    heights = [float(pair.split(",")[1]) for pair in line.get("points").split()]
    assert heights == sorted(heights, reverse=True)


def test_long_curves_are_thinned_and_keep_their_end():
    """
    A curve of a million points stays a small drawing.
    """
    points = [(float(number), math.sin(number)) for number in range(100_001)]
    for plot in (
        svg.lines("T", Axis("x"), Axis("y"), [svg.Line("a", points)]),
        svg.distribution("T", Axis("x"), [svg.Line("a", svg.cumulative([x for x, _ in points]))]),
    ):
        (line,) = drawn(plot).findall(f"{SVG}polyline")
        assert len(line.get("points").split()) <= svg.POINTS_MAX + 2
        assert float(line.get("points").split()[-1].split(",")[0]) == pytest.approx(svg.WIDTH - 16)


def test_histogram_bars_are_as_high_as_their_bins():
    """
    The highest bin fills the most; an empty one has no height.
    """
    root = drawn(svg.histogram("T", Axis("x"), Axis("y"), [(0, 1, 5), (1, 2, 0), (2, 3, 10)]))

    heights = [float(bar.get("height")) for bar in root.findall(f"{SVG}rect")]
    assert heights[2] == pytest.approx(2 * heights[0], rel=0.01)
    assert heights[1] == 0


def test_bars_show_their_values():
    """
    Each bar has its value beside it; what was not measured has no bar.
    """
    kinds = [svg.Bars("on", [0.99, None]), svg.Bars("off", [0.5, 0.0])]
    root = drawn(svg.bars("T", Axis("success", Unit.RATIO, high=1.0), ["sybil", "eclipse"], kinds))

    words = [element.text for element in root.findall(f"{SVG}text")]
    assert [word for word in words if word in {"99.0 %", "50.0 %", "0.0 %"}] == ["99.0 %", "50.0 %", "0.0 %"]
    assert {"sybil", "eclipse", "on", "off"} <= set(words)


def test_a_file_has_its_own_colours_for_light_and_dark():
    """
    An SVG file needs nothing beside it and follows the reader's colours.
    """
    plot = svg.lines("T", Axis("x"), Axis("y"), [svg.Line("a", [(0, 0), (1, 1)])])

    assert "prefers-color-scheme: dark" in plot.file()
    assert "<style>" not in plot.inline()
    assert plot.file() == plot.file()
    ET.fromstring(plot.file())  # noqa: S314 -- we wrote it
