"""What the DHT benchmark asks for, and how measured figures become verdicts and a table.

Source: the issue that built the DHT: its targets. The other systems' figures were measured on the same kind
        of machine, all 50 nodes in one process: medians of three runs.
Pure:   no clock, process or file; ``dht.py`` measures and prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

NODES = 50
"""Nodes of the network that is measured, as in the figures of the others."""

OPERATIONS = ("join", "publish", "resolve", "put", "get")
"""What is timed one at a time; ``dht_peer.py`` says what each of them does."""

UNITS = {
    "lookups_per_s": "lookups/s of one node, 16 at once",
    "lookups_one_per_s": "lookups/s of one node, one at a time",
    "resolves_per_s": "peers found/s by one node, 16 at once",
    "search_per_s": "lookups/s, the search alone",
    "search_one_path_per_s": "lookups/s, the search alone, one path",
    "machine_per_s": "lookups/s, the whole machine",
    "entry_bytes": "bytes of a routing table entry",
    "peer_bytes": "bytes of a peer, shared by tables",
    "join_all_s": f"s, until all {NODES} have joined",
    **{
        f"{operation}_{part}_ms": f"ms, {operation}, {words}"
        for operation in OPERATIONS
        for part, words in (("p50", "median"), ("p99", "99th percentile"))
    },
    "failed": "operations that failed",
}
"""Each key of the report and what it counts."""

OTHERS = {
    "korium": {
        "join_all_s": 0.15,
        "publish_p50_ms": 4.5,
        "publish_p99_ms": 15.3,
        "resolve_p50_ms": 2.7,
        "resolve_p99_ms": 6.3,
        "put_p50_ms": 1.9,
        "put_p99_ms": 7.6,
        "get_p50_ms": 1.2,
        "get_p99_ms": 3.7,
    },
    "go-libp2p": {
        "join_all_s": 3.4,
        "put_p50_ms": 4.0,
        "put_p99_ms": 16.0,
        "get_p50_ms": 3.3,
        "get_p99_ms": 13.0,
    },
}
"""Korium 0.2.4, and go-libp2p-kad-dht 0.42.1, whose nodes also refreshed their tables to count as joined, and
found peers in their own list of addresses, which is no figure of the network."""

Samples = Mapping[str, Sequence[float]]
"""Every run's figure, by key."""

Figures = dict[str, float | None]
"""Medians; none where nothing was measured."""


@dataclass(frozen=True)
class Target:
    """One figure that the issue asks for: at least ``bound``, or below it."""

    key: str
    bound: float
    below: bool = False

    def verdict(self, measured: float | None) -> bool | None:
        """Tell if ``measured`` satisfies; none when it is none."""
        if measured is None:
            return None
        return measured < self.bound if self.below else measured >= self.bound


TARGETS = (
    Target("lookups_per_s", 500.0),
    Target("search_per_s", 3000.0),
    Target("resolve_p50_ms", 2.5, below=True),
    Target("failed", 1.0, below=True),
)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies, of those that were seen."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def percentiles(operation: str, took_ms: Sequence[float]) -> dict[str, float]:
    """The two figures of an operation; none if it never succeeded."""
    if not took_ms:
        return {}
    return {
        f"{operation}_p50_ms": quantile(took_ms, 0.5),
        f"{operation}_p99_ms": quantile(took_ms, 0.99),
    }


def medians(samples: Samples) -> Figures:
    """Reduce every key's runs to their median; a key without runs becomes none."""
    return {key: median(samples[key]) if samples.get(key) else None for key in UNITS}


def checks(figures: Figures) -> list[dict[str, object]]:
    """Hold the figures against :data:`TARGETS`, in that order."""
    return [
        {
            "key": target.key,
            "bound": target.bound,
            "below": target.below,
            "measured": figures[target.key],
            "passed": target.verdict(figures[target.key]),
        }
        for target in TARGETS
    ]


def build(samples: Samples, machine: Mapping[str, object], method: Mapping[str, object]) -> dict[str, object]:
    """Make the report of all runs."""
    figures = medians(samples)
    if samples.get("failed"):
        figures["failed"] = sum(samples["failed"])  # One that failed in one round of three is not none.
    rows = checks(figures)
    return {
        "figures": figures,
        "others": OTHERS,
        "checks": rows,
        "passed": all(row["passed"] is True for row in rows),
        "samples": {key: list(runs) for key, runs in samples.items()},
        "machine": dict(machine),
        "method": dict(method),
    }


def figure(value: float | None) -> str:
    """Write a figure with the digits that mean something."""
    if value is None:
        return "-"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def table(report: Mapping[str, dict]) -> str:
    """Lay the report out as plain text."""
    others = report["others"]
    lines = [f"{'median':40}{'kontinuum':>12}" + "".join(f"{name:>12}" for name in others)]
    for key, unit in UNITS.items():
        cells = "".join(f"{figure(values.get(key)):>12}" for values in others.values())
        lines.append(f"{unit:40}{figure(report['figures'][key]):>12}{cells}".rstrip())
    lines += ["", f"{'':40}{'measured':>12}{'wanted':>18}"]
    for row in report["checks"]:
        verdict = {True: "ok", False: "MISSED", None: "not measured"}[row["passed"]]
        bound = ("below " if row["below"] else "at least ") + f"{row['bound']:,g}"
        lines.append(f"{UNITS[row['key']]:40}{figure(row['measured']):>12}{bound:>18}  {verdict}")
    return "\n".join(lines)
