"""The figures of a running node, gathered for metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.node.dht_metrics import dht_snapshot
from kontinuum.node.metrics import NodeSnapshot
from kontinuum.node.pubsub_metrics import pubsub_snapshot

if TYPE_CHECKING:
    from kontinuum.node.node import Node


def snapshot(node: Node) -> NodeSnapshot:
    """All figures of this moment. Costs a look at every connection; totals never fall."""
    figures = node.figures()
    native = node.endpoint.native.counters()
    packets, lost, sent, received = node.endpoint.totals()
    try:
        dht = node.dht
    except MisuseError:  # It is off, or the node stops.
        dht = None
    try:
        pubsub = node.pubsub
    except MisuseError:
        pubsub = None
    return NodeSnapshot(
        uptime_s=figures.uptime_s,
        connections=len(node.endpoint.connections),
        connections_total={"inbound": figures.inbound, "outbound": figures.outbound},
        handshakes_total={
            "accepted": native["handshakes_accepted"],
            "refused": native["handshakes_refused"],
            "retried": native["handshakes_retried"],
            "ignored": native["handshakes_ignored"],
        },
        half_open=native["half_open"],
        sent_bytes_total=sent,
        received_bytes_total=received,
        sent_packets_total=packets,
        received_packets_total=native["datagrams_received"],
        lost_packets_total=lost,
        calls_total=figures.calls,
        handlers=figures.handlers,
        buffered_bytes={"receive": native["held_bytes"]},
        guard_activations_total=native["guard_activations"],
        known_peers=figures.known_peers,
        evictions_total=figures.evicted,
        dht=None if dht is None else dht_snapshot(dht),
        pubsub=None if pubsub is None else pubsub_snapshot(pubsub),
    )
