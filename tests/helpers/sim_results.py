"""Results of simulations that nobody ran, for tests of reports."""

from dataclasses import replace

from kontinuum.dht.config import Defences
from kontinuum.sim.result import OperationFigures, Result, Series
from kontinuum.sim.scenario import Hostile, Scenario, Workload, as_dict


def operation(scale: float = 1.0) -> OperationFigures:
    """A hundred operations, of which 99 succeeded; latencies grow with ``scale``."""
    return OperationFigures(
        count=100,
        succeeded=99,
        success_ratio=0.99,
        hops_mean=2.5,
        requests_mean=14.25,
        latency_p50_s=0.25 * scale,
        latency_p90_s=0.5 * scale,
        latency_p99_s=1.5 * scale,
        hops={"1": 9, "2": 40, "3": 40, "5": 10},
        latencies_s=[0.01 * scale * number for number in range(1, 100)],
    )


def result(**changes: object) -> Result:
    """A run of 1,000 honest and 250 hostile nodes; ``changes`` replace fields of it."""
    hostile = (Hostile(kind="sybil", share=0.2),)
    scenario = Scenario(
        name="made-up",
        description="No <network> at all & none needed.",
        hostile=hostile,
        workload=Workload(lookups=100),
    )
    series = Series(
        at_s=[10.0, 20.0, 30.0],
        online=[1000, 990, 995],
        lookups=[30, 40, 30],
        success_ratio=[1.0, 0.975, 1.0],
        messages_per_s=[100.0, 120.5, 90.0],
        stored_records=[0, 10, 20],
        stored_bytes=[0, 1000, 2000],
        table_mean=[60.0, 61.5, 62.0],
        hostile_table_share=[0.2, 0.19, 0.18],
    )
    made = Result(
        scenario="made-up",
        description=scenario.description,
        digest="ab" * 32,
        seed=7,
        nodes=1000,
        hostile=250,
        defences=dict.fromkeys(Defences.__slots__, True),
        lookups=100,
        success_ratio=0.99,
        hops_mean=2.5,
        latency_p50_s=0.25,
        latency_p99_s=1.5,
        wall_s=12.0,
        peak_rss_bytes=300 * 2**20,
        simulated_s=150.0,
        events=1_234_567,
        messages=654_321,
        operations={"find": operation(), "get": operation(2.0)},
        series=series,
        counters={"refused_stale": 17, "evicted": 0},
        attack={"identities": 250.0, "table_share": 0.19},
        settings=as_dict(scenario),
    )
    return replace(made, **changes)
