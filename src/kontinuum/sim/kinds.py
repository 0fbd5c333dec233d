"""Scenarios of either kind: of the DHT, and of topics.

Trust:  scenario files are written by whoever runs the simulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kontinuum.sim import scenario as dht
from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.gossip import run as gossip_run
from kontinuum.sim.gossip import scenario as gossip
from kontinuum.sim.run import run as dht_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kontinuum.sim.gossip.result import GossipResult
    from kontinuum.sim.result import Result

AnyScenario = dht.Scenario | gossip.GossipScenario


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
    return gossip.from_dict(data) if data.get("kind") == "gossip" else dht.from_dict(data)


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
) -> Result | GossipResult:
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
        raise ScenarioError("scoring", "a scenario of the DHT has --defences instead")
    return dht_run(
        scenario,
        seed=seed,
        nodes=nodes,
        defences=defences,
        progress=progress,
        events=events,
        command=command,
    )
