"""How a measured value is written for people, by what it counts.

Source:  units last in a name (``_s``, ``_bytes``, ``_ratio``), as everywhere in this project.
Bounds:  none needed: a value is a number of ours.
Pure:    no I/O, clock or randomness.
"""

from enum import Enum

SECOND_STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
"""Units of time, largest first, in seconds."""

BYTE_STEPS = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
"""Units of size, largest first, in bytes."""

COUNT_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
"""Short forms of large counts, for the ticks of an axis."""

MINUTES_FROM_S = 120.0
"""From here on a time is written in minutes and more. Our choice: "90 s" reads better than "1.5 min"."""


class Unit(Enum):
    """What a value counts."""

    NUMBER = "number"
    COUNT = "count"
    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"
    """A part of a whole, 0 to 1, written in per cent."""


def unit_of(name: str) -> Unit:
    """Return the unit that the name of a figure tells, by its last words."""
    if name.endswith("_s") and not name.endswith("_per_s"):
        return Unit.SECONDS
    if "_per_" in name and not name.endswith("_s"):
        return Unit.NUMBER
    if name.endswith("_bytes") or "_bytes_" in name:
        return Unit.BYTES
    if name.endswith(("_ratio", "_share")):
        return Unit.RATIO
    return Unit.NUMBER


def text(value: float, unit: Unit) -> str:
    """Write ``value`` with three meaningful digits or more, and its unit."""
    match unit:
        case Unit.SECONDS:
            return _stepped(value, SECOND_STEPS, first=0 if abs(value) >= MINUTES_FROM_S else 3)
        case Unit.BYTES:
            return _stepped(value, BYTE_STEPS)
        case Unit.RATIO:
            return _percent(value)
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.NUMBER:
            return plain(value)


def tick(value: float, unit: Unit) -> str:
    """Write ``value`` as shortly as the tick of an axis wants it."""
    match unit:
        case Unit.SECONDS | Unit.BYTES:
            return text(value, unit)
        case Unit.RATIO:
            return f"{value * 100:.6g} %"
        case Unit.COUNT | Unit.NUMBER:
            for size, name in COUNT_STEPS:
                if abs(value) >= size:
                    return (
                        f"{value / size:.4g} {name}" if name != "k" or abs(value) >= 1e4 else f"{value:,.4g}"
                    )
            return f"{value:.4g}"


def plain(value: float) -> str:
    """Write a bare number: whole ones as they are, others with three meaningful digits."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _percent(value: float) -> str:
    """Write a part in per cent. What is not quite 0 or 100 % is never rounded to it."""
    for digits in (1, 2, 3, 4):
        written = f"{value * 100:.{digits}f}"
        if value in {0.0, 1.0} or float(written) not in {0.0, 100.0}:
            return f"{written} %"
    return f"{value * 100:.6g} %"


def _stepped(value: float, steps: tuple[tuple[float, str], ...], first: int = 0) -> str:
    if value == 0:
        return f"0 {'s' if steps is SECOND_STEPS else 'B'}"
    for size, name in steps[first:]:
        if abs(value) >= size * 0.9995:
            return f"{_digits(value / size)} {name}"
    size, name = steps[-1]
    return f"{_digits(value / size)} {name}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 or abs(value - round(value)) < 1e-9 else f"{value:.3g}"
