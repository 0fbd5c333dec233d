"""How does the DHT scale? Memory of a node, hops of a lookup against the size of the network, and churn.

Memory: every structure filled to its cap (``dht_memory.py``). Hops: the simulator, from 100 to 10,000 nodes,
and a line fitted through them, drawn up to ten million. Churn: the same network while its nodes come and go,
from not at all to sessions of a few minutes. Prints the seed document's table with our figures beside it.

``--out DIR`` writes ``dht-scaling.json`` and one SVG for each plot (``images/dht-*.svg``); ``--quick`` takes
small networks and few lookups, to see that it works; ``--from FILE`` draws again what was measured before.
"""

import argparse
import json
import math
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import dht_memory
from kontinuum.sim.report.scale import Axis
from kontinuum.sim.report.svg import Bars, Line, Plot, bars, lines
from kontinuum.sim.report.units import Unit, text
from kontinuum.sim.result import Result
from kontinuum.sim.run import run
from kontinuum.sim.scenario import ChurnSettings, Scenario, Workload

SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)
"""Nodes of the networks whose lookups are counted."""

FIT_FROM = 500
"""Nodes from which on the line is fitted: in smaller networks a table holds nearly everybody."""

LOOKUPS = 2000
"""Lookups in each network."""

SESSIONS_MIN = (None, 120, 60, 30, 15, 8, 4)
"""Median minutes that a node stays, in the networks with churn; none: for ever."""

CHURN_DURATION_S = 600.0
"""Simulated seconds in which their lookups are counted."""

CHURN_NODES = 1000
"""Nodes of the networks with churn."""

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


def size_scenario(nodes: int, lookups: int) -> Scenario:
    return Scenario(
        name=f"size-{nodes}",
        nodes=nodes,
        settle_s=10.0,
        duration_s=120.0,
        workload=Workload(lookups=lookups),
    )


def churn_scenario(nodes: int, session_min: float | None, lookups: int, duration_s: float) -> Scenario:
    churn = ChurnSettings()
    if session_min is not None:
        churn = ChurnSettings(
            model="exponential", median_session_s=60.0 * session_min, offline_share=0.3, stale_share=0.05
        )
    workload = Workload(lookups=lookups, records=100, gets=lookups // 2)
    return Scenario(
        name=f"churn-{session_min}",
        nodes=nodes,
        settle_s=60.0,
        duration_s=duration_s,
        workload=workload,
        churn=churn,
    )


def measured_hops(result: Result) -> Hops:
    find = result.operations["find"]
    return Hops(
        nodes=result.nodes,
        lookups=find.count,
        success_ratio=find.success_ratio,
        hops_mean=find.hops_mean,
        hops_most=max(map(int, find.hops), default=0),
        requests_mean=find.requests_mean,
        latency_p50_s=find.latency_p50_s,
        latency_p99_s=find.latency_p99_s,
        table_mean=result.series.table_mean[-1],
        wall_s=result.wall_s,
        peak_rss_bytes=result.peak_rss_bytes,
    )


def measured_churn(session_min: float | None, result: Result) -> Churn:
    find, get = result.operations["find"], result.operations["get"]
    return Churn(
        session_median_s=None if session_min is None else 60.0 * session_min,
        lookups=find.count,
        success_ratio=find.success_ratio,
        hops_mean=find.hops_mean,
        requests_mean=find.requests_mean,
        latency_p50_s=find.latency_p50_s,
        latency_p99_s=find.latency_p99_s,
        record_success_ratio=get.success_ratio,
    )


def each_in_its_process(scenarios: Sequence[Scenario], jobs: int) -> Iterable[Result]:
    """Run each in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for scenario, result in zip(scenarios, pool.map(run, scenarios), strict=True):
            found = result.operations["find"]
            print(
                f"{scenario.name}: {found.count} lookups, {found.success_ratio:.2%} succeed, "
                f"{found.hops_mean:.2f} hops, {result.wall_s:.0f} s",
                file=sys.stderr,
            )
            yield result


def hop_plot(measured: Sequence[Hops], fit: Fit) -> Plot:
    drawn = [float(one.nodes) for one in measured if one.nodes >= FIT_FROM]
    grown = [drawn[0], drawn[-1], TARGET]
    return lines(
        "Hops of a lookup against the size of the network",
        Axis("nodes", Unit.COUNT, log=True, low=SIZES[0], high=float(TARGET)),
        Axis("hops, mean"),
        [
            Line("measured", [(one.nodes, one.hops_mean) for one in measured], joined=False, dots=True),
            Line(
                f"{fit.base:.2f} + {fit.per_doubling:.3f} log2 N",
                [(n, fit.at(n)) for n in grown],
                dashed=True,
                dots=False,
            ),
            Line("log2 N", [(n, math.log2(n)) for n in (SIZES[0], TARGET)], dots=False),
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
    return text(churn.session_median_s, Unit.SECONDS) + " sessions"


def churn_plots(measured: Sequence[Churn]) -> tuple[Plot, Plot]:
    names = [session_name(one) for one in measured]
    success = bars(
        f"Success under churn, {CHURN_NODES:,} nodes",
        Axis("success", Unit.RATIO, high=1.0),
        names,
        [
            Bars("lookups of peers", [one.success_ratio for one in measured]),
            Bars("reads of records", [one.record_success_ratio for one in measured]),
        ],
    )
    latency = bars(
        f"Latency of a lookup under churn, {CHURN_NODES:,} nodes",
        Axis("latency", Unit.SECONDS),
        names,
        [
            Bars("median", [one.latency_p50_s for one in measured]),
            Bars("99 %", [one.latency_p99_s for one in measured]),
        ],
    )
    return success, latency


def memory_plot(structures: Sequence[dht_memory.Structure]) -> Plot:
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
        "dht-memory": memory_plot([dht_memory.Structure(**one) for one in report["memory"]]),
    }


def seed_table(report: dict) -> str:
    """The seed document's table, with what was measured beside it."""
    by_name = {one["name"]: dht_memory.Structure(**one) for one in report["memory"]}
    fit, hops = Fit(**report["fit"]), [Hops(**one) for one in report["hops"]]

    def size(name: str) -> str:
        return f"{text(by_name[name].bytes, Unit.BYTES)} for {by_name[name].entries:,}"

    total = sum(one.bytes for one in by_name.values() if one.counted)
    largest = hops[-1]
    at_rest = by_name["routing table, 10 M nodes"]
    rows = [
        ("what", "seed document", "measured", ""),
        ("routing table at its cap", "640 KB for 5,120", size("routing table"), "worse"),
        ("  as 10 M nodes fill it", "the same", size("routing table, 10 M nodes"), ""),
        ("  of one entry", "125 B", f"{at_rest.bytes_per_entry:,.0f} B", "worse"),
        ("RTT by prefix", "1 MB", size("latency tiers"), "better"),
        ("peers to recover with", "13 KB for 100", size("peers saved over a restart"), "more of them"),
        ("connections", "200 KB for 1,000", size("connections"), "worse"),
        ("a connection", "200 B", f"{dht_memory.CONNECTION_BYTES:,} B", "worse"),
        ("records for others", "100,000 entries", size("record store, small records"), ""),
        ("all structures at their caps", "5 MB", text(total, Unit.BYTES), "worse"),
        (
            "hops at 10,000 nodes",
            f"{math.log2(10_000):.1f}",
            f"{largest.hops_mean:.2f} at {largest.nodes:,}",
            "better",
        ),
        ("hops at 10 M nodes", "23", f"{fit.at(TARGET):.1f}, extrapolated", "better"),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def row(cells: Sequence[object], widths: Sequence[int]) -> str:
    return "".join(str(cell).rjust(width) for cell, width in zip(cells, widths, strict=True))


def hop_table(report: dict) -> str:
    widths = (8, 9, 10, 7, 6, 10, 9, 9, 7)
    header = ("nodes", "lookups", "success", "hops", "most", "requests", "median", "99 %", "table")
    shown = [row(header, widths)]
    for hops in (Hops(**one) for one in report["hops"]):
        cells = (
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
        shown.append(row(cells, widths))
    fit = Fit(**report["fit"])
    shown.append(
        f"from {FIT_FROM} nodes: {fit.base:.2f} + {fit.per_doubling:.3f} log2 N, which misses by "
        f"{fit.deviation:.3f}; at {TARGET:,}: {fit.at(TARGET):.1f}"
    )
    return "\n".join(shown)


def churn_table(report: dict) -> str:
    widths = (18, 9, 10, 10, 7, 10, 9, 9)
    header = ("sessions", "lookups", "success", "records", "hops", "requests", "median", "99 %")
    shown = [row(header, widths)]
    for churn in (Churn(**one) for one in report["churn"]):
        cells = (
            session_name(churn),
            f"{churn.lookups:,}",
            text(churn.success_ratio, Unit.RATIO),
            text(churn.record_success_ratio, Unit.RATIO),
            f"{churn.hops_mean:.2f}",
            f"{churn.requests_mean:.1f}",
            text(churn.latency_p50_s, Unit.SECONDS),
            text(churn.latency_p99_s, Unit.SECONDS),
        )
        shown.append(row(cells, widths))
    return "\n".join(shown)


def measure(*, quick: bool, jobs: int) -> dict:
    """Do everything; return the report."""
    sizes = SIZES[:4] if quick else SIZES
    lookups = LOOKUPS // 10 if quick else LOOKUPS
    sessions = SESSIONS_MIN[:3] if quick else SESSIONS_MIN
    churn_nodes, duration_s = (200, 300.0) if quick else (CHURN_NODES, CHURN_DURATION_S)
    memory = dht_memory.measure()
    by_size = each_in_its_process([size_scenario(nodes, lookups) for nodes in sizes], jobs)
    hops = [measured_hops(result) for result in by_size]
    by_session = each_in_its_process(
        [churn_scenario(churn_nodes, session, lookups, duration_s) for session in sessions], jobs
    )
    churn = [measured_churn(session, result) for session, result in zip(sessions, by_session, strict=True)]
    fit = fitted([(one.nodes, one.hops_mean) for one in hops if one.nodes >= FIT_FROM])
    return {
        "memory": [asdict(one) for one in memory],
        "hops": [asdict(one) for one in hops],
        "fit": asdict(fit),
        "hops_at_10m": fit.at(TARGET),
        "churn": [asdict(one) for one in churn],
        "quick": quick,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small networks, few lookups")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")
    parser.add_argument("--jobs", type=int, default=1, help="simulations at a time")
    parser.add_argument("--out", type=Path, help="directory for dht-scaling.json and images/dht-*.svg")
    parser.add_argument("--from", dest="before", type=Path, help="take this report instead of measuring")
    options = parser.parse_args()
    if options.before is not None:
        report = json.loads(options.before.read_text())
    else:
        report = measure(quick=options.quick, jobs=options.jobs)
    if options.out is not None:
        images = options.out / "images"
        images.mkdir(parents=True, exist_ok=True)
        (options.out / "dht-scaling.json").write_text(json.dumps(report, indent=1) + "\n")
        for name, plot in plots(report).items():
            (images / f"{name}.svg").write_text(plot.file())
    if options.json:
        print(json.dumps(report))
    else:
        memory = [dht_memory.Structure(**one) for one in report["memory"]]
        shown = (dht_memory.table(memory), hop_table(report), churn_table(report), seed_table(report))
        print("\n\n".join(shown))


if __name__ == "__main__":
    main()
