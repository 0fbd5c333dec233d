"""What the scaling benchmark of the DHT found, as plots and as a page of the documentation.

Pure: ``dht_scaling.py`` measures and writes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dht_memory import CONNECTION_BYTES, Structure
from kontinuum.sim.report.scale import Axis
from kontinuum.sim.report.svg import Bars, Line, Plot, bars, lines
from kontinuum.sim.report.units import Unit, text

FIT_FROM = 500
"""Nodes from which on the line is fitted: in smaller networks a table holds nearly everybody."""

TARGET = 10_000_000
"""Nodes of the network that the seed document speaks of."""


@dataclass(frozen=True)
class Hops:
    """Lookups in a network of one size."""

    nodes: int
    lookups: int
    success_ratio: float
    hops_mean: float
    hops_most: int
    requests_mean: float
    latency_p50_s: float
    latency_p99_s: float
    table_mean: float
    wall_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class Churn:
    """Lookups in a network whose nodes come and go."""

    session_median_s: float | None
    """How long half of the nodes stay at most; none: all of them for ever."""
    lookups: int
    success_ratio: float
    hops_mean: float
    requests_mean: float
    latency_p50_s: float
    latency_p99_s: float
    record_success_ratio: float
    """Of reads of records that were put before."""


@dataclass(frozen=True)
class Fit:
    """Hops as a line over the logarithm of the number of nodes."""

    base: float
    per_doubling: float
    deviation: float
    """Root of the mean square of what the line misses."""

    def at(self, nodes: float) -> float:
        return self.base + self.per_doubling * math.log2(nodes)


def fitted(points: Sequence[tuple[float, float]]) -> Fit:
    """The least squares line through hops over log2 of the nodes."""
    logs = [math.log2(nodes) for nodes, _ in points]
    x, y = sum(logs) / len(logs), sum(hops for _, hops in points) / len(points)
    spread = sum((log - x) ** 2 for log in logs)
    slope = sum((log - x) * (hops - y) for log, (_, hops) in zip(logs, points, strict=True)) / spread
    fit = Fit(y - slope * x, slope, 0.0)
    missed = sum((fit.at(nodes) - hops) ** 2 for nodes, hops in points) / len(points)
    return Fit(fit.base, slope, math.sqrt(missed))


def line_name(fit: Fit) -> str:
    return f"{fit.base:.2f} + {fit.per_doubling:.3f} log2 N"


def hop_plot(measured: Sequence[Hops], fit: Fit) -> Plot:
    drawn = [float(one.nodes) for one in measured if one.nodes >= FIT_FROM]
    grown = [drawn[0], drawn[-1], TARGET]
    return lines(
        "Hops of a lookup against the size of the network",
        Axis("nodes", Unit.COUNT, log=True, low=100.0, high=float(TARGET)),
        Axis("hops, mean"),
        [
            Line("measured", [(one.nodes, one.hops_mean) for one in measured], joined=False, dots=True),
            Line(
                line_name(fit),
                [(n, fit.at(n)) for n in grown],
                dashed=True,
                dots=False,
            ),
            Line("log2 N", [(n, math.log2(n)) for n in (100, TARGET)], dots=False),
        ],
    )


def request_plot(measured: Sequence[Hops]) -> Plot:
    return lines(
        "Requests of a lookup against the size of the network",
        Axis("nodes", Unit.COUNT, log=True),
        Axis("requests, mean", low=0.0),
        [Line("requests", [(one.nodes, one.requests_mean) for one in measured])],
    )


def latency_plot(measured: Sequence[Hops]) -> Plot:
    return lines(
        "Latency of a lookup against the size of the network",
        Axis("nodes", Unit.COUNT, log=True),
        Axis("latency", Unit.SECONDS, low=0.0),
        [
            Line("median", [(one.nodes, one.latency_p50_s) for one in measured]),
            Line("99 %", [(one.nodes, one.latency_p99_s) for one in measured]),
        ],
    )


def session_name(churn: Churn) -> str:
    if churn.session_median_s is None:
        return "no churn"
    return text(churn.session_median_s, Unit.SECONDS)


def churn_plots(measured: Sequence[Churn]) -> tuple[Plot, Plot]:
    names = [session_name(one) for one in measured]
    success = bars(
        "Success under churn",
        Axis("success", Unit.RATIO, high=1.0),
        names,
        [
            Bars("lookups of peers", [one.success_ratio for one in measured]),
            Bars("reads of records", [one.record_success_ratio for one in measured]),
        ],
    )
    latency = bars(
        "Latency of a lookup under churn",
        Axis("latency", Unit.SECONDS),
        names,
        [
            Bars("median", [one.latency_p50_s for one in measured]),
            Bars("99 %", [one.latency_p99_s for one in measured]),
        ],
    )
    return success, latency


def memory_plot(structures: Sequence[Structure]) -> Plot:
    shown = sorted(structures, key=lambda one: -one.bytes)
    return bars(
        "Bytes of one node, every structure at its cap",
        Axis("bytes", Unit.BYTES, log=True, low=256.0, high=2.0**30),
        [one.name for one in shown],
        [Bars("bytes", [one.bytes for one in shown])],
    )


def plots(report: dict) -> dict[str, Plot]:
    """All plots of a report, by the name of their file."""
    hops = [Hops(**one) for one in report["hops"]]
    success, latency = churn_plots([Churn(**one) for one in report["churn"]])
    return {
        "dht-hops": hop_plot(hops, Fit(**report["fit"])),
        "dht-requests": request_plot(hops),
        "dht-latency": latency_plot(hops),
        "dht-churn-success": success,
        "dht-churn-latency": latency,
        "dht-memory": memory_plot([Structure(**one) for one in report["memory"]]),
    }


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, words: int = 1) -> str:
    """A Markdown table; all but the first ``words`` columns are numbers."""
    lines_ = [header, ["---" if column < words else "---:" for column in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines_)


def hop_table(report: dict) -> str:
    rows = [
        (
            f"{hops.nodes:,}",
            f"{hops.lookups:,}",
            text(hops.success_ratio, Unit.RATIO),
            f"{hops.hops_mean:.2f}",
            hops.hops_most,
            f"{hops.requests_mean:.1f}",
            text(hops.latency_p50_s, Unit.SECONDS),
            text(hops.latency_p99_s, Unit.SECONDS),
            f"{hops.table_mean:.0f}",
        )
        for hops in (Hops(**one) for one in report["hops"])
    ]
    header = ("nodes", "lookups", "success", "hops", "most", "requests", "median", "99 %", "peers in a table")
    return table(header, rows, words=0)


def churn_table(report: dict) -> str:
    rows = [
        (
            session_name(churn),
            f"{churn.lookups:,}",
            text(churn.success_ratio, Unit.RATIO),
            text(churn.record_success_ratio, Unit.RATIO),
            f"{churn.hops_mean:.2f}",
            f"{churn.requests_mean:.1f}",
            text(churn.latency_p50_s, Unit.SECONDS),
            text(churn.latency_p99_s, Unit.SECONDS),
        )
        for churn in (Churn(**one) for one in report["churn"])
    ]
    header = ("half stay for", "lookups", "success", "records read", "hops", "requests", "median", "99 %")
    return table(header, rows)


def memory_table(report: dict) -> str:
    structures = [Structure(**one) for one in report["memory"]]
    rows = [
        (
            one.name,
            one.what,
            f"{one.entries:,}",
            f"{one.bytes_per_entry:,.0f}",
            text(one.bytes, Unit.BYTES) if one.counted else f"({text(one.bytes, Unit.BYTES)})",
        )
        for one in structures
    ]
    total = sum(one.bytes for one in structures if one.counted)
    rows.append(("sum", "without those in brackets", "", "", text(total, Unit.BYTES)))
    return table(("structure", "filled with", "entries", "bytes each", "bytes"), rows, words=2)


def seed_table(report: dict) -> str:
    """The seed document's table, with what was measured beside it."""
    by_name = {one["name"]: Structure(**one) for one in report["memory"]}
    fit, largest = Fit(**report["fit"]), Hops(**report["hops"][-1])

    def size(name: str) -> str:
        return f"{text(by_name[name].bytes, Unit.BYTES)} for {by_name[name].entries:,}"

    total = sum(one.bytes for one in by_name.values() if one.counted)
    entry = by_name["routing table"].bytes_per_entry
    rows = [
        (
            "routing table, every bucket full",
            "640 KB for 5,120",
            size("routing table"),
            f"worse: {entry:,.0f} B each; 125 B cannot hold a contact with its signature and proof of work",
        ),
        (
            "routing table among ten million",
            "the same",
            size("routing table, 10 M nodes"),
            "as large as claimed: only some two dozen of 256 buckets find anybody",
        ),
        ("round trips by prefix", "1 MB", size("latency tiers"), "better"),
        (
            "peers to recover with",
            "13 KB for 100",
            size("peers saved over a restart"),
            "more of them, with all that is needed to dial and to believe them",
        ),
        (
            "connections",
            "200 KB for 1,000",
            size("connections"),
            f"worse: {CONNECTION_BYTES:,} B each, with the buffers of QUIC; 200 B are a cache's entry",
        ),
        (
            "records for others",
            "100,000 entries",
            size("record store, small records"),
            "bounded in bytes, not in entries, so that large ones cannot exceed it",
        ),
        (
            "all together",
            "5 MB",
            text(total, Unit.BYTES),
            "worse if everything is full at once, which takes thousands of connections and a full store",
        ),
        (
            f"hops among {largest.nodes:,}",
            f"{math.log2(largest.nodes):.1f}",
            f"{largest.hops_mean:.2f}",
            "better: log2 N is the bound for one peer in each bucket",
        ),
        ("hops among ten million", "23", f"{fit.at(TARGET):.1f}", "better, by the fitted line; not measured"),
    ]
    return table(("what", "seed document", "measured", "so"), rows, words=4)


def hops_note(report: dict) -> str:
    """What is to be said of the networks of several sizes, if they were not measured with all else."""
    note = report.get("hops_note", "")
    return f"\n\n{note}" if note else ""


def page(report: dict) -> str:
    """The page of the documentation."""
    fit = Fit(**report["fit"])
    return f"""# How the DHT scales

Written by `benchmarks/dht_scaling.py --out docs` (Python {report["python"]}); the figures are in
[dht-scaling.json](dht-scaling.json). Hops, requests and success follow from the seed of the simulation and
are the same on every machine.

## Hops

Networks that have run for long, {report["hops"][0]["lookups"]:,} lookups of random peers in each. Hops are
the longest chain of peers, each named by the one before, from the asker's table to a peer that was found.
Latency is that between hosts all over the world, until the 20 closest have answered.{hops_note(report)}

{hop_table(report)}

![Hops against nodes, the fitted line drawn up to ten million](images/dht-hops.svg)

The line through the networks of {FIT_FROM} nodes and more is **{line_name(fit)}** hops; it misses what was
measured by {fit.deviation:.3f} (root mean square). Drawn on to ten million nodes it says
**{fit.at(TARGET):.1f} hops**. That is an extrapolation over three decades: nothing here was measured beyond
{report["hops"][-1]["nodes"]:,} nodes.

![Requests of a lookup against nodes](images/dht-requests.svg)
![Latency of a lookup against nodes](images/dht-latency.svg)

## Churn

{report["churn_nodes"]:,} nodes, of which half leave within the time shown, half of those without a word;
others come for them. At the start one entry of a table in twenty is dead. Records were put before and are
read by others.

{churn_table(report)}

![Success under churn](images/dht-churn-success.svg)
![Latency under churn](images/dht-churn-latency.svg)

## Memory

Every structure of one node filled to its cap, alone, and what Python then holds for it
(`benchmarks/dht_memory.py`). Some keep the same peers, so the sum is more than a node can take.

{memory_table(report)}

![Bytes of every structure at its cap](images/dht-memory.svg)

## Beside the table of the seed document

{seed_table(report)}
"""
