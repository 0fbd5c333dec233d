"""The verdict on a network, and how it is shown."""

import pytest

from kontinuum.cli import schema
from kontinuum.cli.up.summary import NodeState, PairState, Summary, host_and_port, rows, text


def network(count=3):
    """Return a network in which everything went well."""
    nodes = [
        NodeState(
            index,
            phase="running",
            alive=True,
            peer_id=f"{index}" * 64,
            address="/ip4/127.0.0.1/udp/4433/quic-v1",
            published=20,
            awaited=20 * (count - 1),
            heard=20 * (count - 1),
            pairs={
                other: PairState(
                    connected=True,
                    path="direct",
                    rtt_ms=0.5,
                    resolve_ms=1.5,
                    calls_ok=51,
                    round_ok=50,
                    round_ms=10.0,
                )
                for other in range(count)
                if other != index
            },
        )
        for index in range(count)
    ]
    return Summary(
        nodes,
        file_name="f",
        file_bytes=100,
        file_digest="d",
        file_receivers=count - 1,
        file_verified_by=count - 1,
        messages_sent=6,
        messages_verified=6,
        complete=True,
    )


def test_all_is_well_when_everything_was_done_and_nothing_failed():
    """
    The JSON has the documented keys; the pairs are unordered, the calls of both directions count.
    """
    summary = network()
    data = summary.to_json()
    assert summary.ok
    assert tuple(data) == schema.RESULTS["up"]
    assert {tuple(peer) for peer in data["peers"]} == {schema.UP_PEER}
    assert (data["pairs"], data["pairs_connected"], data["calls_ok"]) == (3, 3, 6 * 51)
    assert (data["dht_pairs"], data["dht_resolved"]) == (6, 6)
    assert (data["pubsub_published"], data["pubsub_delivered"]) == (60, 120)
    assert data["pubsub_delivery_ratio"] == 1.0
    assert "60 messages published, heard 120 times, 100 % delivered" in text(summary)
    assert "all is well" in text(summary)


def dies(summary):
    """Spoil one thing."""
    summary.nodes[1].alive = False


def half_connected(summary):
    """Spoil one thing."""
    summary.nodes[0].pairs[1].connected = False


def call_fails(summary):
    """Spoil one thing."""
    summary.nodes[2].pairs[0].calls_failed = 1


def file_missing(summary):
    """Spoil one thing."""
    summary.file_verified_by = 1


def message_lost(summary):
    """Spoil one thing."""
    summary.messages_verified = 5


def not_heard(summary):
    """Spoil one thing."""
    summary.nodes[2].heard -= 1


def silent(summary):
    """Spoil one thing."""
    for node in summary.nodes:
        node.published = node.heard = node.awaited = 0


def not_found(summary):
    """Spoil one thing."""
    summary.nodes[0].pairs[2].resolve_ms = None


def problem(summary):
    """Spoil one thing."""
    summary.problems.append("something")


def not_done(summary):
    """Spoil one thing."""
    summary.complete = False


def nothing_sent(summary):
    """Spoil one thing."""
    summary.messages_sent = summary.messages_verified = 0


@pytest.mark.parametrize(
    "spoil",
    [
        dies,
        half_connected,
        call_fails,
        not_found,
        not_heard,
        silent,
        file_missing,
        message_lost,
        problem,
        not_done,
        nothing_sent,
    ],
)
def test_one_thing_that_went_wrong_is_enough(spoil):
    """
    A dead node, a one-sided connection, a failed call, a missing file: never "all is well".
    """
    summary = network()
    spoil(summary)
    assert not summary.ok
    assert summary.to_json()["ok"] is False
    assert "NOT all is well" in text(summary)


def test_a_dead_node_takes_its_pairs_with_it():
    """
    Pairs of a dead node are not connected, whatever was seen last.
    """
    summary = network(4)
    dies(summary)
    assert (summary.pairs, summary.pairs_connected) == (6, 3)
    assert summary.to_json()["nodes_alive"] == 3


def test_rates_are_not_added_up_beyond_what_happened():
    """
    A node calls one peer after another, so its rate is calls by time; nodes call side by side.
    """
    summary = network()
    assert summary.nodes[0].calls_per_s == 100 / 0.02
    assert summary.calls_per_s == 3 * 100 / 0.02


def test_the_table_shows_host_and_port_and_hides_nothing():
    """
    Addresses are short, failures stand beside the calls, and hostile text cannot reach the terminal.
    """
    summary = network()
    summary.nodes[0].pairs[1].calls_failed = 2
    summary.file_name = "\x1b[2J"
    row = rows(summary)[0]
    assert row[3] == "127.0.0.1:4433"
    assert row[7] == "2/2"
    assert row[8] == "100%"
    assert row[10] == "102 (2 failed)"
    assert "\x1b" not in text(summary)
    assert host_and_port("strange") == "strange"
