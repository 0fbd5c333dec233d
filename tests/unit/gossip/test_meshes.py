"""Meshes: who is taken in, who is sent away, and what a heartbeat puts right."""

import pytest

from helpers.gossip_bench import TOPIC, Bench
from helpers.gossip_net import peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.score_params import PeerScoreThresholds
from kontinuum.messages.pubsub import Prune
from kontinuum.messages.pubsub_fields import control_field, graft_part, prune_part, subscription_field

MINUTE = 60


def rated(bench, number, value):
    """Let the application say what it thinks of a peer: its score, as long as it does nothing."""
    bench.give(ev.SetApplicationScore(peer_id(number), float(value)))


def test_newcomers_are_grafted_until_there_are_enough():
    """
    At once up to D_low; each is told so, behind our greeting.
    """
    bench = Bench()
    for number in range(1, 9):
        bench.connect(number)

    assert bench.mesh() == [1, 2, 3, 4]
    heard = bench.heard(1)
    assert (heard.subscriptions, heard.graft) == (((True, TOPIC),), (TOPIC,))
    assert bench.heard(5).graft == ()


def test_a_heartbeat_fills_a_mesh_that_is_too_small():
    """
    Below D_low up to D, with peers by lot.
    """
    bench = Bench()
    for number in range(1, 10):
        bench.connect(number)
    bench.tell(1, prune_part(TOPIC, (), 60))
    bench.hush()
    bench.run(1)

    assert len(bench.mesh()) == 6
    assert 1 not in bench.mesh()
    new = [number for number in range(1, 10) if bench.heard(number).graft == (TOPIC,)]
    assert sorted(new) == sorted(set(bench.mesh()) - {2, 3, 4})


def test_joining_makes_a_mesh_of_those_who_are_there():
    """
    D of them, told in the same RPC that we joined.
    """
    bench = Bench(topics=())
    for number in range(1, 10):
        bench.connect(number)
    bench.hush()
    bench.give(ev.Subscribe(TOPIC))

    assert len(bench.mesh()) == 6
    for number in range(1, 10):
        heard = bench.heard(number)
        assert heard.subscriptions == ((True, TOPIC),)
        assert (heard.graft == (TOPIC,)) is (number in bench.mesh())


def test_joining_begins_with_those_whom_we_published_to():
    """
    v1.0, JOIN: the fanout's peers first.
    """
    bench = Bench(topics=(), params=GossipParams(flood_publish=False))
    for number in range(1, 20):
        bench.connect(number)
    bench.give(ev.Publish(TOPIC, b"early", 1))
    fanout = [number for number in range(1, 20) if bench.heard(number).messages]
    assert len(fanout) == 6
    bench.give(ev.Subscribe(TOPIC))

    assert sorted(bench.mesh()) == fanout


def test_leaving_tells_the_mesh_and_everybody_else():
    """
    PRUNE with the short backoff to the mesh, the end of the subscription to all.
    """
    bench = Bench()
    for number in range(1, 7):
        bench.connect(number)
    mesh = bench.mesh()
    bench.hush()
    bench.give(ev.Unsubscribe(TOPIC))

    assert bench.mesh() == []
    for number in range(1, 7):
        heard = bench.heard(number)
        assert heard.subscriptions == ((False, TOPIC),)
        assert heard.prune == ((Prune(TOPIC, (), 10),) if number in mesh else ())


def test_after_leaving_nobody_is_grafted_during_the_backoff():
    """
    Ten seconds and some slack, on our side.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.give(ev.Unsubscribe(TOPIC))
    bench.give(ev.Subscribe(TOPIC))
    assert bench.mesh() == []
    bench.run(11)
    assert bench.mesh() == []
    bench.run(2)
    assert bench.mesh() == [1]


def test_a_graft_is_taken_and_one_for_an_unknown_topic_is_not_answered():
    """
    v1.1, "Spam Protection Measures".
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    for number in range(2, 6):
        bench.connect(number)
    bench.connect(9, topics=(TOPIC, "hall"))
    bench.hush()
    bench.tell(9, graft_part("hall"), graft_part("nowhere"), graft_part(TOPIC))

    assert 9 in bench.mesh()
    assert bench.heard(9).prune == ()
    assert bench.score(9) >= 0


def test_a_graft_of_who_is_not_in_the_topic_is_refused():
    """
    With a PRUNE, so that both sides agree.
    """
    bench = Bench()
    bench.connect(1, topics=())
    bench.hush()
    bench.tell(1, graft_part(TOPIC))

    assert bench.mesh() == []
    assert bench.heard(1).prune == (Prune(TOPIC, (), 60),)


def test_a_full_mesh_takes_only_those_whom_we_dialled():
    """
    D_high: v1.1, "Outbound Mesh Quotas".
    """
    bench = Bench()
    for number in range(1, 13):
        bench.connect(number, mesh=True)
    bench.connect(13, mesh=False)
    bench.tell(13, graft_part(TOPIC))
    assert 13 not in bench.mesh()
    assert bench.heard(13).prune == (Prune(TOPIC, (), 60),)

    bench.connect(14, outbound=True)
    bench.tell(14, graft_part(TOPIC))
    assert 14 in bench.mesh()


def test_too_many_are_pruned_to_d():
    """
    Above D_high: the D_score best stay, and D_out that we dialled.
    """
    bench = Bench()
    for number in range(1, 13):
        bench.connect(number, mesh=True)
        rated(bench, number, 5 if number in (3, 7, 8, 11) else 1)
    for number in (13, 14, 15):
        bench.connect(number, outbound=True, mesh=True)
    bench.hush()
    bench.run(1)

    mesh = bench.mesh()
    assert len(mesh) == 6
    assert {3, 7, 8, 11} <= set(mesh)
    assert len({13, 14, 15} & set(mesh)) == 2
    for number in range(1, 16):
        assert bench.heard(number).prune == (() if number in mesh else (Prune(TOPIC, (), 60),))


def test_the_quota_of_dialled_ones_is_filled():
    """
    D_out: an inbound attack cannot have the whole mesh.
    """
    bench = Bench()
    for number in range(1, 6):
        bench.connect(number, mesh=True)
    for number in (20, 21, 22):
        bench.connect(number, outbound=True)
    bench.run(1)

    assert len({20, 21, 22} & set(bench.mesh())) == 2


def test_who_has_a_negative_score_is_pruned_and_not_grafted():
    """
    v1.1, "Heartbeat Maintenance".
    """
    bench = Bench()
    for number in range(1, 6):
        bench.connect(number, mesh=True)
    rated(bench, 3, -1)
    bench.hush()
    bench.run(1)
    assert 3 not in bench.mesh()
    assert bench.heard(3).prune == (Prune(TOPIC, (), 60),)

    bench.tell(3, graft_part(TOPIC))
    assert 3 not in bench.mesh()
    rated(bench, 6, -1)
    bench.connect(6)
    bench.tell(6, graft_part(TOPIC))
    assert 6 not in bench.mesh()
    assert bench.heard(6).prune == (Prune(TOPIC, (), 60),)


def test_a_graft_that_still_waits_is_withdrawn_by_a_prune():
    """
    It would come during the backoff, and cost us score at the other side.
    """
    for leaves in (False, True):
        bench = Bench()
        bench.connect(1, room_bytes=0)
        assert bench.mesh() == [1]
        if leaves:
            bench.give(ev.Unsubscribe(TOPIC))
        else:
            bench.tell(1, prune_part(TOPIC))
        bench.give(ev.Writable(peer_id(1), 10_000))

        heard = bench.heard(1)
        assert heard.graft == ()
        assert heard.prune == ((Prune(TOPIC, (), 10),) if leaves else ())


def test_an_empty_mesh_takes_nobody_with_a_negative_score():
    """
    Neither at once nor at a heartbeat, however few there are.
    """
    bench = Bench()
    rated(bench, 1, -1)
    bench.connect(1, outbound=True)
    bench.run(3)
    assert bench.mesh() == []
    rated(bench, 1, 0)
    bench.run(1)
    assert bench.mesh() == [1]


def test_who_reads_nothing_is_not_grafted():
    """
    Until its stream takes something again.
    """
    bench = Bench()
    bench.connect(1, room_bytes=0)
    bench.tell(1, prune_part(TOPIC, (), 1))
    bench.run(8)
    assert bench.mesh() == []
    bench.give(ev.Writable(peer_id(1), 10_000))
    bench.run(1)
    assert bench.mesh() == [1]


def test_a_prune_is_obeyed_for_as_long_as_it_says():
    """
    And slack; 0 or nothing means our own time.
    """
    for said, seconds in ((30, 30), (None, MINUTE), (0, MINUTE)):
        bench = Bench()
        bench.connect(1, mesh=True)
        bench.tell(1, prune_part(TOPIC, (), said))
        assert bench.mesh() == []
        bench.run(seconds + 1)
        assert bench.mesh() == []
        bench.run(3)
        assert bench.mesh() == [1]


def test_a_graft_during_backoff_costs_score_and_longer_backoff():
    """
    Twice shortly after the PRUNE, once later; the first one that crossed it nothing.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.run(10)
    bench.give(ev.Unsubscribe(TOPIC))
    bench.give(ev.Subscribe(TOPIC))
    bench.hush()

    bench.tell(1, graft_part(TOPIC))
    assert bench.heard(1).prune == (Prune(TOPIC, (), 60),)
    bench.run(5)
    bench.tell(1, graft_part(TOPIC))
    assert bench.heard(1).prune == (Prune(TOPIC, (), 120),)
    bench.run(20)
    bench.tell(1, graft_part(TOPIC))
    assert bench.heard(1).prune == (Prune(TOPIC, (), 240),)

    (snapshot,) = bench.router._parts.scores.inspect()
    assert snapshot.behaviour_penalty == pytest.approx(3.0, abs=0.3)
    assert bench.count("grafts_refused") == 3


def test_opportunistic_grafting_improves_a_poor_mesh():
    """
    Every sixtieth heartbeat, two that are better than the median.
    """
    thresholds = PeerScoreThresholds(opportunistic_graft_threshold=5.0)
    bench = Bench(thresholds=thresholds)
    for number in range(1, 6):
        bench.connect(number, mesh=True)
        rated(bench, number, 1)
    for number in range(6, 10):
        bench.connect(number)
        rated(bench, number, 20 if number != 9 else 0)
    bench.run(58)
    assert sorted(bench.mesh()) == [1, 2, 3, 4, 5]
    bench.run(2)

    assert len(bench.mesh()) == 7
    assert set(bench.mesh()) - {1, 2, 3, 4, 5} < {6, 7, 8}


def test_a_full_mesh_of_poor_peers_is_improved_and_pruned():
    """
    Attackers who fill a mesh up to D_high do not stay for good: two better ones come, the best stay, and the
    heartbeat ends within D_high.
    """
    bench = Bench(thresholds=PeerScoreThresholds(opportunistic_graft_threshold=5.0))
    full = bench.router._parts.params.D_high
    for number in range(1, full + 1):
        bench.connect(number, mesh=True)
        rated(bench, number, 0)
    for number in range(full + 1, full + 4):
        bench.connect(number)
        rated(bench, number, 20)
    bench.run(58)
    assert len(bench.mesh()) == full
    bench.run(2)

    assert len(bench.mesh()) == bench.router._parts.params.D
    assert len(set(bench.mesh()) & {full + 1, full + 2, full + 3}) == 2


def test_a_good_mesh_is_left_alone():
    """
    A median at the threshold is good enough.
    """
    bench = Bench(thresholds=PeerScoreThresholds(opportunistic_graft_threshold=5.0))
    for number in range(1, 6):
        bench.connect(number, mesh=True)
        rated(bench, number, 5)
    bench.connect(6)
    rated(bench, 6, 50)
    bench.run(61)

    assert 6 not in bench.mesh()


def test_a_peer_that_leaves_or_goes_is_out_of_the_mesh():
    """
    It needs no PRUNE; the application hears of it.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True)
    bench.hush()
    bench.say(1, subscription_field(TOPIC, subscribe=False))
    bench.give(ev.PeerDisconnected(peer_id(2)))

    assert bench.mesh() == []
    assert bench.heard(1).prune == ()
    assert bench.all(ev.PeerLeft) == [ev.PeerLeft(TOPIC, peer_id(1)), ev.PeerLeft(TOPIC, peer_id(2))]
    assert bench.router.topic_peers(TOPIC) == []


def test_a_stream_that_was_opened_anew_begins_anew():
    """
    The peer has forgotten us: greeting and GRAFT again, without backoff (facts of go: a closed stream ends
    everything).
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.hush()
    bench.give(ev.PeerConnected(peer_id(1), ev.Protocol.MESHSUB_1_1, outbound=False))

    heard = bench.heard(1)
    assert (heard.subscriptions, heard.graft, heard.prune) == (((True, TOPIC),), (TOPIC,), ())
    assert bench.mesh() == [1]


@pytest.mark.parametrize(
    ("protocol", "prune"),
    [
        (ev.Protocol.MESHSUB_1_0, Prune(TOPIC, (), None)),
        (ev.Protocol.MESHSUB_1_1, Prune(TOPIC, (), 10)),
    ],
)
def test_a_prune_is_what_the_peers_version_knows(protocol, prune):
    """
    v1.0 knows no backoff.
    """
    bench = Bench()
    bench.connect(1, protocol=protocol, mesh=True)
    bench.hush()
    bench.give(ev.Unsubscribe(TOPIC))

    assert bench.heard(1).prune == (prune,)


def test_direct_peers_are_in_no_mesh():
    """
    A GRAFT of one is an error of its configuration: a PRUNE, and nothing else.
    """
    bench = Bench(params=GossipParams(direct_peers=(peer_id(1),)))
    bench.connect(1)
    bench.connect(2)
    bench.hush()
    bench.say(1, control_field([graft_part(TOPIC)]))
    assert bench.mesh() == [2]
    assert bench.heard(1).prune == (Prune(TOPIC, (), 60),)

    bench.give(ev.AddDirectPeer(peer_id(2)))
    assert bench.mesh() == []
    assert bench.heard(2).prune == (Prune(TOPIC, (), 60),)
    bench.run(30)
    assert bench.mesh() == []
    bench.give(ev.RemoveDirectPeer(peer_id(2)))
    bench.run(40)
    assert bench.mesh() == [2]


def test_a_bootstrapper_has_no_mesh_and_names_peers():
    """
    D = 0 with peer exchange: every GRAFT ends in a PRUNE that names others (v1.1, "Recommendations for
    Network Operators").
    """
    params = GossipParams(D=0, D_low=0, D_high=0, D_out=0, D_score=0, do_px=True)
    bench = Bench(params=params)
    for number in range(1, 6):
        bench.connect(number, mesh=False)
    bench.tell(1, graft_part(TOPIC))
    bench.run(5)

    assert bench.mesh() == []
    (prune,) = bench.heard(1).prune
    assert {peer for peer, _ in prune.peers} == {peer_id(number).multihash for number in range(2, 6)}
