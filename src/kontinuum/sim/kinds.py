"""Scenarios of every kind: of the DHT, of topics, and of clusters.

Trust:  scenario files are written by whoever runs the simulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kontinuum.sim import scenario as dht
from kontinuum.sim.clusters import run as clusters_run
from kontinuum.sim.clusters import scenario as clusters
from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.gossip import run as gossip_run
from kontinuum.sim.gossip import scenario as gossip
from kontinuum.sim.run import run as dht_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kontinuum.sim.clusters.result import ClusterResult
    from kontinuum.sim.gossip.result import GossipResult
    from kontinuum.sim.result import Result

AnyScenario = dht.Scenario | gossip.GossipScenario | clusters.ClusterScenario


def load(path: Path) -> AnyScenario:
    """Read a scenario file.

    Raises:
        FileUnavailableError: It cannot be read.
        ScenarioError: It is no TOML, or a key is wrong; the message names it.
    """
    return dht.load_tables(path, from_dict)


def from_dict(data: dict[str, Any]) -> AnyScenario:
    """Check the tables of a file, or the settings of a result.

    Raises:
        ScenarioError: A key is wrong.
    """
    match data.get("kind"):
        case "gossip":
            return gossip.from_dict(data)
        case "clusters":
            return clusters.from_dict(data)
        case _:
            return dht.from_dict(data)


def run(
    scenario: AnyScenario,
    *,
    seed: int | None = None,
    nodes: int | None = None,
    defences: bool | None = None,
    scoring: bool | None = None,
    progress: Callable[[float], object] | None = None,
    events: Callable[[str], object] | None = None,
    command: str = "",
) -> Result | GossipResult | ClusterResult:
    """Run a scenario to its end; what is given counts instead of what it says.

    Raises:
        InvariantError: A node broke a rule.
        ScenarioError: The changed scenario cannot be run, or has no such switch.
    """
    if isinstance(scenario, gossip.GossipScenario):
        if defences is not None:
            raise ScenarioError("defences", "a scenario of topics has --scoring instead")
        return gossip_run.run(
            scenario,
            seed=seed,
            nodes=nodes,
            scoring=scoring,
            progress=progress,
            events=events,
            command=command,
        )
    if scoring is not None:
        raise ScenarioError("scoring", "a scenario of the DHT or of clusters has --defences instead")
    if isinstance(scenario, clusters.ClusterScenario):
        return clusters_run.run(
            scenario, seed=seed, nodes=nodes, defences=defences, progress=progress, events=events
        )
    return dht_run(
        scenario,
        seed=seed,
        nodes=nodes,
        defences=defences,
        progress=progress,
        events=events,
        command=command,
    )
