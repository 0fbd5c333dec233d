"""The DHT in the metrics."""

from types import SimpleNamespace

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kontinuum.dht.adaptive import Adaptation
from kontinuum.dht.events import Refusal, State
from kontinuum.dht.figures import DhtFigures
from kontinuum.dht.histogram import Histogram
from kontinuum.dht.records import RecordsFigures
from kontinuum.dht.routing_table import EntryRefusal, TableFigures
from kontinuum.dht.tiers import Tiers
from kontinuum.node.dht_metrics import DhtSnapshot, dht_metrics, dht_snapshot
from kontinuum.node.metrics import NodeSnapshot, create_registry


def snapshot(**fields):
    """A node that has done a little of everything."""
    latency = Histogram()
    for seconds in (0.0005, 0.004, 99.0):
        latency.observe(seconds)
    table = TableFigures(
        k=20,
        peers=7,
        doubtful=1,
        waiting=2,
        sizes={250: 3, 255: 4},
        refusals={EntryRefusal.CAPPED: 5},
        **_unknown(TableFigures),
    )
    records = RecordsFigures(
        values=3,
        providers=2,
        bytes=500,
        bytes_max=1000,
        accounts=2,
        stored=9,
        repeated=0,
        expired=0,
        evicted=0,
        refused={Refusal.QUOTA: 4},
    )
    figures = DhtFigures(
        state=State.JOINED,
        network_size=123.4,
        operations=1,
        requests=2,
        publications=6,
        table=table,
        records=records,
        tiers=Tiers().figures(),
        adaptation=Adaptation().why(),
        counts={"contacts_refused": 8, "requests_ping": 11},
    )
    given = {"malformed": 12, "in_flight": 2, "queued": 1, "seeds_dead": 1, **fields}
    return DhtSnapshot(figures=figures, latencies={"FindPeers": latency}, **given)


def _unknown(cls):
    """Fields of figures that this test says nothing about, as 0."""
    known = {"k", "peers", "doubtful", "waiting", "sizes", "refusals"}
    return dict.fromkeys(set(cls.__slots__) - known, 0)


def samples(text):
    """Name and labels -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("kontinuum_dht_")
    }


def test_table_store_rejections_and_lookups_are_told():
    """
    Gauges, rejections by reason, and a histogram of each kind of operation, in the form Prometheus reads.
    """
    registry = create_registry(lambda: NodeSnapshot(dht=snapshot()))
    found = samples(generate_latest(registry).decode())

    assert found["kontinuum_dht_table_peers",] == 7
    assert found["kontinuum_dht_table_buckets",] == 2
    assert found["kontinuum_dht_k",] == 20
    assert found["kontinuum_dht_store_pressure_ratio",] == 0.5
    assert found["kontinuum_dht_network_size",] == 123.4
    assert found["kontinuum_dht_state", "joined"] == 1
    assert found["kontinuum_dht_state", "alone"] == 0
    assert found["kontinuum_dht_rejections_total", "record_quota"] == 4
    assert found["kontinuum_dht_rejections_total", "table_capped"] == 5
    assert found["kontinuum_dht_rejections_total", "contact"] == 8
    assert found["kontinuum_dht_rejections_total", "malformed"] == 12
    assert found["kontinuum_dht_events_total", "requests_ping"] == 11
    buckets = {
        key[-1]: value for key, value in found.items() if key[0] == "kontinuum_dht_operation_seconds_bucket"
    }
    assert (buckets["0.001"], buckets["0.005"], buckets["10.0"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert found["kontinuum_dht_operation_seconds_count", "find_peers"] == 3


def test_without_a_dht_there_are_no_such_metrics():
    """
    A node that takes no part says nothing about it.
    """
    registry = create_registry(NodeSnapshot)
    assert samples(generate_latest(registry).decode()) == {}


def test_a_snapshot_is_a_copy_of_the_moment():
    """
    What the shell counts beside the machine is in it.
    """
    figures = snapshot().figures
    service = SimpleNamespace(latencies={}, counts={"malformed": 3}, asks=4, queued=5)
    machine = SimpleNamespace(figures=lambda: figures)
    taken = dht_snapshot(SimpleNamespace(machine=machine, service=service, seeds={"named": 2, "dead": 1}))
    assert (taken.malformed, taken.in_flight, taken.queued, taken.seeds_dead) == (3, 4, 5, 1)
    assert list(dht_metrics(taken))
