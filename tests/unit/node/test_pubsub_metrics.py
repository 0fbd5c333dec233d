"""Topics in the metrics, and the dashboard that draws them."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from helpers.identities import ALICE
from kontinuum.gossip.counters import Counters
from kontinuum.gossip.events import Protocol
from kontinuum.gossip.score_params import PeerScoreThresholds
from kontinuum.gossip.snapshot import PeerSnapshot, Snapshot, TopicSnapshot
from kontinuum.node.metrics import NodeSnapshot, create_registry
from kontinuum.node.pubsub_metrics import BANDS, DROPS, RESULTS, PubSubSnapshot, bands

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana" / "pubsub.json"

PEER = PeerSnapshot(
    peer=ALICE.peer_id,
    protocol=Protocol.MESHSUB_1_2,
    outbound=True,
    address="192.0.2.1",
    score=1.5,
    is_direct=False,
    topics=2,
    meshes=("news",),
    queued=1,
    queued_bytes=300,
    stalled_s=0.0,
)


def topic(name, mesh, *, joined=True):
    """A topic with so many peers in its mesh."""
    return TopicSnapshot(name, joined, peers=mesh + 1, mesh=(ALICE.peer_id,) * mesh, fanout=())


def snapshot(peers=(PEER,), topics=(), counters=None, **given):
    """Topics of a node that has done a little."""
    router = Snapshot(
        peers=tuple(peers),
        topics=tuple(topics),
        topics_known=9,
        seen=100,
        cached=50,
        cached_bytes=5000,
        pending=3,
        backoffs=4,
        promises=5,
        counters=(counters or Counters()).as_dict(),
    )
    told = {
        "router": router,
        "thresholds": PeerScoreThresholds(),
        "counts": {"published": 7, "delivered": 60, "subscriber_dropped": 2},
        "validations": {"accept": 11, "timed_out": 1},
        "validating": 3,
        "subscribers": 2,
        "waiting": 12,
        "verified": 99,
        "verify_s": 0.5,
        "busy_s": 2.0,
    }
    return PubSubSnapshot(**{**told, **given})


def samples(now):
    """Name and labels -> value of what a node tells; process metrics included."""
    registry = create_registry(lambda: NodeSnapshot(pubsub=now))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_meshes_scores_duplicates_drops_and_verdicts_are_told():
    """
    The smallest mesh, the median and the largest; results of messages and verdicts; all that was lost.
    """
    counters = Counters(accepted=60, duplicates=180, dropped_too_old=4, bytes_sent=1234)
    meshes = [topic("a", 2), topic("b", 5), topic("c", 8), topic("d", 0, joined=False)]
    peers = [PEER, replace(PEER, score=-5.0, stalled_s=7.0)]
    told = samples(snapshot(peers, meshes, counters))
    assert [told["kontinuum_pubsub_mesh_peers", stat] for stat in ("min", "median", "max")] == [2, 5, 8]
    assert [told["kontinuum_pubsub_score", stat] for stat in ("min", "median", "max")] == [-5, -1.75, 1.5]
    assert told["kontinuum_pubsub_topics",] == 3
    assert told["kontinuum_pubsub_fanouts",] == 1
    assert told["kontinuum_pubsub_stalled_peers",] == 1
    assert told["kontinuum_pubsub_queued_bytes",] == 600
    assert told["kontinuum_pubsub_messages_total", "duplicates"] == 180
    assert told["kontinuum_pubsub_drops_total", "too_old"] == 4
    assert told["kontinuum_pubsub_drops_total", "subscriber"] == 2
    assert told["kontinuum_pubsub_validations_total", "timed_out"] == 1
    assert told["kontinuum_pubsub_verify_seconds_total",] == 0.5
    assert told["kontinuum_pubsub_published_total",] == 7
    assert told["kontinuum_pubsub_sent_bytes_total",] == 1234


def test_a_node_without_peers_or_topics_tells_zeros():
    """
    Nothing divides by nothing.
    """
    told = samples(snapshot(peers=()))
    assert told["kontinuum_pubsub_mesh_peers", "min"] == told["kontinuum_pubsub_score", "max"] == 0


def test_a_node_whose_topics_are_off_tells_none():
    """
    Not zeros that look like a node in trouble.
    """
    assert not any(name.startswith("kontinuum_pubsub") for name, *_ in samples(None))


SCORES = (-2501, -2500, -1000, -500, 0, 0.1)


@pytest.mark.parametrize(("band", "score"), list(zip(BANDS, SCORES, strict=True)))
def test_peers_are_counted_by_what_their_score_costs_them(band, score):
    """
    A peer at a threshold is not below it.
    """
    assert bands(snapshot([replace(PEER, score=score)])) == {each: each == band for each in BANDS}


def test_results_and_drops_are_counters_of_the_router():
    """
    A counter that is renamed there is noticed here.
    """
    assert {*RESULTS, *DROPS.values()} <= {field.name for field in fields(Counters)}


def test_the_dashboard_draws_metrics_that_exist():
    """
    Every metric, and every value of a label, that an expression of docs/grafana/pubsub.json names is told.
    """
    text = DASHBOARD.read_text()
    dashboard = json.loads(text)
    told = samples(snapshot(topics=[topic("a", 2)]))
    names = {name for name, *_ in told}
    drawn = set(re.findall(r"\b(?:kontinuum|process)_\w+", text))
    assert drawn <= names, drawn - names
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in expressions:
        for name, labels in re.findall(r"(\w+)\{([^}]*)\}", expression):
            values = {value for told_name, *value_list in told if told_name == name for value in value_list}
            for label, how, wanted in re.findall(r'(\w+)(=~?)"([^"]*)"', labels):
                if label != "instance":
                    pattern = wanted if how == "=~" else re.escape(wanted)
                    for alternative in pattern.split("|") if "(" not in pattern else [pattern]:
                        assert any(re.fullmatch(alternative, value) for value in values), (name, alternative)


def test_the_dashboard_draws_what_an_operator_asks_for():
    """
    Mesh size, scores, duplicates, drops and validation results: each has a panel.
    """
    text = DASHBOARD.read_text()
    for name in (
        "mesh_peers",
        "score",
        "messages_total",
        "drops_total",
        "validations_total",
        "verify_seconds_total",
    ):
        assert f"kontinuum_pubsub_{name}" in text
