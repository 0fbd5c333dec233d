"""Attacks on whole networks: with all defences they fail, without the one meant for them they succeed.

The scenario files with smaller networks; their own figures stand in docs/dht.md.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from kontinuum.dht.config import Defences
from kontinuum.sim.run import run
from kontinuum.sim.scenario import load

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def success(scenario, nodes, *, without, kind):
    """The share of operations of that kind that succeed; ``without``: a defence that is off, if any."""
    what = load(SCENARIOS / f"dht-{scenario}.toml")
    groups = what.hostile
    if scenario not in ("ground", "eclipse"):  # There so many are next to each target.
        groups = tuple(replace(group, count=group.count * nodes // what.nodes) for group in groups)
    defences = Defences() if without is None else replace(Defences(), **{without: False})
    result = run(replace(what, nodes=nodes, hostile=groups), defences=defences)
    return result.operations[kind].success_ratio


ATTACKS = [
    ("ground", "density_check", "get", 0.97),
    ("poison", "validate_records", "get", 0.97),
    ("poison", "newest_of_several", "get", 0.97),
    ("flood", "quotas", "get", 0.97),
    ("eclipse", "prefer_old", "find", 0.9),
    ("crowd", "prefix_caps", "get", 0.97),
    ("unworked", "verify_contacts", "get", 0.97),
]
"""Scenario, the defence that is meant for it, what honest nodes do, and how much of it succeeds at least. Who
eclipses newcomers is here as many as all honest nodes."""

NODES = 200

MISSED = 0.04
"""By how much less succeeds at least where the defence is off."""


@pytest.mark.slow
@pytest.mark.parametrize("defended", [True, False], ids=["defended", "undefended"])
@pytest.mark.parametrize(("scenario", "defence", "kind", "least"), ATTACKS, ids=str)
def test_an_attack_on_a_network(scenario, defence, kind, least, defended):
    """
    attacks.md 14 to 18 as scenarios: the defence that is meant for an attack makes the difference.
    """
    found = success(scenario, NODES, without=None if defended else defence, kind=kind)

    assert found >= least if defended else found < least - MISSED
