"""How does the DHT scale? Memory of a node, hops of a lookup against the size of the network, and churn.

Memory: every structure filled to its cap (``dht_memory.py``). Hops: the simulator, from 100 to 10,000 nodes,
and a line fitted through them, drawn up to ten million. Churn: the same network while its nodes come and go,
from not at all to sessions of a few minutes. Prints a page; the seed document's table stands in it.

``--out DIR`` writes ``dht-scaling.md``, ``dht-scaling.json`` and ``images/dht-*.svg``; ``--quick`` takes
small networks and few lookups, to see that it works; ``--from FILE`` writes again what was measured before.
"""

import argparse
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import dht_memory
from dht_scaling_report import FIT_FROM, TARGET, Churn, Hops, fitted, page, plots
from kontinuum.sim.result import Result
from kontinuum.sim.run import run
from kontinuum.sim.scenario import ChurnSettings, Scenario, Workload

SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)
"""Nodes of the networks whose lookups are counted."""

LOOKUPS = 2000
"""Lookups in each network."""

SESSIONS_MIN = (None, 120, 60, 30, 15, 8, 4)
"""Median minutes that a node stays, in the networks with churn; none: for ever."""

CHURN_DURATION_S = 600.0
"""Simulated seconds in which their lookups are counted."""

CHURN_NODES = 1000
"""Nodes of the networks with churn."""


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
        "churn_nodes": churn_nodes,
        "quick": quick,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small networks, few lookups")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of the page")
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
        (options.out / "dht-scaling.md").write_text(page(report))
        for name, plot in plots(report).items():
            (images / f"{name}.svg").write_text(plot.file())
    if options.json:
        print(json.dumps(report))
    else:
        print(page(report))


if __name__ == "__main__":
    main()
