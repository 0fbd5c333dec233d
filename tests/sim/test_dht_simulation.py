"""Whole networks of the real DHT machine: they work, replay from a seed, and survive what they promise."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kontinuum.dht.events import Answer
from kontinuum.dht.node import Dht
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.result import Result
from kontinuum.sim.run import run
from kontinuum.sim.scenario import (
    ChurnSettings,
    ClockSettings,
    Fault,
    Hostile,
    NatSettings,
    NetworkSettings,
    Partition,
    Scenario,
    Workload,
    from_dict,
)

WORK = Workload(
    lookups=20,
    records=6,
    contents=3,
    gets=20,
    puts=2,
    contacts=4,
    resolves=8,
    provides=2,
    provider_lookups=4,
)

SMALL = Scenario(name="small", nodes=60, settle_s=20.0, duration_s=30.0, pow_bits=2, workload=WORK)

ROUGH = replace(
    SMALL,
    nodes=40,
    network=NetworkSettings(loss=0.03, duplicate=0.02, reorder=0.1),
    nat=NatSettings(full_cone=0.1, restricted=0.2, symmetric=0.1),
    churn=ChurnSettings(model="filesharing", median_session_s=120.0, offline_share=0.2, stale_share=0.1),
    clock=ClockSettings(skew_s=3.0),
    fault=(
        Fault(kind="restart", start_s=25.0, within_s=5.0, share=0.2),
        Fault(kind="move", start_s=30.0, share=0.1),
    ),
    hostile=(Hostile(kind="sybil", share=0.1), Hostile(kind="poisoner", share=0.1)),
)


def test_everything_succeeds_in_an_honest_network():
    """
    Every lookup, get, resolve and put of a small warm network succeeds.
    """
    result = run(SMALL)

    assert {kind: one.success_ratio for kind, one in result.operations.items()} == dict.fromkeys(
        ("find", "get", "resolve", "providers", "put"), 1.0
    )
    assert result.lookups == 48
    assert result.success_ratio == 1.0
    assert 0.0 < result.latency_p50_s <= result.latency_p99_s < 5.0


def test_a_result_is_json_and_back():
    """
    What a run found survives JSON, and its settings run again to the same digest.
    """
    result = run(SMALL)
    read = Result.from_json(result.to_json())

    assert read == result
    assert run(from_dict(read.settings)).digest == result.digest
    assert run(SMALL, seed=2).digest != result.digest


@pytest.mark.slow
def test_a_seed_replays_byte_for_byte_under_any_hash_seed():
    """
    Two processes with other hash seeds write the same event log, line for line, in the roughest network.
    """
    program = (
        "import hashlib, test_dht_simulation as t; log = hashlib.sha256(); "
        "r = t.run(t.ROUGH, events=lambda line: log.update(line.encode())); "
        "print(r.digest, log.hexdigest(), r.success_ratio, r.latency_p99_s, r.counters)"
    )
    found = set()
    for hash_seed in ("1", "2"):
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        found.add(
            subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
            ).stdout
        )

    assert len(found) == 1


def test_nodes_join_an_empty_network_by_its_seeds():
    """
    Without any table at the start all nodes find each other.
    """
    result = run(replace(SMALL, start="join", nodes=40, settle_s=40.0))

    assert result.success_ratio == 1.0
    assert result.series.table_mean[-1] > 20


def test_messages_survive_their_codec():
    """
    The wire carries all that is said: with every message encoded and decoded, the run is the same.
    """
    plain = run(SMALL)
    coded = run(replace(SMALL, network=NetworkSettings(encode=True)))

    assert coded.digest == plain.digest


@pytest.mark.slow
def test_records_survive_a_restart_of_half_the_network():
    """
    Half of the nodes crash within some seconds and come back: everything is found again.
    """
    fault = Fault(kind="restart", start_s=20.0, within_s=5.0, share=0.5, down_s=5.0)
    result = run(replace(SMALL, duration_s=60.0, fault=(fault,)))

    assert result.operations["get"].success_ratio >= 0.9
    assert result.series.online[-1] == 60
    assert min(result.series.online) < 60


@pytest.mark.slow
def test_a_network_heals_after_a_partition():
    """
    While two regions are cut off lookups fail; afterwards they succeed again.
    """
    cut = Partition(regions=("osaka", "tokyo"), start_s=25.0, end_s=45.0)
    result = run(replace(SMALL, duration_s=80.0, workload=Workload(lookups=150), partition=(cut,)))
    series = result.series
    during = [ratio for at, ratio in zip(series.at_s, series.success_ratio, strict=True) if 30 < at < 45]
    after = [ratio for at, ratio in zip(series.at_s, series.success_ratio, strict=True) if at > 70]

    assert min(during) < 1.0
    assert min(after) == 1.0


def test_hosts_behind_a_nat_are_clients_and_find_everything():
    """
    Half of the hosts cannot be dialled: they ask, nobody has them in its table, and all lookups succeed.
    """
    result = run(replace(SMALL, nat=NatSettings(restricted=0.3, symmetric=0.2)))

    assert result.success_ratio == 1.0
    assert result.series.table_mean[-1] < 45


@pytest.mark.slow
@pytest.mark.parametrize(
    "group",
    [
        Hostile(kind="sybil", share=0.2, ghosts=100),
        Hostile(kind="ground", count=20, targets=2),
        Hostile(kind="poisoner", share=0.1),
        Hostile(kind="flooder", count=10, prefixes=2),
        Hostile(kind="eclipser", count=10, targets=2),
        Hostile(kind="liar", share=0.1),
        Hostile(kind="silent", share=0.1),
        Hostile(kind="mute", share=0.3),
        Hostile(kind="slow", share=0.1),
        Hostile(kind="sybil", share=0.2, worked=False),
    ],
    ids=lambda group: f"{group.kind}{'' if group.worked else '-without-work'}",
)
def test_no_attacker_makes_an_honest_node_break_a_rule(group):
    """
    Whatever attackers do, the rules of honest nodes hold, and most of what they want succeeds.
    """
    result = run(replace(SMALL, joiners=3, hostile=(group,)))

    assert result.hostile > 0
    assert result.attack[f"{group.kind}.requests_sent"] > 0
    assert result.success_ratio > 0.5


def test_the_roughest_network_still_works():
    """
    Loss, duplicates, NAT, churn, wrong clocks, restarts, moves and attackers at once.
    """
    assert run(ROUGH).success_ratio > 0.8


@pytest.mark.slow
def test_contacts_are_renewed_in_a_long_run():
    """
    After a day and a half nobody's contact has expired, and lookups still succeed.
    """
    result = run(replace(SMALL, nodes=12, duration_s=36 * 3600.0, workload=Workload(lookups=20)))

    assert result.success_ratio == 1.0
    assert result.counters.get("contacts_refused", 0) == 0


def test_progress_goes_from_nothing_to_all():
    """
    The share that is over grows up to 1.
    """
    shares = []
    run(replace(SMALL, nodes=10, workload=Workload(lookups=1)), progress=shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0


class Answers(Dht):
    """A machine with a bug: it answers some pings twice."""

    def handle(self, event, now):
        effects = super().handle(event, now)
        if now > 22 and effects and isinstance(effects[0], Answer):
            effects.append(effects[0])
        return effects


def test_a_failure_shows_the_seed_the_log_and_the_command(monkeypatch):
    """
    A broken rule is reported with what happened to that node, in a smaller network that fails as well.
    """
    monkeypatch.setattr("kontinuum.sim.simulation.Dht", Answers)
    with pytest.raises(InvariantError) as caught:
        run(SMALL, seed=77, command="kontinuum sim run small.toml --seed 77")
    error = caught.value

    assert error.invariant == "a request is answered once and at once"
    assert error.seed == 77
    assert error.nodes < SMALL.nodes
    assert "request from" in error.log[-1]
    assert "kontinuum sim run small.toml --seed 77" in str(error)
    assert "seed 77" in str(error)
