"""Networks of clusters: one seed gives one run, revocations are fast, each defence does what it is for."""

import json
import os
import subprocess
import sys

import pytest

from kontinuum.sim.clusters.run import run
from kontinuum.sim.clusters.scenario import from_dict
from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.kinds import from_dict as of_any_kind

pytestmark = pytest.mark.slow

QUIET = {"revocations": 0, "rekeys": 0, "orders": 0, "crashes": 0}


def data(**tables):
    """A small one, as a file would say it."""
    return {
        "name": "small",
        "kind": "clusters",
        "nodes": 20,
        "settle_s": 15.0,
        "quiet_s": 5.0,
        "duration_s": 20.0,
        "rest_s": 15.0,
        "trusts": 2,
        "acts": {"revocations": 2, "rekeys": 3, "orders": 1, "crashes": 2},
        **tables,
    }


THIEVES = [{"kind": "epoch", "count": 1}, {"kind": "branch", "count": 1}]

PARTITION = [{"start_s": 21.0, "end_s": 36.0, "share": 0.4}]

PROGRAM = """
import json, sys
from kontinuum.sim.clusters.run import run
from kontinuum.sim.clusters.scenario import from_dict
result = json.loads(run(from_dict(json.loads(sys.argv[1]))).to_json())
for noisy in ("wall_s", "peak_rss_bytes"):
    del result[noisy]
print(json.dumps(result))
"""


def test_one_seed_gives_one_run_whatever_the_hash_seed():
    """
    The whole result, the hash of the event log in it; another seed gives another one.
    """
    table = data(hostile=THIEVES, partition=PARTITION)
    results = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps({**table, "seed": seed})],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed, hash_seed in ((1, "1"), (1, "2"), (2, "1"))
    ]
    assert results[0] == results[1]
    assert json.loads(results[0])["digest"] != json.loads(results[2])["digest"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_expectation_holds_among_thieves_crashes_and_partitions(seed):
    """
    Revocations are known and effective in time, no stolen key speaks, all agree at the end.
    """
    result = run(from_dict(data(hostile=THIEVES, partition=PARTITION)), seed=seed)

    assert [words for words, held in result.expectations.items() if not held] == []
    assert result.measured["fellows_count"] + result.measured["healed_count"] > 10
    assert result.attack["thief_rekeys"] >= 1
    assert result.attack["thief_trust_said"] >= 2


def test_a_quiet_network_costs_little():
    """
    A summary to each of eight sessions every two seconds, and nothing else.
    """
    result = run(from_dict(data(acts=QUIET)))

    assert 100 < result.measured["idle_messages_per_node_per_minute"] < 300
    assert result.measured["idle_bytes_per_node_per_minute"] < 20_000


def test_without_pushes_and_topics_a_revocation_waits_for_a_summary():
    """
    With them it takes a fraction of a second.
    """
    acts = {**QUIET, "revocations": 3}
    on = run(from_dict(data(acts=acts)))
    off = run(from_dict(data(acts=acts, defences={"push": False, "topics": False})))

    assert on.measured["trusting_max_s"] < 0.2
    assert 0.5 < off.measured["trusting_max_s"] < 10.0
    assert off.expectations["chains and lists of trust are equal"]


def test_without_summaries_a_healed_partition_stays_split():
    """
    What was said meanwhile is never asked for.
    """
    on = run(from_dict(data(partition=PARTITION)))
    off = run(from_dict(data(partition=PARTITION, defences={"summary": False, "topics": False})))

    assert on.measured["healed_count"] > 0
    assert on.expectations["all know in time after a partition"]
    assert off.attack["unequal"] > on.attack["unequal"] == 0


def test_without_cuts_a_thief_keeps_his_sessions():
    """
    He is recognised no longer, but his connections stay.
    """
    off = run(from_dict(data(hostile=THIEVES, defences={"cut": False})))

    assert not off.expectations["sessions of revoked keys are cut in time"]
    assert off.expectations["no stolen key speaks"]


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"nodes": 21}, "nodes"),
        ({"acts": {"revocations": 5}}, "acts.revocations"),
        ({"partition": [{"start_s": 1.0, "end_s": 2.0}]}, "partition[0]"),
    ],
)
def test_a_scenario_that_cannot_be_run_names_the_place(tables, key):
    """
    Also through the function for every kind.
    """
    with pytest.raises(ScenarioError) as caught:
        of_any_kind(data(**tables))
    assert caught.value.key == key
