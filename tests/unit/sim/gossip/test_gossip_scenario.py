"""Scenarios of topics: what a file may say."""

from pathlib import Path

import pytest

from kontinuum.sim import kinds
from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.gossip.scenario import GossipScenario, from_dict
from kontinuum.sim.scenario import Scenario


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"degree": 5, "nodes": 5, "workload": {"publishers": 2}}, "degree"),
        ({"nodes": 5, "degree": 2, "workload": {"publishers": 6}}, "workload.publishers"),
        ({"workload": {"message_bytes": 3}}, "workload.message_bytes"),
        ({"hostile": [{"kind": "nice"}]}, "hostile[0].kind"),
        ({"colour": "red"}, "colour"),
        ({"partition": [{"regions": ["atlantis"], "start_s": 1.0, "end_s": 2.0}]}, "partition[0].regions"),
        ({"partition": [{"regions": ["tokyo"], "start_s": 2.0, "end_s": 2.0}]}, "partition[0].end_s"),
    ],
)
def test_what_cannot_be_run_names_the_key(data, key):
    """
    The error says where in the file it is.
    """
    with pytest.raises(ScenarioError) as raised:
        from_dict({"name": "x", "kind": "gossip", **data})
    assert raised.value.key == key


def test_the_kind_decides_which_simulation_it_is(tmp_path):
    """
    A file without a kind is one of the DHT, as ever.
    """
    for text, cls in (('name = "a"', Scenario), ('name = "a"\nkind = "gossip"', GossipScenario)):
        path = tmp_path / "s.toml"
        path.write_text(text)
        assert type(kinds.load(path)) is cls


def test_every_scenario_at_hand_can_be_read(repository):
    """
    The files in scenarios/ of both kinds.
    """
    found = {path.stem: kinds.load(path) for path in Path(repository, "scenarios").glob("*.toml")}
    assert {name for name in found if name.startswith("gossip-")} >= {
        "gossip-1k",
        "gossip-churn",
        "gossip-eclipse",
        "gossip-flood",
        "gossip-coldboot",
        "gossip-covert",
    }
    assert all(scenario.name == name for name, scenario in found.items())


def test_switches_of_the_other_kind_are_refused():
    """
    ``--defences`` is of the DHT, ``--scoring`` of topics.
    """
    with pytest.raises(ScenarioError, match="--scoring"):
        kinds.run(from_dict({"name": "x", "kind": "gossip"}), defences=False)
    with pytest.raises(ScenarioError, match="--defences"):
        kinds.run(Scenario(name="x"), scoring=False)
