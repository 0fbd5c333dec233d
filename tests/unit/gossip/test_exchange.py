"""Peer exchange: whom we name, and whom we believe."""

import pytest

from helpers.gossip_bench import LOCAL, TOPIC, Bench
from helpers.gossip_net import peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip import exchange
from kontinuum.gossip.params import GossipParams
from kontinuum.messages.pubsub_fields import graft_part, prune_part

STRANGERS = range(60, 100)


def record(number):
    """A signed record of a peer, for these tests."""
    return b"record of " + peer_id(number)


def open_record(peer, found):
    """Whether it is that peer's."""
    return found == b"record of " + peer


def named(*numbers):
    """As a PRUNE names them."""
    return [(peer_id(number).multihash, record(number)) for number in numbers]


def bench_with(score, **kwargs):
    """A peer in the mesh with that score."""
    bench = Bench(open_record=open_record, **kwargs)
    bench.connect(1, mesh=True)
    bench.give(ev.SetApplicationScore(peer_id(1), float(score)))
    bench.hush()
    return bench


def connects(bench):
    """Whom the router wants to connect to."""
    return [candidate for effect in bench.all(ev.Connect) for candidate in effect.candidates]


def test_a_prune_for_too_many_names_others():
    """
    Up to prune_peers of the topic with a score that is not negative, with the records that we have.
    """
    bench = Bench(
        params=GossipParams(do_px=True, prune_peers=5),
        record_of=lambda peer: record(3) if peer == peer_id(3) else b"",
    )
    for number in range(1, 13):
        bench.connect(number, mesh=True)
    for number in (13, 14):
        bench.connect(number)
        bench.give(ev.SetApplicationScore(peer_id(number), -1.0))
    bench.connect(15, protocol=ev.Protocol.MESHSUB_1_0)
    bench.hush()
    bench.connect(16)
    bench.tell(16, graft_part(TOPIC))
    bench.tell(15, graft_part(TOPIC))

    (prune,) = bench.heard(16).prune
    known = {peer_id(number).multihash for number in range(1, 16)} - {peer_id(n).multihash for n in (13, 14)}
    assert len(prune.peers) == 5
    assert {peer for peer, _ in prune.peers} <= known
    assert all(found == (record(3) if peer == peer_id(3).multihash else b"") for peer, found in prune.peers)
    assert bench.heard(15).prune[0].peers == ()


def test_nobody_is_named_unless_that_is_wanted():
    """
    do_px is for bootstrappers; and a peer that is sent away for its score hears no names.
    """
    for params, score in ((GossipParams(), 0.0), (GossipParams(do_px=True), -1.0)):
        bench = Bench(params=params)
        for number in range(1, 14):
            bench.connect(number)
            bench.give(ev.SetApplicationScore(peer_id(number), score))
            bench.tell(number, graft_part(TOPIC))

        assert all(prune.peers == () for number in range(1, 14) for prune in bench.heard(number).prune)


def test_a_good_peers_names_are_connected_to():
    """
    Those that are not connected, and not we ourselves; with their records.
    """
    bench = bench_with(50)
    bench.connect(2)
    bench.tell(1, prune_part(TOPIC, [*named(60, 2, LOCAL, 1), (peer_id(61).multihash, b"")], 60))

    assert sorted(connects(bench), key=lambda each: each.record) == [
        ev.Candidate(peer_id(61), b""),
        ev.Candidate(peer_id(60), record(60)),
    ]
    assert {effect.topic for effect in bench.all(ev.Connect)} == {TOPIC}


def test_others_names_are_not_listened_to():
    """
    Below accept_px_threshold.
    """
    bench = bench_with(9.9)
    bench.tell(1, prune_part(TOPIC, named(60), 60))

    assert connects(bench) == []
    assert bench.count("px_refused") == 1


def test_poisoned_records_cost_score():
    """
    Another peer's record, or one that is none; the good ones beside it count.
    """
    bench = bench_with(50)
    poison = [(peer_id(61).multihash, record(62)), (peer_id(63).multihash, b"no record"), (bytes(38), b"")]
    bench.tell(1, prune_part(TOPIC, [*named(60), *poison], 60))
    bench.run(0.05)

    assert [candidate.peer for candidate in connects(bench)] == [peer_id(60)]
    (snapshot,) = bench.router._parts.scores.inspect()
    assert snapshot.behaviour_penalty == pytest.approx(2.0)
    assert (bench.count("px_accepted"), bench.count("px_refused")) == (1, 2)


def test_without_a_way_to_check_records_only_names_are_taken():
    """
    Nobody is punished for what we cannot judge.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.give(ev.SetApplicationScore(peer_id(1), 50.0))
    bench.tell(1, prune_part(TOPIC, [(peer_id(60).multihash, b"whatever")], 60))

    assert connects(bench) == [ev.Candidate(peer_id(60), b"")]


def test_of_many_names_some_are_taken():
    """
    prune_peers of one PRUNE, and so many in a heartbeat.
    """
    bench = bench_with(50)
    bench.tell(1, prune_part(TOPIC, named(*STRANGERS), 60))
    assert len(connects(bench)) == 16


def test_connections_that_are_asked_for_are_bounded(monkeypatch):
    """
    In each heartbeat.
    """
    monkeypatch.setattr(exchange, "CONNECT_MAX", 20)
    bench = bench_with(50)
    for _ in range(3):
        bench.tell(1, prune_part(TOPIC, named(*STRANGERS), 60))
    assert len(connects(bench)) == 20
    bench.run(1)
    bench.hush()
    bench.tell(1, prune_part(TOPIC, named(*STRANGERS), 60))
    assert len(connects(bench)) == 16
