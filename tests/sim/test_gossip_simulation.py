"""Whole networks of gossip routers: one seed gives one run, rules hold, and scores do what they are for."""

import json
import os
import subprocess
import sys

import pytest

from kontinuum.sim.gossip.run import run
from kontinuum.sim.gossip.scenario import from_dict

pytestmark = pytest.mark.slow


def scenario(**tables):
    """A small one."""
    return from_dict(
        {
            "name": "small",
            "kind": "gossip",
            "nodes": 30,
            "degree": 5,
            "settle_s": 8.0,
            "duration_s": 15.0,
            **tables,
        }
    )


MUTE = {"kind": "mute", "ratio": 2.0, "dials": 8}

PROGRAM = """
import json, sys
from kontinuum.sim.gossip.run import run
from kontinuum.sim.gossip.scenario import from_dict
result = json.loads(run(from_dict(json.loads(sys.argv[1]))).to_json())
for noisy in ("wall_s", "peak_rss_bytes"):
    del result[noisy]
print(json.dumps(result))
"""


def test_one_seed_gives_one_run_whatever_the_hash_seed():
    """
    The whole result, the hash of the event log in it; another seed gives another one.
    """
    data = {
        "name": "small",
        "kind": "gossip",
        "nodes": 15,
        "degree": 4,
        "settle_s": 4.0,
        "duration_s": 6.0,
        "churn": {"per_minute": 1.0, "down_s": 2.0},
        "hostile": [MUTE, {"kind": "covert", "ratio": 0.5, "attack_s": 6.0}],
    }
    results = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps({**data, "seed": seed})],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed, hash_seed in ((1, "1"), (1, "2"), (2, "1"))
    ]
    assert results[0] == results[1]
    assert json.loads(results[0])["digest"] != json.loads(results[2])["digest"]


def test_an_honest_network_delivers_everything():
    """
    With one packet in a hundred lost, below a second, with fewer than three copies too many.
    """
    result = run(scenario())

    assert result.delivery_ratio == 1.0
    assert result.latency_p99_s < 1.0
    assert result.duplicates_per_delivery < 3.0


def test_idontwant_halves_the_copies_of_large_messages():
    """
    Of 128 KiB.
    """
    large = {"publishers": 3, "messages_per_s": 1.0, "message_bytes": 131072}
    spared = run(scenario(workload=large))
    wasted = run(scenario(workload=large, gossip={"idontwant": False}))

    assert spared.delivery_ratio == wasted.delivery_ratio == 1.0
    assert spared.duplicates_per_delivery <= wasted.duplicates_per_delivery / 1.8


def test_nodes_that_come_and_go_miss_nothing_while_they_are_there():
    """
    Half of them in the measured time.
    """
    result = run(scenario(churn={"per_minute": 2.0, "down_s": 3.0}))

    assert result.counters["graft_sent"] > 0
    assert min(result.series.online) < 30
    assert result.delivery_ratio > 0.99


def test_a_partition_heals():
    """
    Both sides go on by themselves, and are one again afterwards.
    """
    result = run(
        scenario(
            duration_s=40.0,
            partition=[{"regions": ["tokyo", "osaka"], "start_s": 15.0, "end_s": 25.0}],
        )
    )
    assert result.delivery_ratio > 0.99
    assert result.series.delivery_ratio[-8] == 1.0


def test_mute_attackers_lose_their_score_and_their_mesh():
    """
    With scores they are graylisted; without, nothing happens to them.
    """
    hostile = [{**MUTE, "ratio": 3.0, "dials": 12}]
    on = run(scenario(degree=3, duration_s=30.0, hostile=hostile))
    off = run(scenario(degree=3, duration_s=30.0, hostile=hostile, gossip={"scoring": False}))

    assert on.delivery_ratio >= 0.99
    assert on.attack["graylisted_ratio"] > 0.5
    assert off.attack["graylisted_ratio"] == 0.0
    assert on.attack["score_median"] < off.attack["score_median"] == 0.0


@pytest.mark.parametrize(
    ("kind", "ratio", "dials"),
    [
        ("ihave", 1.0, 6),
        ("graft", 3.0, 12),  # More than a mesh takes: what is refused and comes again is an offence.
        ("forger", 1.0, 6),
    ],
)
def test_floods_cost_the_sender_its_score_and_nobody_a_message(kind, ratio, dials):
    """
    Each flood alone.
    """
    result = run(scenario(hostile=[{"kind": kind, "ratio": ratio, "dials": dials, "rate": 200}]))

    assert result.delivery_ratio >= 0.99
    assert result.attack["score_median"] < -100


def test_a_flood_of_requests_costs_nobody_a_message():
    """
    The same message is given to a peer three times, and no more.
    """
    result = run(scenario(hostile=[{"kind": "iwant", "ratio": 1.0, "dials": 6, "rate": 200}]))

    assert result.delivery_ratio == 1.0
    assert result.counters["iwant_answered"] < result.counters["iwant_received"] / 10


def test_a_censored_publisher_is_heard():
    """
    Though four in five of those who could forward its messages do not.
    """
    result = run(
        scenario(
            workload={"publishers": 1, "messages_per_s": 2.0},
            hostile=[{"kind": "censor", "ratio": 2.0, "dials": 5}],
        )
    )
    assert result.delivery_ratio >= 0.99
