"""What the transport benchmark asks for, and how measured figures become ratios, verdicts and a table.

Source: the issue that built the transport: its table of least factors.
Pure:   no clock, process or file; ``transport.py`` measures and prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

CONTESTANTS = ("kontinuum", "aioquic", "rust")
"""In the order in which every round runs them."""

UNITS = {
    "rpc_seq_per_s": "calls/s, one at a time",
    "rpc_50_per_s": "calls/s, 50 in flight",
    "rpc_500_per_s": "calls/s, 500 in flight",
    "bulk_mb_per_s": "MB/s, one stream, 64 KiB writes",
    "handshakes_per_s": "full handshakes/s, one at a time",
    "idle_conn_bytes": "resident bytes per idle connection",
}
"""Each key of the report and what it counts. MB is 10^6 bytes."""

LESS_IS_BETTER = frozenset({"idle_conn_bytes"})
"""Keys whose least figure is the best."""

Figures = dict[str, float | None]
"""One contestant's figure by key; none where it was not measured."""


@dataclass(frozen=True)
class Requirement:
    """One cell of the issue's table."""

    key: str
    against: str | None
    """The contestant our figure is divided by; none for a figure that stands alone."""
    bound: float
    """At least this, or at most this where less is better."""

    def verdict(self, measured: float | None) -> bool | None:
        """Tell if ``measured`` satisfies; none when it is none."""
        if measured is None:
            return None
        return measured < self.bound if self.key in LESS_IS_BETTER else measured >= self.bound


REQUIREMENTS = (
    Requirement("rpc_seq_per_s", "aioquic", 4.5),
    Requirement("rpc_seq_per_s", "rust", 0.7),
    Requirement("rpc_50_per_s", "aioquic", 18.0),
    Requirement("rpc_500_per_s", "aioquic", 50.0),
    Requirement("bulk_mb_per_s", "aioquic", 25.0),
    Requirement("bulk_mb_per_s", "rust", 0.8),
    Requirement("handshakes_per_s", "aioquic", 6.0),
    Requirement("idle_conn_bytes", None, 60_000.0),
)
"""The issue's table; the last one is bytes on the side that holds more."""


def medians(samples: Mapping[str, Sequence[float]]) -> Figures:
    """Reduce every key's runs to their median; a key without runs becomes none."""
    return {key: median(samples[key]) if samples.get(key) else None for key in UNITS}


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Divide ours by theirs; none if either was not measured or theirs is zero."""
    return ours / theirs if ours is not None and theirs else None


def ratios(results: Mapping[str, Figures]) -> dict[str, dict[str, float | None]]:
    """Give, for every key, our figure divided by each other contestant's."""
    ours = results["kontinuum"]
    others = CONTESTANTS[1:]
    return {key: {name: ratio(ours[key], results[name][key]) for name in others} for key in UNITS}


def checks(results: Mapping[str, Figures]) -> list[dict[str, object]]:
    """Hold the results against :data:`REQUIREMENTS`, in that order."""
    divided = ratios(results)
    rows = []
    for wanted in REQUIREMENTS:
        ours = results["kontinuum"][wanted.key]
        measured = ours if wanted.against is None else divided[wanted.key][wanted.against]
        rows.append(
            {
                "key": wanted.key,
                "against": wanted.against,
                "bound": wanted.bound,
                "measured": measured,
                "passed": wanted.verdict(measured),
            }
        )
    return rows


def build(
    samples: Mapping[str, Mapping[str, Sequence[float]]],
    machine: Mapping[str, object],
    method: Mapping[str, object],
) -> dict[str, object]:
    """Make the report of all runs: ``samples`` by contestant and key."""
    results = {name: medians(samples.get(name, {})) for name in CONTESTANTS}
    rows = checks(results)
    extra = {name: medians(runs) for name, runs in samples.items() if name not in CONTESTANTS}
    return {
        **results,
        **extra,
        "ratios": ratios(results),
        "checks": rows,
        "passed": all(row["passed"] is True for row in rows),
        "samples": {name: {key: list(runs) for key, runs in keys.items()} for name, keys in samples.items()},
        "machine": dict(machine),
        "method": dict(method),
    }


def figure(value: float | None, unit: str = "") -> str:
    """Write a figure with the digits that mean something."""
    if value is None:
        return "-"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}{unit}"


def table(report: Mapping[str, dict]) -> str:
    """Lay the report out as plain text."""
    shown = [*CONTESTANTS, *(name for name in report["samples"] if name not in CONTESTANTS)]
    lines = [f"{'median':38}" + "".join(f"{name:>12}" for name in shown)]
    for key, unit in UNITS.items():
        cells = "".join(f"{figure(report[name][key]):>12}" for name in shown)
        lines.append(f"{unit:38}{cells}")
    lines += ["", f"{'kontinuum against':38}{'':12}{'measured':>12}{'wanted':>14}"]
    for row in report["checks"]:
        against = row["against"] or ""
        unit = "x" if against else ""
        word = "below " if row["key"] in LESS_IS_BETTER else "at least "
        verdict = {True: "ok", False: "MISSED", None: "not measured"}[row["passed"]]
        measured, bound = figure(row["measured"], unit), word + f"{row['bound']:,g}{unit}"
        lines.append(f"{UNITS[row['key']]:38}{against:>12}{measured:>12}{bound:>16}  {verdict}")
    return "\n".join(lines)
