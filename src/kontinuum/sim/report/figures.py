"""The figures of a result as one flat list: name, value, unit, and whether more or less is better.

Works on the JSON of a result, so that results of other versions, with more or fewer figures, can be read.

Bounds:  as many figures as the result has.
Trust:   a result file comes from whoever runs the simulator; what is no number is no figure.
Pure:    no I/O, clock or randomness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kontinuum.sim.report.units import Unit, text, unit_of


class Better(Enum):
    """Which way a figure is good."""

    MORE = "more"
    LESS = "less"
    NEITHER = "neither"
    """Depends on what the scenario wants to show."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of a result."""

    name: str
    """As in the JSON, with dots: ``operations.get.success_ratio``."""
    value: float

    @property
    def unit(self) -> Unit:
        """What it counts."""
        last = self.name.rpartition(".")[2]
        return Unit.COUNT if last in _COUNTS else unit_of(last)

    @property
    def better(self) -> Better:
        """Which way it is good."""
        last = self.name.rpartition(".")[2]
        return (
            _BETTER.get(last, Better.NEITHER) if self.name.partition(".")[0] != "attack" else Better.NEITHER
        )

    @property
    def noisy(self) -> bool:
        """Whether two runs of the same seed differ in it: it depends on the machine, not on the scenario."""
        return self.name in _NOISY

    def __str__(self) -> str:
        return text(self.value, self.unit)


_BETTER = {
    "success_ratio": Better.MORE,
    "hops_mean": Better.LESS,
    "requests_mean": Better.LESS,
    "latency_p50_s": Better.LESS,
    "latency_p90_s": Better.LESS,
    "latency_p99_s": Better.LESS,
    "delivery_ratio": Better.MORE,
    "worst_delivery_ratio": Better.MORE,
    "duplicates_per_delivery": Better.LESS,
    "bytes_sent_per_byte_delivered": Better.LESS,
    "wall_s": Better.LESS,
    "peak_rss_bytes": Better.LESS,
}

_COUNTS = frozenset(
    ["seed", "nodes", "hostile", "published", "lookups", "events", "messages", "count", "succeeded"],
)

_NOISY = frozenset(["wall_s", "peak_rss_bytes"])

_LISTS = frozenset(["hops", "latencies_s"])
"""Entries of an operation that are distributions."""

_OF_SUCCESSES = frozenset(["hops_mean", "latency_p50_s", "latency_p90_s", "latency_p99_s"])
"""Figures over the operations that succeeded: none of them if none did."""

OPERATION_FIGURES = (
    "count",
    "success_ratio",
    "hops_mean",
    "requests_mean",
    "latency_p50_s",
    "latency_p90_s",
    "latency_p99_s",
)
"""What a table shows of each kind of operation, in this order."""

LABELS = {
    "success_ratio": "success",
    "delivery_ratio": "delivered",
    "worst_delivery_ratio": "delivered, worst message",
    "published": "messages published",
    "duplicates_per_delivery": "duplicates per delivery",
    "bytes_sent_per_byte_delivered": "bytes sent per byte delivered",
    "lookups": "lookups",
    "hops_mean": "hops, mean",
    "requests_mean": "requests, mean",
    "latency_p50_s": "latency, median",
    "latency_p90_s": "latency, 90 %",
    "latency_p99_s": "latency, 99 %",
    "nodes": "honest nodes",
    "hostile": "hostile identities",
    "simulated_s": "simulated time",
    "messages": "requests delivered",
    "events": "events",
    "wall_s": "time it took",
    "peak_rss_bytes": "memory at most",
    "count": "operations",
    "succeeded": "succeeded",
}
"""What people read for the last word of a name."""

KEY_FIGURES = (
    "delivery_ratio",
    "worst_delivery_ratio",
    "published",
    "duplicates_per_delivery",
    "bytes_sent_per_byte_delivered",
    "success_ratio",
    "lookups",
    "hops_mean",
    "latency_p50_s",
    "latency_p99_s",
    "nodes",
    "hostile",
    "simulated_s",
    "messages",
    "events",
    "wall_s",
    "peak_rss_bytes",
)
"""What a report begins with, in this order."""


def label(name: str) -> str:
    """Return what people read for the name of a figure."""
    head, dot, last = name.rpartition(".")
    words = LABELS.get(last, last.replace("_", " "))
    return f"{head.removeprefix('operations.')}: {words}" if dot else words


def flat(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Return every figure of a result by its name: the key figures, then operations, counters, attack."""
    names = [*KEY_FIGURES, *(name for name in result if name not in KEY_FIGURES and name != "seed")]
    failed = "lookups" in result and not (result["lookups"] and result.get("success_ratio"))
    found = [_figure(name, result.get(name)) for name in names if not (failed and name in _OF_SUCCESSES)]
    operations = result.get("operations")
    if isinstance(operations, Mapping):
        for kind, one in operations.items():
            if isinstance(one, Mapping):
                left_out = _LISTS if one.get("succeeded") else _LISTS | _OF_SUCCESSES
                found += [
                    _figure(f"operations.{kind}.{name}", value)
                    for name, value in one.items()
                    if name not in left_out
                ]
    for group in ("counters", "attack"):
        values = result.get(group)
        if isinstance(values, Mapping):
            found += [_figure(f"{group}.{name}", value) for name, value in values.items()]
    return {figure.name: figure for figure in found if figure is not None}


def operation_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each kind of operation that there was: its kind, and OPERATION_FIGURES as text."""
    figures = flat(result)
    rows = []
    for kind in result.get("operations", ()):
        cells = [figures.get(f"operations.{kind}.{name}") for name in OPERATION_FIGURES]
        if cells[0] is not None and cells[0].value:
            rows.append((kind, *("-" if cell is None else str(cell) for cell in cells)))
    return rows


def settings(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that a run had, flat, as text: ``workload.lookups``, ``hostile[0].kind``."""
    rows: dict[str, str] = {}
    _flatten(rows, "", result.get("settings", {}))
    for name in ("seed", "nodes"):  # Of the run: the command line may have given others than the file.
        if name in result:
            rows[name] = _value(result[name])
    defences = result.get("defences")
    if isinstance(defences, Mapping):
        rows.update({f"defences.{name}": _value(on) for name, on in defences.items()})
    for name in ("name", "description"):
        rows.pop(name, None)
    return rows


def _figure(name: str, value: object) -> Figure | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Figure(name, float(value))


def _flatten(rows: dict[str, str], place: str, value: object) -> None:
    if isinstance(value, Mapping) and (value or not place):
        for name, inner in value.items():
            _flatten(rows, f"{place}.{name}" if place else str(name), inner)
    elif isinstance(value, list | tuple) and value and all(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            _flatten(rows, f"{place}[{number}]", inner)
    else:
        rows[place] = _value(value)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(str, value)) or "none"
        case dict() | None | "":
            return "none"
    return str(value)
