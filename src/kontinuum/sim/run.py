"""Run a scenario of the DHT, and show what went wrong if something did.

Only this file and its twin for topics look at the clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from kontinuum.base.clock import SystemClock
from kontinuum.dht.config import Defences
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.process import few_collections, peak_rss_bytes
from kontinuum.sim.scenario import as_dict, from_dict
from kontinuum.sim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.sim.result import Result
    from kontinuum.sim.scenario import Scenario

LOG_LINES_MAX = 60
"""Lines of the log that a failure shows: the last ones of the node that failed. Our choice: a screen."""

SHRINKS_MAX = 6
"""Smaller networks that are tried to find the same failure. Our choice: each halves nodes and lookups."""


def run(
    scenario: Scenario,
    *,
    seed: int | None = None,
    nodes: int | None = None,
    defences: bool | Defences | None = None,
    progress: Callable[[float], object] | None = None,
    events: Callable[[str], object] | None = None,
    command: str = "",
) -> Result:
    """Run a scenario to its end.

    Args:
        scenario: What happens.
        seed: Instead of the scenario's.
        nodes: Instead of the scenario's.
        defences: All on or off, or these, instead of the scenario's.
        progress: Given the share of the run that is over, now and then.
        events: Given each event as one line of text: gigabytes for a large network.
        command: What a user would type to run this again, for messages.

    Raises:
        InvariantError: A node broke a rule. It has the seed, the smallest run with the same failure that was
            found, what happened to that node last, and ``command``.
        ScenarioError: The changed scenario cannot be run.
    """
    chosen = _changed(scenario, seed, nodes, defences)
    begin_s = SystemClock().monotonic()
    tell = None if events is None else (lambda host, line: events(f"{host} {line}"))
    with few_collections():
        try:
            simulation = Simulation(chosen, chosen.seed, tell=tell)
            simulation.run(progress)
        except InvariantError as error:
            raise explain(chosen, error, command) from None
    return simulation.measuring.result(
        wall_s=round(SystemClock().monotonic() - begin_s, 3), peak_rss_bytes=peak_rss_bytes()
    )


def explain(scenario: Scenario, error: InvariantError, command: str = "") -> InvariantError:
    """Do a failed run again with a log of the node that failed, in the smallest network that still fails."""
    smallest, failure = scenario, error
    for _ in range(SHRINKS_MAX):
        smaller = _half(smallest)
        again = None if smaller is None else _failure(smaller, -1)[0]
        if smaller is None or again is None or again.invariant != error.invariant:
            break
        smallest, failure = smaller, again
    again, log = _failure(smallest, failure.node)
    shown = again or failure
    if smallest is not scenario and command:
        command += f"  # smaller: --nodes {smallest.nodes}, {smallest.workload.lookups} lookups"
    return InvariantError(
        shown.invariant,
        shown.detail,
        node=shown.node,
        at_s=shown.at_s,
        seed=scenario.seed,
        nodes=smallest.nodes,
        log=log,
        command=command,
    )


def _failure(scenario: Scenario, node: int) -> tuple[InvariantError | None, tuple[str, ...]]:
    """Run until it fails; the last lines of ``node``."""
    lines: deque[str] = deque(maxlen=LOG_LINES_MAX)

    def tell(host: int, line: str) -> None:
        if host == node:
            lines.append(line)

    try:
        Simulation(scenario, scenario.seed, tell=tell if node >= 0 else None).run()
    except InvariantError as error:
        return error, tuple(lines)
    return None, tuple(lines)


def _half(scenario: Scenario) -> Scenario | None:
    work = scenario.workload
    if scenario.nodes < 2 * scenario.seeds:
        return None
    return replace(
        scenario,
        nodes=scenario.nodes // 2,
        workload=replace(work, lookups=work.lookups // 2, gets=work.gets // 2, resolves=work.resolves // 2),
    )


def _changed(
    scenario: Scenario, seed: int | None, nodes: int | None, defences: bool | Defences | None
) -> Scenario:
    data = as_dict(scenario)
    if seed is not None:
        data["seed"] = seed
    if nodes is not None:
        data["nodes"] = nodes
    if isinstance(defences, Defences):
        data["defences"] = {name: getattr(defences, name) for name in Defences.__slots__}
    elif defences is not None:
        data["defences"] = defences
    return from_dict(data)
