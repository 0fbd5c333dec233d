"""Run a scenario of topics."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from kontinuum.base.clock import SystemClock
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.gossip.scenario import from_dict
from kontinuum.sim.gossip.simulation import Simulation
from kontinuum.sim.process import few_collections, peak_rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.sim.gossip.result import GossipResult
    from kontinuum.sim.gossip.scenario import GossipScenario


def run(
    scenario: GossipScenario,
    *,
    seed: int | None = None,
    nodes: int | None = None,
    scoring: bool | None = None,
    progress: Callable[[float], object] | None = None,
    events: Callable[[str], object] | None = None,
    command: str = "",
) -> GossipResult:
    """Run a scenario to its end.

    Args:
        scenario: What happens.
        seed: Instead of the scenario's.
        nodes: Instead of the scenario's.
        scoring: On or off, instead of the scenario's.
        progress: Given the share of the run that is over, now and then.
        events: Given each event as one line of text.
        command: What a user would type to run this again, for messages.

    Raises:
        InvariantError: A router broke a rule. It has the seed and ``command``.
        ScenarioError: The changed scenario cannot be run.
    """
    data = asdict(scenario)
    if seed is not None:
        data["seed"] = seed
    if nodes is not None:
        data["nodes"] = nodes
        data["degree"] = min(data["degree"], nodes - 1)
        data["workload"]["publishers"] = min(data["workload"]["publishers"], nodes)
    if scoring is not None:
        data["gossip"]["scoring"] = scoring
    chosen = from_dict(data)
    begin_s = SystemClock().monotonic()
    tell = None if events is None else (lambda host, line: events(f"{host} {line}"))
    with few_collections():
        simulation = Simulation(chosen, chosen.seed, tell=tell)
        try:
            simulation.run(progress)
        except InvariantError as error:
            raise InvariantError(
                error.invariant,
                error.detail,
                node=error.node,
                at_s=error.at_s,
                seed=chosen.seed,
                nodes=chosen.nodes,
                command=command,
            ) from None
    return simulation.measuring.result(
        wall_s=round(SystemClock().monotonic() - begin_s, 3), peak_rss_bytes=peak_rss_bytes()
    )
