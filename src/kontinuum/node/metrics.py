"""What a node tells a monitoring system: ``/metrics`` for Prometheus, ``/healthz``, ``/readyz``.

The node keeps plain counters, which cost nothing while nobody looks; a scrape takes one
:class:`NodeSnapshot`. Each node has a registry of its own, so that many nodes can live in one process.

Bounds:   LABELS_MAX different outcomes of one metric; the limits of ``local_http``.
Trust:    labels are our own words (codes of errors, directions); nothing that a peer sent becomes one, and no
          metric names a peer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kontinuum.node.local_http import LocalHttpServer, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from kontinuum.node.dht_metrics import DhtSnapshot
    from kontinuum.node.local_address import LocalAddress
    from kontinuum.node.pubsub_metrics import PubSubSnapshot

LABELS_MAX = 64
"""Different outcomes of one metric. Our choice: there are some 20 codes; further ones count as ``other``."""

logger = logging.getLogger("kontinuum.node.metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSnapshot:
    """A node's counters at one moment. Those ending in ``_total`` never fall while it runs."""

    uptime_s: float = 0.0
    """Seconds since the node started."""

    connections: int = 0
    """Open connections."""

    connections_total: Mapping[str, int] = field(default_factory=dict)
    """Connections ever opened, by ``inbound`` and ``outbound``."""

    handshakes_total: Mapping[str, int] = field(default_factory=dict)
    """Handshakes that others began, by ``accepted``, ``refused``, ``retried`` (Retry sent) or ``failed``."""

    half_open: int = 0
    """Handshakes under way."""

    streams: int = 0
    """Open streams."""

    sent_bytes_total: int = 0
    """UDP payload sent."""

    received_bytes_total: int = 0
    """UDP payload received."""

    sent_packets_total: int = 0
    """Packets sent."""

    received_packets_total: int = 0
    """Packets received."""

    lost_packets_total: int = 0
    """Packets declared lost."""

    calls_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Calls by direction (``outgoing``, ``incoming``) and outcome: ``ok`` or the code of the error."""

    handlers: int = 0
    """Handlers at work."""

    buffered_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes waiting, by ``send`` and ``receive``."""

    guard_activations_total: int = 0
    """Times the guard thread kept connections alive while the event loop was blocked."""

    known_peers: int = 0
    """Peers with a saved contact."""

    evictions_total: int = 0
    """Idle connections closed to make room."""

    dht: DhtSnapshot | None = None
    """The DHT; ``None`` for a node that takes no part in it."""

    pubsub: PubSubSnapshot | None = None
    """Topics; ``None`` for a node that has none."""


def create_registry(snapshot: Callable[[], NodeSnapshot]) -> CollectorRegistry:
    """Return a registry that takes one ``snapshot`` per scrape. Imports prometheus-client only now."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.registry import Collector

    class NodeCollector(Collector):
        def collect(self) -> Iterator[Metric]:
            return _metrics(snapshot())

        def describe(self) -> list[Metric]:
            return list(_metrics(NodeSnapshot()))  # Else registering would take a snapshot before the start.

    registry = CollectorRegistry()
    registry.register(NodeCollector())
    ProcessCollector(registry=registry)
    return registry


def metrics_server(
    address: LocalAddress, snapshot: Callable[[], NodeSnapshot], unready: Callable[[], str]
) -> LocalHttpServer:
    """Return a server (start it with ``async with``) of the three pages.

    Args:
        address: where.
        snapshot: the node's counters.
        unready: why the node cannot serve its peers now, as a sentence; empty when it can.
    """
    from prometheus_client import generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    registry = create_registry(snapshot)

    def metrics() -> Page:
        try:
            return Page(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
        except Exception:
            logger.exception("the metrics cannot be written")
            return Page(b"the metrics cannot be written; the log says more\n", 500)

    def ready() -> Page:
        reason = unready()
        return Page(f"{reason}\n".encode(), 503) if reason else Page(b"ready\n")

    return LocalHttpServer(
        address, {"/metrics": metrics, "/healthz": lambda: Page(b"alive\n"), "/readyz": ready}
    )


def _metrics(now: NodeSnapshot) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    for name, text, value in (
        ("uptime_seconds", "Seconds since the node started.", now.uptime_s),
        ("connections", "Open connections.", now.connections),
        ("half_open", "Handshakes under way.", now.half_open),
        ("streams", "Open streams.", now.streams),
        ("handlers", "Handlers at work.", now.handlers),
        ("known_peers", "Peers with a saved contact.", now.known_peers),
    ):
        yield GaugeMetricFamily(f"kontinuum_{name}", text, value)
    for name, text, value in (
        ("sent_bytes", "UDP payload sent.", now.sent_bytes_total),
        ("received_bytes", "UDP payload received.", now.received_bytes_total),
        ("sent_packets", "Packets sent.", now.sent_packets_total),
        ("received_packets", "Packets received.", now.received_packets_total),
        ("lost_packets", "Packets declared lost.", now.lost_packets_total),
        (
            "guard_activations",
            "Times the guard thread stepped in for a blocked loop.",
            now.guard_activations_total,
        ),
        ("evictions", "Idle connections closed to make room.", now.evictions_total),
    ):
        yield CounterMetricFamily(f"kontinuum_{name}", text, value)

    opened = CounterMetricFamily(
        "kontinuum_connections_opened", "Connections ever opened.", labels=["direction"]
    )
    handshakes = CounterMetricFamily(
        "kontinuum_handshakes", "Handshakes that others began.", labels=["outcome"]
    )
    calls = CounterMetricFamily("kontinuum_calls", "Calls by outcome.", labels=["direction", "outcome"])
    buffered = GaugeMetricFamily("kontinuum_buffered_bytes", "Bytes waiting.", labels=["direction"])
    labelled: list[tuple[CounterMetricFamily | GaugeMetricFamily, dict[tuple[str, ...], int]]] = [
        (opened, {(key,): count for key, count in now.connections_total.items()}),
        (handshakes, {(key,): count for key, count in now.handshakes_total.items()}),
        (calls, dict(now.calls_total.items())),
        (buffered, {(key,): count for key, count in now.buffered_bytes.items()}),
    ]
    for family, counts in labelled:
        for labels, count in _bounded(counts).items():
            family.add_metric(labels, count)
        yield family
    if now.dht is not None:
        from kontinuum.node.dht_metrics import dht_metrics

        yield from dht_metrics(now.dht)
    if now.pubsub is not None:
        from kontinuum.node.pubsub_metrics import pubsub_metrics

        yield from pubsub_metrics(now.pubsub)


def _bounded(counts: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """Return the counts under at most LABELS_MAX labels; the rest is added up as ``other``."""
    bounded: dict[tuple[str, ...], int] = {}
    for labels, count in counts.items():
        key = labels if len(bounded) < LABELS_MAX or labels in bounded else (*labels[:-1], "other")
        bounded[key] = bounded.get(key, 0) + count
    return bounded
