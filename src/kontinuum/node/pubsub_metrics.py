"""What topics tell a monitoring system. docs/grafana/pubsub.json draws it.

Bounds: a metric has as many labels as there are results, bands or events in our code.
Trust:  labels are our own words; no metric names a peer or a topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from kontinuum.gossip.score_params import PeerScoreThresholds
    from kontinuum.gossip.snapshot import Snapshot
    from kontinuum.node.pubsub import NodePubSub

RESULTS = (
    "accepted",
    "duplicates",
    "own_returned",
    "ignored",
    "rejected",
    "unsolicited",
    "flawed",
    "flawed_forgivably",
    "too_large",
    "replayed",
    "throttled",
    "bad_signatures",
    "validations_expired",
)
"""What becomes of a message that comes in: counters of the router."""

DROPS = {"queue_full": "dropped_queue_full", "too_old": "dropped_too_old", "control": "dropped_control"}
"""What was not sent to a peer, by why: the router's counters."""


BANDS = ("graylisted", "no_publishing", "no_gossip", "no_mesh", "zero", "positive")
"""Bands of scores, the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubSnapshot:
    """The figures of a node's topics at one moment."""

    router: Snapshot
    thresholds: PeerScoreThresholds
    counts: Mapping[str, int]
    """What the shell counts."""
    validations: Mapping[str, int]
    """Verdicts of the application, and why there was none."""
    validating: int
    """Validators that have not answered yet."""
    subscribers: int
    waiting: int
    """Messages that wait for subscribers."""
    verified: int
    verify_s: float
    busy_s: float


def pubsub_snapshot(pubsub: NodePubSub) -> PubSubSnapshot:
    """All figures of this moment. Costs a look at every peer."""
    service = pubsub.service
    subscriptions = service.subscriptions()
    return PubSubSnapshot(
        router=pubsub.machine.snapshot(),
        thresholds=pubsub.thresholds,
        counts=service.counts,
        validations=service.validators.counts,
        validating=service.validators.at_work,
        subscribers=len(subscriptions),
        waiting=sum(len(subscription) for subscription in subscriptions),
        verified=pubsub.verified,
        verify_s=pubsub.verify_s,
        busy_s=service.busy_s,
    )


def bands(now: PubSubSnapshot) -> dict[str, int]:
    """How many peers have which score: by what it costs them."""
    thresholds, counted = now.thresholds, dict.fromkeys(BANDS, 0)
    for peer in now.router.peers:
        score = peer.score
        if score < thresholds.graylist_threshold:
            band = "graylisted"
        elif score < thresholds.publish_threshold:
            band = "no_publishing"
        elif score < thresholds.gossip_threshold:
            band = "no_gossip"
        elif score < 0:
            band = "no_mesh"
        else:
            band = "zero" if score == 0 else "positive"
        counted[band] += 1
    return counted


def pubsub_metrics(now: PubSubSnapshot) -> Iterator[Metric]:
    """The metrics of one snapshot."""
    yield from _gauges(now)
    yield from _counters(now)


def _gauges(now: PubSubSnapshot) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    router = now.router
    joined = [topic for topic in router.topics if topic.joined]
    meshes = [len(topic.mesh) for topic in joined] or [0]
    scores = [peer.score for peer in router.peers] or [0.0]
    for name, text, value in (
        ("peers", "Peers that topics are shared with.", len(router.peers)),
        ("topics", "Topics that this node is in.", len(joined)),
        ("topics_known", "Topics that somebody is in.", router.topics_known),
        ("fanouts", "Topics that it publishes to without being in them.", len(router.topics) - len(joined)),
        ("subscribers", "Subscriptions of this node's programs.", now.subscribers),
        ("subscriber_messages", "Messages that wait for subscribers.", now.waiting),
        ("queued_bytes", "Bytes that wait for peers.", sum(peer.queued_bytes for peer in router.peers)),
        ("stalled_peers", "Peers that take nothing.", sum(peer.stalled_s > 1 for peer in router.peers)),
        ("seen_messages", "Message ids that are known.", router.seen),
        ("cached_messages", "Messages that can be asked for.", router.cached),
        ("cached_bytes", "Their bytes.", router.cached_bytes),
        ("validating", "Messages that wait for a verdict.", router.pending),
        ("backoffs", "Pairs of peer and topic that must not graft.", router.backoffs),
        ("promises", "Messages asked for and not here yet.", router.promises),
    ):
        yield GaugeMetricFamily(f"kontinuum_pubsub_{name}", text, value)
    mesh = GaugeMetricFamily("kontinuum_pubsub_mesh_peers", "Peers in a topic's mesh.", labels=["stat"])
    score = GaugeMetricFamily("kontinuum_pubsub_score", "Scores of peers.", labels=["stat"])
    for stat, of_meshes, of_scores in (
        ("min", min(meshes), min(scores)),
        ("median", median(meshes), median(scores)),
        ("max", max(meshes), max(scores)),
    ):
        mesh.add_metric([stat], of_meshes)
        score.add_metric([stat], of_scores)
    banded = GaugeMetricFamily(
        "kontinuum_pubsub_peers_by_score", "Peers by what their score costs them.", labels=["band"]
    )
    for band, count in bands(now).items():
        banded.add_metric([band], count)
    yield from (mesh, score, banded)


def _counters(now: PubSubSnapshot) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily

    counters, counts = now.router.counters, now.counts
    for name, text, value in (
        ("published", "Messages of this node.", counts.get("published", 0)),
        ("delivered", "Messages of others for this node's subscribers.", counts.get("delivered", 0)),
        ("sent_bytes", "Bytes of RPCs sent.", counters["bytes_sent"]),
        ("sent_rpcs", "RPCs sent.", counters["rpcs_sent"]),
        ("received_rpcs", "RPCs received.", counters["rpcs_received"]),
        ("signatures", "Signatures looked at.", now.verified),
        ("verify_seconds", "Seconds that they took.", now.verify_s),
        ("busy_seconds", "Seconds that the router took, signatures included.", now.busy_s),
    ):
        yield CounterMetricFamily(f"kontinuum_pubsub_{name}", text, value)
    messages = CounterMetricFamily(
        "kontinuum_pubsub_messages", "Messages that came in, by what became of them.", labels=["result"]
    )
    for result in RESULTS:
        messages.add_metric([result], counters[result])
    drops = CounterMetricFamily("kontinuum_pubsub_drops", "What was lost here, by why.", labels=["reason"])
    for reason, counter in DROPS.items():
        drops.add_metric([reason], counters[counter])
    drops.add_metric(["subscriber"], counts.get("subscriber_dropped", 0))
    validations = CounterMetricFamily(
        "kontinuum_pubsub_validations", "Verdicts of the application, and faults.", labels=["result"]
    )
    for result in ("accept", "ignore", "reject", "throttled", "timed_out", "failed"):
        validations.add_metric([result], now.validations.get(result, 0))
    events = CounterMetricFamily("kontinuum_pubsub_events", "What happened.", labels=["event"])
    for event, count in counters.items():
        events.add_metric([event], count)
    yield from (messages, drops, validations, events)
