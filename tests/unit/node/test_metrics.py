"""Metrics: what a scrape shows, each node for itself, and health apart from readiness."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kontinuum.node.local_address import LocalAddress
from kontinuum.node.metrics import LABELS_MAX, NodeSnapshot, create_registry, metrics_server

LOCAL = LocalAddress.parse("127.0.0.1:0")


class Counters:
    """A node's counters that a test can change."""

    def __init__(self, **values):
        self.values = values
        self.asked = 0
        self.reason = ""

    def snapshot(self):
        """The counters now."""
        self.asked += 1
        return NodeSnapshot(**self.values)


async def fetch(server, path):
    """Status and body of a page."""
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def samples(text):
    """Name and labels -> value of everything of ours."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("kontinuum_")
    }


async def test_a_scrape_shows_the_counters_of_that_moment():
    """Gauges, counters and labels, in the form that Prometheus reads."""
    counters = Counters(
        connections=3,
        connections_total={"inbound": 2, "outbound": 5},
        handshakes_total={"accepted": 2, "refused": 1, "retried": 4},
        calls_total={("outgoing", "ok"): 10, ("outgoing", "call_timeout"): 1},
        buffered_bytes={"send": 7},
        sent_bytes_total=1000,
        guard_activations_total=1,
    )
    async with metrics_server(LOCAL, counters.snapshot, lambda: counters.reason) as server:
        found = samples((await fetch(server, "/metrics"))[1])
        counters.values["connections"] = 4
        later = samples((await fetch(server, "/metrics"))[1])

    assert found["kontinuum_connections",] == 3
    assert later["kontinuum_connections",] == 4
    assert found["kontinuum_connections_opened_total", "outbound"] == 5
    assert found["kontinuum_handshakes_total", "retried"] == 4
    assert found["kontinuum_calls_total", "outgoing", "call_timeout"] == 1
    assert found["kontinuum_buffered_bytes", "send"] == 7
    assert found["kontinuum_sent_bytes_total",] == 1000
    assert found["kontinuum_guard_activations_total",] == 1


async def test_nothing_is_counted_while_nobody_looks():
    """A snapshot is taken for a scrape of /metrics and for nothing else."""
    counters = Counters()
    async with metrics_server(LOCAL, counters.snapshot, str) as server:
        await fetch(server, "/healthz")
        assert counters.asked == 0
        await fetch(server, "/metrics")
        assert counters.asked == 1


async def test_health_and_readiness_are_apart():
    """A node that lives but cannot serve says why, with 503."""
    counters = Counters()
    async with metrics_server(LOCAL, counters.snapshot, lambda: counters.reason) as server:
        assert await fetch(server, "/healthz") == (200, "alive\n")
        assert await fetch(server, "/readyz") == (200, "ready\n")
        counters.reason = "the UDP socket is closed"
        assert await fetch(server, "/healthz") == (200, "alive\n")
        assert await fetch(server, "/readyz") == (503, "the UDP socket is closed\n")


async def test_a_failing_snapshot_is_a_500_and_the_server_goes_on(caplog):
    """A bug in counting must not end the monitoring, nor show its inside."""

    def fail():
        raise RuntimeError("the inside")

    async with metrics_server(LOCAL, fail, str) as server:
        status, body = await fetch(server, "/metrics")
        assert status == 500
        assert "the inside" not in body
        assert (await fetch(server, "/healthz"))[0] == 200
    assert "the inside" in caplog.text


def test_many_nodes_live_in_one_process():
    """Each registry is its node's own."""
    one, two = Counters(connections=1), Counters(connections=2)
    registries = [create_registry(each.snapshot) for each in (one, two)]

    assert [registry.get_sample_value("kontinuum_connections") for registry in registries] == [1, 2]


@pytest.mark.parametrize("count", [LABELS_MAX, LABELS_MAX + 1, 10 * LABELS_MAX])
def test_the_number_of_labels_is_bounded(count):
    """Beyond the limit outcomes are added up as ``other``; no call is lost in the sum."""
    calls = {("outgoing", f"code_{number}"): 1 for number in range(count)}
    registry = create_registry(Counters(calls_total=calls).snapshot)
    found = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "kontinuum_calls_total"
    ]

    assert len(found) == min(count, LABELS_MAX + 1)
    assert sum(sample.value for sample in found) == count
