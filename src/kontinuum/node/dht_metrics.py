"""What the DHT of a node tells a monitoring system.

Bounds: a metric has as many labels as there are kinds of operations, reasons or events in our code.
Trust:  labels are our own words; no metric names a peer or a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.dht.events import State
from kontinuum.dht.histogram import BOUNDS_S
from kontinuum.node.dht_operations import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from kontinuum.dht.figures import DhtFigures
    from kontinuum.dht.histogram import Histogram
    from kontinuum.node.dht import NodeDht


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtSnapshot:
    """The figures of a node's DHT at one moment."""

    figures: DhtFigures
    latencies: Mapping[str, Histogram]
    """How long operations took, by kind."""
    malformed: int
    """Requests that were none."""
    in_flight: int
    """Requests that wait for their answer."""
    queued: int
    """Requests that wait for their turn."""
    seeds_dead: int
    """Bootstrap contacts that do not answer."""


def dht_snapshot(dht: NodeDht) -> DhtSnapshot:
    """All figures of this moment. Costs a look at the buckets and at the prefixes of latency tiers."""
    service = dht.service
    return DhtSnapshot(
        figures=dht.machine.figures(),
        latencies=service.latencies,
        malformed=service.counts["malformed"],
        in_flight=service.asks,
        queued=service.queued,
        seeds_dead=dht.seeds["dead"],
    )


def dht_metrics(now: DhtSnapshot) -> Iterator[Metric]:
    """The metrics of one snapshot."""
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    figures = now.figures
    table, records, adaptation = figures.table, figures.records, figures.adaptation
    for name, text, value in (
        ("table_peers", "Peers in the routing table.", table.peers),
        ("table_doubtful", "Of these, such as failed when last asked.", table.doubtful),
        ("table_waiting", "Peers in replacement caches.", table.waiting),
        ("table_buckets", "Buckets that are not empty.", len(table.sizes)),
        ("k", "Size of a bucket, as adapted.", adaptation.k),
        ("alpha", "Requests of a path in flight, as adapted.", adaptation.alpha),
        ("dead_ratio", "Share of peers of the table that turned out dead.", adaptation.dead_share),
        ("latency_prefixes", "Networks whose latency is known.", figures.tiers.prefixes),
        ("latency_tiers", "Tiers that they are divided into.", len(figures.tiers.sizes)),
        ("store_bytes", "Bytes of records held, overhead included.", records.bytes),
        ("store_pressure_ratio", "The same, as a share of the setting.", records.bytes / records.bytes_max),
        ("publications", "Keys that this node publishes.", figures.publications),
        ("operations", "Operations under way.", figures.operations),
        ("requests_in_flight", "Requests that wait for their answer.", now.in_flight),
        ("requests_queued", "Requests that wait for their turn.", now.queued),
        ("bootstrap_dead", "Bootstrap contacts that do not answer.", now.seeds_dead),
    ):
        yield GaugeMetricFamily(f"kontinuum_dht_{name}", text, value)
    if figures.network_size is not None:
        yield GaugeMetricFamily(
            "kontinuum_dht_network_size", "Peers in the network, estimated.", figures.network_size
        )
    state = GaugeMetricFamily("kontinuum_dht_state", "1 for the present state.", labels=["state"])
    for each in State:
        state.add_metric([each.value], each is figures.state)
    yield state
    held = GaugeMetricFamily("kontinuum_dht_records", "Entries held.", labels=["kind"])
    held.add_metric(["value"], records.values)
    held.add_metric(["provider"], records.providers)
    yield held

    rejections = CounterMetricFamily(
        "kontinuum_dht_rejections", "What was refused: contacts, records and requests.", labels=["reason"]
    )
    for refusal, number in records.refused.items():
        rejections.add_metric([f"record_{refusal.name.lower()}"], number)
    for reason, number in table.refusals.items():
        rejections.add_metric([f"table_{reason.name.lower()}"], number)
    rejections.add_metric(["contact"], figures.counts.get("contacts_refused", 0))
    rejections.add_metric(["malformed"], now.malformed)
    yield rejections
    events = CounterMetricFamily("kontinuum_dht_events", "What happened.", labels=["event"])
    for event, number in figures.counts.items():
        events.add_metric([event], number)
    yield events

    operations = HistogramMetricFamily(
        "kontinuum_dht_operation_seconds", "How long operations took.", labels=["kind"]
    )
    for kind, latency in now.latencies.items():
        total, buckets = 0, []
        for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), latency.counts, strict=True):
            total += number
            buckets.append((bound, total))
        operations.add_metric([words(kind)], buckets, latency.total_s)
    yield operations
