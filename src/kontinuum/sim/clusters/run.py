"""Run a scenario of clusters."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from kontinuum.base.clock import SystemClock
from kontinuum.sim.clusters.scenario import Switches, from_dict
from kontinuum.sim.clusters.simulation import Simulation
from kontinuum.sim.process import few_collections, peak_rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.sim.clusters.result import ClusterResult
    from kontinuum.sim.clusters.scenario import ClusterScenario


def run(
    scenario: ClusterScenario,
    *,
    seed: int | None = None,
    nodes: int | None = None,
    defences: bool | None = None,
    progress: Callable[[float], object] | None = None,
    events: Callable[[str], object] | None = None,
) -> ClusterResult:
    """Run a scenario to its end.

    Args:
        scenario: What happens.
        seed: Instead of the scenario's.
        nodes: Instead of the scenario's; a multiple of its nodes per cluster.
        defences: All on or off, instead of the scenario's.
        progress: Given the share of the run that is over, now and then.
        events: Given each event as one line of text.

    Raises:
        ScenarioError: The changed scenario cannot be run.
    """
    data = asdict(scenario)
    if seed is not None:
        data["seed"] = seed
    if nodes is not None:
        data["nodes"] = nodes
    if defences is not None:
        data["defences"] = dict.fromkeys(asdict(Switches()), defences)
    chosen = from_dict(data)
    begin_s = SystemClock().monotonic()
    tell = None if events is None else (lambda host, line: events(f"{host} {line}"))
    with few_collections():
        simulation = Simulation(chosen, chosen.seed, tell=tell)
        simulation.run(progress)
    return simulation.measuring.result(
        wall_s=round(SystemClock().monotonic() - begin_s, 3), peak_rss_bytes=peak_rss_bytes()
    )
