"""The report of a run of topics, for people and programs."""

import json

import pytest

from kontinuum.cli.sim import tables
from kontinuum.sim.compare import checked, compare
from kontinuum.sim.gossip.run import run
from kontinuum.sim.gossip.scenario import from_dict
from kontinuum.sim.report.figures import KEY_FIGURES, Better, flat, label
from kontinuum.sim.report.page import page


@pytest.fixture(scope="module")
def found():
    """A very small run."""
    return run(
        from_dict(
            {
                "name": "tiny",
                "kind": "gossip",
                "nodes": 5,
                "degree": 2,
                "settle_s": 3.0,
                "duration_s": 3.0,
                "workload": {"publishers": 2, "deadline_s": 2.0},
                "hostile": [{"kind": "mute", "ratio": 0.4, "dials": 2}],
            }
        )
    )


def test_the_page_shows_every_key_figure_and_what_was_set(found):
    """
    Delivery first, then what it cost; settings, attack and defences as for the DHT.
    """
    written = page(found, command="kontinuum sim run tiny")
    data = json.loads(found.to_json())

    shown = [name for name in KEY_FIGURES if name in data]
    assert shown[:2] == ["delivery_ratio", "worst_delivery_ratio"]
    for name in shown:
        assert label(name) in written
    for words in ("hostile[0].kind", "scoring on", "mesh share", "Latency of deliveries"):
        assert words in written


def test_the_table_shows_what_a_terminal_has_room_for(found):
    """
    Plain text in a pipe.
    """
    shown = tables.run_text(found, "again")
    assert "duplicates per delivery" in shown
    assert "again: again" in shown


def test_two_runs_can_be_compared(found):
    """
    More delivered is better, more copies are worse.
    """
    data = json.loads(found.to_json())
    other = {**data, "delivery_ratio": 0.5, "duplicates_per_delivery": 99.0}
    compared = compare(checked(data, "a"), checked(other, "b"))

    assert {change.name: change.better for change in compared.figures} == {
        "delivery_ratio": False,
        "duplicates_per_delivery": False,
    }
    assert flat(data)["delivery_ratio"].better is Better.MORE
