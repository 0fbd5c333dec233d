"""Axes: from values to places between 0 and 1, and where the ticks stand.

Source:  the 1-2-5 series; powers of two for bytes and the clock's own steps for long times.
Bounds:  TICKS_MAX ticks on an axis.
Pure:    no I/O, clock or randomness.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kontinuum.sim.report.units import Unit

TICKS_WANTED = 5
"""Intervals between ticks that an axis aims at. Our choice: readable on a phone."""

TICKS_MAX = 12
"""Ticks that an axis has at most. Our choice; a log axis over more decades skips some."""

NARROW = 1e-6
"""Values that differ by less, relatively, are one value on an axis. Our choice: below a pixel."""

CLOCK_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Steps between ticks of a time axis of more than some minutes, in seconds. Beyond: whole days."""


_Series = Callable[[float, float], list[float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows."""

    label: str
    unit: Unit = Unit.NUMBER
    log: bool = False
    low: float | None = None
    """Where it begins; ``None``: where the values do, and 0 when they are not far from it."""
    high: float | None = None
    """Where it ends; ``None``: where the values do."""


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis with its bounds and ticks."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return where ``value`` stands: 0 at the low end, 1 at the high end; never outside."""
        if self.log:
            if value <= self.low:
                return 0.0
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(max(part, 0.0), 1.0)


def fit(axis: Axis, values: Iterable[float]) -> Scale:
    """Return a scale that holds ``values``, with round ticks. On a log axis only positive values count."""
    usable = [value for value in values if math.isfinite(value) and (value > 0 or not axis.log)]
    low = axis.low if axis.low is not None else min(usable, default=1.0 if axis.log else 0.0)
    high = axis.high if axis.high is not None else max(usable, default=low)
    if axis.log:
        return _fit_log(axis, low, high)
    if axis.low is None and 0 < low < 0.5 * high:
        low = 0.0
    if high - low <= max(abs(low), abs(high)) * NARROW:  # One value, as far as anybody can see.
        high = low + (abs(low) or 1.0)
    step = _step(high - low, axis.unit)
    begin = low if axis.low is not None else math.floor(low / step + 1e-9) * step
    end = high if axis.high is not None else math.ceil(high / step - 1e-9) * step
    first = math.ceil(begin / step - 1e-9)
    ticks = tuple(n * step for n in range(first, first + TICKS_MAX) if n * step <= end + step * 1e-6)
    return Scale(begin, end, log=False, ticks=ticks)


def _fit_log(axis: Axis, low: float, high: float) -> Scale:
    if high <= low * (1 + NARROW):
        low, high = low / 2, high * 2
    series = _BINARY if axis.unit is Unit.BYTES else _DECIMAL
    marks = series[0](low, high)
    begin = low if axis.low is not None else max(mark for mark in marks if mark <= low * 1.000001)
    end = high if axis.high is not None else min(mark for mark in marks if mark >= high * 0.999999)
    for every in series:
        ticks = [mark for mark in every(begin, end) if begin * 0.999999 <= mark <= end * 1.000001]
        if len(ticks) <= TICKS_WANTED + 2:
            break
    skip = math.ceil(len(ticks) / TICKS_MAX) or 1
    return Scale(begin, end, log=True, ticks=tuple(ticks[::skip]))


def _digits(*digits: int) -> _Series:
    """Return what lists those digits of every decade around some bounds."""

    def series(low: float, high: float) -> list[float]:
        first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
        return [digit * 10.0**power for power in range(first, last + 1) for digit in digits]

    return series


def _powers(base: int) -> _Series:
    """Return what lists the powers of ``base`` around some bounds."""

    def series(low: float, high: float) -> list[float]:
        first, last = math.floor(math.log(low, base)) - 1, math.ceil(math.log(high, base)) + 1
        return [float(base) ** power for power in range(first, last + 1)]

    return series


_DECIMAL = (_digits(1, 2, 5), _digits(1, 3), _digits(1))
_BINARY = (_powers(2), _powers(4), _powers(32), _powers(1024))


def _step(span: float, unit: Unit) -> float:
    """Return a round distance between ticks for an axis of that length."""
    wanted = span / TICKS_WANTED
    if unit is Unit.SECONDS and wanted > 30:
        days = math.ceil(wanted / 86400)
        return float(next((step for step in CLOCK_STEPS_S if step >= wanted), 86400 * days))
    if unit is Unit.BYTES and wanted >= 1:
        return 2.0 ** math.ceil(math.log2(wanted))
    if unit is Unit.COUNT and wanted < 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= wanted * 0.999999)
