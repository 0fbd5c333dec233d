"""Scenario files: what they may say, and errors that name the key."""

from pathlib import Path

import pytest

from kontinuum.base.errors import FileUnavailableError
from kontinuum.dht.config import Defences
from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.hostile.groups import KINDS
from kontinuum.sim.scenario import HOSTILE_KINDS, Scenario, as_dict, from_dict, load, parse

SCENARIOS = sorted((Path(__file__).parents[3] / "scenarios").glob("dht-*.toml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_scenarios_of_the_repository_are_valid(path):
    """
    Every file in scenarios/ can be read, and is called as its file.
    """
    assert path.stem == load(path).name


def test_there_is_a_scenario_for_each_attack():
    """
    The files that the documentation speaks of are there.
    """
    names = {path.stem for path in SCENARIOS}

    assert {"dht-1k", "dht-10k", "dht-churn", "dht-sybil", "dht-eclipse", "dht-poison"} <= names
    assert {"dht-flood", "dht-ground"} <= names


def test_only_the_name_is_needed():
    """
    Everything else has a default.
    """
    assert Scenario(name="x") == parse('name = "x"')


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "name"),
        ('name = "x"\nnods = 1', "nods"),
        ('name = "x"\nnodes = 1.5', "nodes"),
        ('name = "x"\nnodes = true', "nodes"),
        ('name = "x"\nnodes = 1', "nodes"),
        ('name = "x"\nstart = "hot"', "start"),
        ('name = "x"\nnetwork = 3', "network"),
        ('name = "x"\n[network]\nloss = 2.0', "network.loss"),
        ('name = "x"\n[network]\nencode = 1', "network.encode"),
        ('name = "x"\n[network.regions]\natlantis = 1.0', "network.regions.atlantis"),
        ('name = "x"\n[network.regions]\ntokyo = 0.0', "network.regions"),
        ('name = "x"\n[nat]\nrestricted = 0.6\nsymmetric = 0.6', "nat"),
        ('name = "x"\n[defences]\nping_last = false', "defences.ping_last"),
        ('name = "x"\n[workload]\ngets = 1', "workload.gets"),
        ('name = "x"\n[workload]\nputs = 1\ncontents = 1', "workload.puts"),
        ('name = "x"\n[workload]\nresolves = 1', "workload.resolves"),
        ('name = "x"\n[[partition]]\nregions = ["tokyo"]', "partition[0].end_s"),
        ('name = "x"\n[[partition]]\nregions = ["atlantis"]\nend_s = 1', "partition[0].regions"),
        ('name = "x"\n[[partition]]\nend_s = 1', "partition[0].regions"),
        ('name = "x"\n[[hostile]]\nkind = "rude"\ncount = 1', "hostile[0].kind"),
        ('name = "x"\n[[hostile]]\nkind = "sybil"', "hostile[0]"),
        ('name = "x"\n[[hostile]]\nkind = "sybil"\ncount = 1\nshare = 0.1', "hostile[0]"),
        ('name = "x"\n[[hostile]]\nkind = "eclipser"\ncount = 1', "hostile[0].kind"),
        ('name = "x"\n[[hostile]]\nshare = 0.5\n[[hostile]]\nshare = 0.5', "hostile"),
        ('name = "x', "file"),
    ],
)
def test_an_error_names_the_key(text, key):
    """
    Whatever is wrong with a file, the error says where.
    """
    with pytest.raises(ScenarioError) as caught:
        parse(text, source="file.toml")

    assert caught.value.key == key
    assert str(caught.value).startswith(f"file.toml: {key}: ")


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path):
    """
    A missing file is no wrong scenario, and one that is no text is.
    """
    with pytest.raises(FileUnavailableError):
        load(tmp_path / "missing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError):
        load(tmp_path / "binary.toml")


def test_defences_are_all_none_or_single_ones():
    """
    true, false, or a table of those that are off.
    """
    assert Defences() == parse('name = "x"\ndefences = true').defences
    assert Defences.none() == parse('name = "x"\ndefences = false').defences
    assert Defences(quotas=False) == parse('name = "x"\n[defences]\nquotas = false').defences


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_survives_the_way_through_a_report(path):
    """
    What a result has as its settings is a scenario again.
    """
    scenario = load(path)

    assert scenario == from_dict(as_dict(scenario))


def test_every_kind_of_attacker_exists():
    """
    The names in scenarios are those of the behaviours.
    """
    assert set(HOSTILE_KINDS) == set(KINDS)
