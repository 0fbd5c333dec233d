"""Rendezvous: when peers are looked for, and what becomes of those that are found."""

from itertools import pairwise

from helpers.gossip_bench import LOCAL, TOPIC, Bench
from helpers.gossip_net import peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip.rendezvous import FINDS_MAX


def candidates(*numbers):
    """As the directory names them."""
    return tuple(ev.Candidate(peer_id(number)) for number in numbers)


def test_who_joins_says_so_and_looks_for_others():
    """
    At once; who leaves takes it back.
    """
    bench = Bench()
    assert bench.effects == [ev.Advertise(TOPIC), ev.FindPeers(TOPIC)]
    bench.hush()
    bench.give(ev.Subscribe(TOPIC))
    assert bench.effects == []
    bench.give(ev.Unsubscribe(TOPIC))
    assert bench.effects == [ev.Withdraw(TOPIC)]
    bench.give(ev.Unsubscribe(TOPIC))
    assert len(bench.effects) == 1


def test_the_search_goes_on_ever_more_rarely():
    """
    After 1, 2, 4, ... seconds, up to a minute, as long as there are fewer than D_low.
    """
    bench = Bench()
    bench.hush()
    times = []
    while bench.now < 250:
        bench.run(1)
        if bench.all(ev.FindPeers):
            times.append(round(bench.now - 0.9))
            bench.hush()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:5] == [2, 4, 8, 16, 32]
    assert set(gaps[5:]) == {60}

    for number in range(1, 5):
        bench.connect(number)
    bench.hush()
    bench.run(130)
    assert bench.all(ev.FindPeers) == []
    bench.give(ev.PeerDisconnected(peer_id(1)))
    bench.run(1)
    assert bench.all(ev.FindPeers) == [ev.FindPeers(TOPIC)]


def test_who_publishes_without_joining_looks_too():
    """
    But says nothing of himself.
    """
    bench = Bench(topics=())
    bench.give(ev.Publish(TOPIC, b"x", 1))
    bench.give(ev.Publish(TOPIC, b"y", 2))

    assert bench.all(ev.FindPeers) == [ev.FindPeers(TOPIC)]
    assert bench.all(ev.Advertise) == []


def test_some_of_those_found_are_connected_to():
    """
    As long as there are too few; not those that are connected, nor we ourselves.
    """
    bench = Bench()
    bench.connect(1)
    bench.hush()
    bench.give(ev.Candidates(TOPIC, candidates(1, LOCAL, *range(20, 60))))
    (connect,) = bench.all(ev.Connect)
    assert connect.topic == TOPIC
    assert 1 <= len(connect.candidates) <= 12
    assert {candidate.peer for candidate in connect.candidates} <= {peer_id(n) for n in range(20, 60)}

    for number in range(2, 5):
        bench.connect(number)
    bench.hush()
    bench.give(ev.Candidates(TOPIC, candidates(70)))
    bench.give(ev.Candidates("nowhere", candidates(70)))
    assert bench.all(ev.Connect) == []


def test_many_topics_take_turns():
    """
    So many searches begin in a heartbeat, those that waited longest first.
    """
    bench = Bench(topics=[f"topic {number}" for number in range(3 * FINDS_MAX)])
    assert len(bench.all(ev.FindPeers)) == FINDS_MAX
    seen = [effect.topic for effect in bench.all(ev.FindPeers)]
    for _ in range(3):
        bench.hush()
        bench.run(1)
        assert len(bench.all(ev.FindPeers)) <= FINDS_MAX
        seen += [effect.topic for effect in bench.all(ev.FindPeers)]

    assert len(set(seen)) == 3 * FINDS_MAX


def test_peers_of_bad_score_do_not_end_the_search():
    """
    Otherwise D_low of them would keep us from finding anybody else.
    """
    bench = Bench()
    for number in range(1, 7):
        bench.connect(number)
    bench.run(10)
    bench.hush()
    bench.run(130)
    assert not bench.all(ev.FindPeers)

    for number in range(1, 7):
        bench.give(ev.SetApplicationScore(peer_id(number), -1.0))
    bench.run(130)
    assert bench.all(ev.FindPeers)
