"""The router as a whole: its time, its greetings, and what it shows of itself."""

import pytest

from helpers.gossip_bench import TOPIC, Bench
from helpers.gossip_net import cheap_signer, peer_id, router
from kontinuum.base.errors import MisuseError
from kontinuum.gossip import events as ev
from kontinuum.gossip import peer_score
from kontinuum.gossip.outbox import CONTROL_BYTES_MAX
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.parts import OWN_MAX
from kontinuum.gossip.router import STALLED_S, TOGGLES_MAX
from kontinuum.messages.pubsub_fields import prune_part, subscription_field


def test_the_first_heartbeat_comes_soon_and_the_others_each_second():
    """
    After heartbeat_initial_delay; a standstill is not made up for.
    """
    machine = router()
    assert machine.next_deadline() == 0.0
    machine.handle_timeout(50.0)
    times = []
    for _ in range(3):
        times.append(machine.next_deadline())
        machine.handle_timeout(times[-1])
    assert times == pytest.approx([50.1, 51.1, 52.1])
    machine.handle_timeout(90.0)
    assert machine.counters()["heartbeats"] == 4
    assert 90.0 < machine.next_deadline() <= 91.0


def test_an_early_call_does_nothing():
    """
    The deadline stays.
    """
    bench = Bench()
    bench.connect(1)
    bench.hush()
    due = bench.router.next_deadline()

    assert bench.router.handle_timeout(bench.now) == []
    assert bench.router.next_deadline() == due


def test_scores_decay_in_time():
    """
    The scores' own deadline is one of the router's.
    """
    bench = Bench()
    bench.connect(1)
    bench.say(1, b"\x12")
    before = bench.score(1)
    bench.run(300)

    assert before < 0
    assert bench.score(1) >= 0


def test_a_greeting_has_all_topics():
    """
    However many; and a new topic is told to all who are connected.
    """
    names = [f"topic {number}" for number in range(2000)]
    bench = Bench(topics=names)
    bench.connect(1, topics=())
    assert bench.heard(1).subscriptions == tuple((True, name) for name in names)
    bench.give(ev.Subscribe("one more"), ev.Unsubscribe(names[0]))

    assert bench.heard(1).subscriptions == ((True, "one more"), (False, names[0]))


def test_who_comes_and_goes_is_told_to_the_application():
    """
    Of topics that we are in; at joining, of those who are there already.
    """
    bench = Bench()
    bench.connect(1, topics=(TOPIC, "hall"))
    bench.say(1, subscription_field(TOPIC, subscribe=True))
    bench.give(ev.Subscribe("hall"))
    bench.say(1, subscription_field("hall", subscribe=False))
    bench.say(1, subscription_field("hall", subscribe=False))
    bench.give(ev.PeerDisconnected(peer_id(1)))
    bench.give(ev.PeerDisconnected(peer_id(1)))

    assert [each for each in bench.effects if isinstance(each, ev.PeerJoined | ev.PeerLeft)] == [
        ev.PeerJoined(TOPIC, peer_id(1)),
        ev.PeerJoined("hall", peer_id(1)),
        ev.PeerLeft("hall", peer_id(1)),
        ev.PeerLeft(TOPIC, peer_id(1)),
    ]


def test_of_one_rpc_the_last_word_about_a_topic_counts():
    """
    A peer that comes and goes a thousand times in it has come once.
    """
    bench = Bench()
    bench.connect(1, topics=())
    comes, goes = (subscription_field(TOPIC, subscribe=subscribe) for subscribe in (True, False))
    bench.say(1, *[comes, goes] * 1000, comes)
    bench.say(1, *[goes, comes] * 1000)
    bench.say(1, *[comes, goes] * 1000)

    assert [each for each in bench.effects if isinstance(each, ev.PeerJoined | ev.PeerLeft)] == [
        ev.PeerJoined(TOPIC, peer_id(1)),
        ev.PeerLeft(TOPIC, peer_id(1)),
    ]


def test_who_comes_back_all_the_time_pays():
    """
    For each TOGGLES_MAX returns of a heartbeat, beyond the first so many; until it is graylisted.
    """
    bench = Bench(topics=(TOPIC, "hall"))
    bench.connect(1)

    def toggle(count):
        for _ in range(count):
            for subscribe in (False, True):
                bench.say(1, subscription_field(TOPIC, subscribe=subscribe))

    def offences():
        (snapshot,) = bench.router._parts.scores.inspect()
        return snapshot.behaviour_penalty

    toggle(2 * TOGGLES_MAX - 1)
    assert offences() == 0
    toggle(1)
    assert offences() == 1
    bench.run(1)
    before = offences()
    toggle(TOGGLES_MAX)
    bench.say(1, subscription_field("hall", subscribe=True))
    assert offences() == before
    toggle(100 * TOGGLES_MAX)
    assert bench.count("rpcs_graylisted") > 50 * TOGGLES_MAX


def test_who_reads_nothing_is_named_after_a_while():
    """
    The router has no use for it; what waits for it is bounded meanwhile, and it pays for being slow.
    """
    bench = Bench(params=GossipParams(queue_bytes_max=100_000))
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True, room_bytes=0)
    scores = []
    for _ in range(int(STALLED_S) + 10):
        for _ in range(30):
            bench.say(1, bench.message(data=bytes(1000)))
        bench.run(1)
        (_, snapshot) = bench.router.snapshot().peers
        assert snapshot.queued_bytes <= 100_000
        scores.append(snapshot.score)

    assert ev.Disconnect(peer_id(2), ev.DisconnectReason.STALLED) in bench.effects
    assert min(scores) < -50
    assert bench.mesh() == [1]
    assert len(bench.delivered()) == 30 * (int(STALLED_S) + 10)


def test_who_lost_a_control_message_is_of_no_use():
    """
    It believes something that is not so.
    """
    bench = Bench()
    bench.connect(1, room_bytes=0)
    box = bench.router._parts.peers[peer_id(1)].outbox
    for number in range(CONTROL_BYTES_MAX // len(prune_part("t" * 250))):
        box.put_control(prune_part(f"{number:0250}"))
    bench.give(ev.Subscribe("a" * 250), ev.Subscribe("b" * 250))

    assert ev.Disconnect(peer_id(1), ev.DisconnectReason.STALLED) in bench.effects


def test_who_is_graylisted_is_named_once():
    """
    Until it has recovered and is so again.
    """
    bench = Bench()
    bench.connect(1)
    disconnect = ev.Disconnect(peer_id(1), ev.DisconnectReason.GRAYLISTED)
    bench.give(ev.SetApplicationScore(peer_id(1), -3000.0))
    bench.run(3)
    assert bench.effects.count(disconnect) == 1
    bench.give(ev.SetApplicationScore(peer_id(1), 0.0))
    bench.run(1)
    bench.give(ev.SetApplicationScore(peer_id(1), -3000.0))
    bench.run(1)
    assert bench.effects.count(disconnect) == 2


def test_more_peers_than_can_be_scored_are_not_served(monkeypatch):
    """
    They are named, and what they say is not heard.
    """
    monkeypatch.setattr(peer_score, "PEERS_MAX", 2)
    bench = Bench()
    for number in (1, 2, 3):
        bench.connect(number)

    assert bench.router.topic_peers(TOPIC) == [peer_id(1), peer_id(2)]
    assert bench.all(ev.Disconnect) == [ev.Disconnect(peer_id(3), ev.DisconnectReason.TOO_MANY_PEERS)]


def test_direct_peers_are_connected_to_again_and_again():
    """
    At the first heartbeat, every five minutes, and when one is added (v1.1, "Explicit Peering Agreements").
    """
    bench = Bench(params=GossipParams(direct_peers=(peer_id(1), peer_id(2))))
    bench.connect(2)
    bench.run(299)
    wanted = ev.Connect(None, (ev.Candidate(peer_id(1)),))
    assert bench.all(ev.Connect) == [wanted]
    bench.run(2)
    assert bench.all(ev.Connect) == [wanted, wanted]
    bench.hush()
    bench.give(ev.AddDirectPeer(peer_id(3)), ev.RemoveDirectPeer(peer_id(1)))
    assert bench.all(ev.Connect)[-1].candidates[-1] == ev.Candidate(peer_id(3))


def test_misuse_loses_nothing_of_the_batch():
    """
    It is raised at the end; the effects of the others come with the next call.
    """
    bench = Bench()
    bench.connect(1)
    with pytest.raises(MisuseError):
        bench.give(
            ev.Subscribe(""),
            ev.RpcReceived(peer_id(1), bench.message()),
            ev.Publish(TOPIC, b"mine", 1),
        )
    bench.run(0.2)

    assert bench.delivered() == [b"data", b"mine"]
    assert [message.data for message in bench.heard(1).messages] == [b"mine"]


def test_what_can_be_seen():
    """
    Peers, topics and counters, for the command line and for metrics.
    """
    bench = Bench()
    bench.connect(1, mesh=True, outbound=True, address="192.0.2.1")
    bench.connect(2, topics=("hall",), room_bytes=0, protocol=ev.Protocol.MESHSUB_1_1)
    bench.say(1, bench.message())
    bench.give(ev.Publish("hall", b"x", 1))
    snapshot = bench.router.snapshot()

    one, two = snapshot.peers
    assert (one.peer, one.outbound, one.address, one.meshes) == (peer_id(1), True, "192.0.2.1", (TOPIC,))
    assert one.score == bench.score(1) > 0
    assert (two.protocol, two.topics, two.meshes) == (ev.Protocol.MESHSUB_1_1, 1, ())
    assert (two.queued, two.queued_bytes > 100) == (2, True)
    room, hall = snapshot.topics
    assert (room.name, room.joined, room.mesh) == (TOPIC, True, (peer_id(1),))
    assert (hall.name, hall.joined, hall.peers) == ("hall", False, 1)
    assert (snapshot.topics_known, snapshot.seen, snapshot.cached) == (2, 2, 2)
    assert snapshot.counters == bench.router.counters()
    assert bench.router.topics() == [TOPIC]
    assert bench.router.topic_peers("hall") == [peer_id(2)]
    assert bench.router.mesh_peers("hall") == bench.router.topic_peers("nowhere") == []


class TestAnotherName:
    def test_a_peer_goes_on_under_it(self):
        """
        In the mesh, with its topics and what waits for it; who watches hears that one came for the other.
        """
        bench = Bench()
        for number in (1, 2):
            bench.connect(number, mesh=True)
        bench.hush()
        bench.give(ev.PeerRenamed(peer_id(1), peer_id(7)))
        assert set(bench.mesh()) == {7, 2}
        assert bench.effects == [ev.PeerLeft(TOPIC, peer_id(1)), ev.PeerJoined(TOPIC, peer_id(7))]
        bench.say(2, bench.message(author=2))
        assert [len(bench.heard(number).messages) for number in (1, 7)] == [0, 1]
        bench.say(7, bench.message(author=7, data=b"hello"))
        assert bench.delivered()[-1] == b"hello"
        bench.say(1, bench.message(author=7))
        assert bench.count("rpcs_stray") == 1

    def test_a_direct_peer_stays_one(self):
        """
        Its old name is not looked for.
        """
        bench = Bench(params=GossipParams(direct_peers=(peer_id(1),), direct_connect_ticks=1))
        bench.connect(1)
        bench.give(ev.PeerRenamed(peer_id(1), peer_id(7)))
        bench.hush()
        bench.run(3)
        assert bench.all(ev.Connect) == []
        bench.give(ev.PeerDisconnected(peer_id(7)))
        bench.run(3)
        assert {each.peer for effect in bench.all(ev.Connect) for each in effect.candidates} == {peer_id(7)}

    def test_a_message_that_waits_goes_to_nobody_twice(self):
        """
        Who had it under the old name leaves the topic and comes back under the new one.
        """
        bench = Bench()
        bench.give(ev.Publish(TOPIC, b"waits", 1))
        bench.connect(1)
        assert len(bench.heard(1).messages) == 1
        bench.give(ev.PeerRenamed(peer_id(1), peer_id(7)))
        bench.say(7, subscription_field(TOPIC, subscribe=False))
        bench.say(7, subscription_field(TOPIC, subscribe=True))
        assert bench.heard(7).messages == ()

    def test_a_name_that_inherits_is_worth_what_the_other_is(self):
        """
        Before it is connected and after.
        """
        bench = Bench()
        bench.connect(1)
        bench.router._parts.scores.behaviour_penalty(peer_id(1), 50.0)
        bench.give(ev.PeerInherits(peer_id(7), peer_id(1)))
        assert bench.score(7) == bench.score(1) < 0


class TestOurOwnName:
    def test_messages_are_the_new_ones_and_own_ones_are_never_taken_back(self):
        """
        Those of either, however they come back; sequence numbers go on.
        """
        bench = Bench()
        bench.connect(1, mesh=True)
        bench.give(ev.Publish(TOPIC, b"before", 1))
        bench.router.adopt(peer_id(50), cheap_signer(peer_id(50)))
        bench.give(ev.Publish(TOPIC, b"after", 2))
        before, after = (effect.message for effect in bench.all(ev.Deliver))
        assert (before.author, after.author) == (peer_id(0), peer_id(50))
        assert after.received_from == peer_id(50)
        assert after.seqno > before.seqno
        for author in (0, 50):
            bench.say(1, bench.message(author=author, data=b"forged or old"))
        assert bench.count("own_returned") == 2
        assert bench.delivered() == [b"before", b"after"]

    def test_few_former_names_are_kept(self):
        """
        OWN_MAX; the present one is always among them.
        """
        bench = Bench()
        for number in range(50, 50 + OWN_MAX + 3):
            bench.router.adopt(peer_id(number), cheap_signer(peer_id(number)))
        own = bench.router._parts.own
        assert (len(own), list(own)[-1]) == (OWN_MAX, peer_id(50 + OWN_MAX + 2).multihash)
