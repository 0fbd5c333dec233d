"""What broke the systems before this one (attacks 21 to 28), against routers in virtual time.

Each story is told with the defence, and where it can be switched off from outside, without it as well.
"""

import os
import subprocess
import sys

import pytest

from helpers.gossip_bench import TOPIC, Bench
from helpers.gossip_net import START_NS, GossipNet, cheap_signer, message_body, peer_id, unix_ns
from kontinuum.gossip import events as ev
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds
from kontinuum.gossip.topics import PEER_TOPICS_MAX
from kontinuum.messages.pubsub_fields import (
    control_field,
    graft_part,
    idontwant_part,
    ihave_part,
    iwant_part,
    message_field,
    prune_part,
    subscription_field,
)

GRAYLIST = PeerScoreThresholds().graylist_threshold


def everybody_got(net, numbers, expected):
    """Whether each of them delivered exactly these data, in whichever order."""
    return all(sorted(net.got(number)) == sorted(expected) for number in numbers)


def ring(count):
    """So many routers, each connected to the next."""
    net = GossipNet(seed=3)
    for number in range(count):
        net.add(number)
    for number in range(count):
        net.connect(number, (number + 1) % count)
    return net


def full(count, **kwargs):
    """So many routers, each connected to each."""
    net = GossipNet(seed=4, **kwargs)
    for number in range(count):
        net.add(number)
    for one in range(count):
        for other in range(one):
            net.connect(one, other)
    return net


# --- 21: cycles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [ring, full])
def test_21_ten_nodes_in_cycles_publish_at_once(shape):
    """
    A ring and a full mesh: everybody gets everything exactly once, within some hops.
    """
    net = shape(10)
    net.subscribe(TOPIC)
    net.run(3)
    expected = [bytes([number, each]) for number in range(10) for each in range(20)]
    for number in range(10):
        net.give(number, *(ev.Publish(TOPIC, bytes([number, each]), 0) for each in range(20)))
    net.run(0.6)

    assert everybody_got(net, range(10), expected)


def test_21_the_death_of_a_peer_delays_nobody():
    """
    One of them dies in the middle, or stops to read without a word: the others' delays stay what they were.
    """
    for die in (lambda net: net.kill(5), lambda net: net.frozen.add(5)):
        net = full(10, room_bytes=4000)
        net.subscribe(TOPIC)
        net.run(3)
        others = [number for number in range(10) if number != 5]
        for step in range(100):
            if step == 50:
                die(net)
            net.publish(others[step % 9], TOPIC, step.to_bytes(300))
            net.run(0.15)
            assert all(step.to_bytes(300) in net.got(number)[-3:] for number in others), step
        assert all(len(net.got(number)) == 100 for number in others)


# --- 22: a restarted node -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("clock", "is_heard"), [(unix_ns, True), (lambda _: 0, False)])
def test_22_a_restarted_node_is_heard_at_once(clock, is_heard):
    """
    Since its sequence numbers come from the time. From 0, as Korium has them, it is taken for its own past.
    """
    net = GossipNet(seed=1)
    net.add(0)
    net.add(1, unix_ns=clock)
    net.connect(0, 1)
    net.subscribe(TOPIC)
    net.run(2)
    for _ in range(5):
        net.publish(1, TOPIC, b"before")
    net.run(5)
    net.kill(1)
    net.add(1, unix_ns=clock)
    net.connect(0, 1)
    net.subscribe(TOPIC, 1)
    net.run(1)
    net.publish(1, TOPIC, b"after")
    net.run(1)

    assert (b"after" in net.got(0)) is is_heard


def test_22_a_clock_that_was_ahead_and_is_put_right_does_not_mute():
    """
    Up to a minute ahead: longer than that is no time, and means nothing.
    """
    for ahead_s in (50, 3600):
        net = GossipNet(seed=1)
        net.add(0)
        net.add(1, unix_ns=lambda now, ahead=ahead_s: unix_ns(now) + ahead * 10**9)
        net.connect(0, 1)
        net.subscribe(TOPIC)
        net.run(2)
        net.publish(1, TOPIC, b"before")
        net.run(2)
        net.kill(1)
        net.run(125)
        net.add(1)
        net.connect(0, 1)
        net.subscribe(TOPIC, 1)
        net.run(1)
        net.publish(1, TOPIC, b"after")
        net.run(1)

        assert net.got(0) == [b"before", b"after"]


# --- 23: message ids ----------------------------------------------------------------------------------------


def test_23_nobody_can_take_the_place_of_anothers_message():
    """
    A forger knows the next numbers of an author and sends them first, to everybody, all the time: as
    forgeries, as promises, in messages of his own. All true ones are delivered; he ends on the graylist.
    """
    net = full(6)
    net.add_scripted(50)
    for number in range(6):
        net.connect(50, number)
        net.say(50, number, subscription_field(TOPIC, subscribe=True) + control_field([graft_part(TOPIC)]))
    net.subscribe(TOPIC)
    net.run(2)
    sent = []
    for step in range(20):
        seqno = unix_ns(net.now)
        victim = peer_id(0)
        guess = victim.multihash + seqno.to_bytes(8)
        for number in range(1, 6):
            forgery = message_body(0, TOPIC, bytes(2000), seqno, sign=lambda _: bytes(64))
            net.say(50, number, message_field(forgery))
            net.say(50, number, control_field([ihave_part(TOPIC, [guess]), idontwant_part([guess])]))
            net.say(50, number, message_field(message_body(50, TOPIC, b"mine", seqno + step)))
        assert net.publish(0, TOPIC, step.to_bytes(1500)).message_id == guess
        sent.append(step.to_bytes(1500))
        net.run(0.5)

    for number in range(6):
        assert [data for data in net.got(number) if data != b"mine"] == sent
        if number:
            assert net.routers[number].score(peer_id(50)) < GRAYLIST
            assert min(net.routers[number].score(peer_id(other)) for other in range(6)) >= 0


# --- 24: floods ---------------------------------------------------------------------------------------------


def _ids(count, first=0):
    """Of messages that nobody has."""
    multihash = peer_id(99).multihash
    return [multihash + (START_NS + first + each).to_bytes(8) for each in range(count)]


def ihave_flood(bench, second):
    """Announcements of what nobody has."""
    for each in range(60):
        bench.tell(1, ihave_part(TOPIC, _ids(100, 10_000 * second + 100 * each)))


def iwant_flood(bench, second):
    """The same messages again and again, and unknown ones."""
    known = [effect.message.message_id for effect in bench.all(ev.Deliver)]
    for each in range(50):
        bench.tell(1, iwant_part(known[-20:] + _ids(100, 10_000 * second + 100 * each)))


def graft_flood(bench, _second):
    """Out of the mesh and into it again at once."""
    bench.tell(1, prune_part(TOPIC))
    for _ in range(5):
        bench.tell(1, graft_part(TOPIC))


def broken_promises(bench, second):
    """One announcement in a heartbeat, never kept."""
    for each in range(9):
        bench.tell(1, ihave_part(TOPIC, _ids(5, 10_000 * second + 100 * each)))


def absurd_prunes(bench, _second):
    """A backoff until the end of time, for all of our topics."""
    bench.tell(1, *(prune_part(topic, (), 2**64 - 1) for topic in (TOPIC, "hall", "nowhere")))


def poisoned_exchange(bench, second):
    """Peers with records that are not theirs."""
    named = [(peer_id(60 + each).multihash, b"poison %d" % second) for each in range(10)]
    bench.tell(1, prune_part(TOPIC, named, 60))


def subscription_flood(bench, second):
    """100,000 topics within ten seconds."""
    for each in range(5):
        fields = (subscription_field(f"{second} {each} {number}", subscribe=True) for number in range(2000))
        bench.say(1, *fields)


def unsolicited_spam(bench, _second):
    """Messages of topics that nobody is in."""
    bench.say(1, *(bench.message(topic="nowhere") for _ in range(100)))


def idontwant_flood(bench, second):
    """Ids that nobody has heard of."""
    for each in range(12):
        bench.tell(1, idontwant_part(_ids(1000, 100_000 * second + 1000 * each)))


def forgeries(bench, _second):
    """Messages that nobody signed."""
    bench.say(1, *(bench.message(sign=lambda _: bytes(64)) for _ in range(100)))


def garbage(bench, _second):
    """No RPCs at all."""
    for _ in range(10):
        bench.say(1, b"\x0a\xff")


FLOODS = [
    ihave_flood,
    iwant_flood,
    graft_flood,
    broken_promises,
    absurd_prunes,
    poisoned_exchange,
    subscription_flood,
    unsolicited_spam,
    idontwant_flood,
    forgeries,
    garbage,
]


def flooded(flood, **kwargs):
    """A router with five honest peers and one, number 1, that floods it for half a minute."""
    bench = Bench(topics=(TOPIC, "hall"), open_record=lambda _peer, _record: False, **kwargs)
    for number in range(1, 7):
        bench.connect(number, topics=(TOPIC, "hall"), mesh=True)
    # Of good standing, so that all it says is listened to: an application could vouch for it (P5).
    bench.give(ev.SetApplicationScore(peer_id(1), 20.0))
    bench.worst = 0.0
    for second in range(30):
        bench.say(2, *(bench.message(author=2) for _ in range(3)))
        flood(bench, second)
        bench.run(1)
        bench.worst = min(bench.worst, bench.score(1))
    return bench


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_24_a_flood_costs_the_sender_score_and_nothing_else(flood):
    """
    It is out of the mesh, and with most floods on the graylist; the others, what is delivered, and what is
    kept in memory are as without it.
    """
    bench = flooded(flood)

    assert bench.worst < (-100 if flood is poisoned_exchange else GRAYLIST)
    assert 1 not in bench.mesh()
    assert set(bench.mesh()) >= {2, 3, 4, 5, 6}
    assert all(bench.score(number) >= 0 for number in range(2, 7))
    assert bench.delivered() == [b"data"] * 90
    snapshot = bench.router.snapshot()
    assert snapshot.topics_known <= PEER_TOPICS_MAX + 2
    assert snapshot.seen <= 90
    assert snapshot.promises <= 30
    assert snapshot.backoffs <= 2
    assert all(peer.queued_bytes == 0 for peer in snapshot.peers)
    assert len(bench.router._parts.peers[peer_id(1)].outbox.dont_want) <= 3000
    assert bench.all(ev.Connect) == []


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_24_without_scoring_the_flood_goes_on(flood):
    """
    The same stories with scoring off: nobody is kept out, and the caps alone keep the memory bounded.
    """
    bench = flooded(flood, score=PeerScoreParams.off(), thresholds=PeerScoreThresholds.off())

    assert bench.score(1) == 0
    assert bench.count("rpcs_graylisted") == 0
    snapshot = bench.router.snapshot()
    assert snapshot.topics_known <= PEER_TOPICS_MAX + 2
    assert snapshot.promises <= 30
    assert len(bench.router._parts.peers[peer_id(1)].outbox.dont_want) <= 3000


def test_24_a_flood_of_grafts_is_shut_out_for_longer_and_longer():
    """
    An hour at most; who waits it out is let in again.
    """
    bench = Bench(score=PeerScoreParams(behaviour_penalty_weight=0.0))
    bench.connect(1, mesh=True)
    bench.give(ev.Unsubscribe(TOPIC), ev.Subscribe(TOPIC))
    told = []
    for _ in range(12):
        bench.run(5)
        bench.hush()
        bench.tell(1, graft_part(TOPIC))
        told.append(bench.heard(1).prune[0].backoff_s)

    assert told[:4] == [120, 240, 480, 960]
    assert told[-1] == 3600
    bench.run(3605)
    assert bench.mesh() == [1]


# --- 25: a fast publisher and its hub -----------------------------------------------------------------------


def test_25_a_fast_publisher_and_its_hub_are_not_punished():
    """
    100 messages a second through one hub, for half a minute: all arrive, and nobody thinks ill of anybody.
    """
    net = GossipNet(seed=5, room_bytes=20_000)
    for number in range(6):
        net.add(number)
    for leaf in range(1, 6):
        net.connect(leaf, 0)
    net.subscribe(TOPIC)
    net.run(3)
    for step in range(3000):
        net.publish(1, TOPIC, step.to_bytes(256))
        net.run(0.01)
        if step % 500 == 0:
            scores = [machine.score(peer_id(n)) for machine in net.routers.values() for n in range(6)]
            assert min(scores) >= 0
    net.run(2)

    assert all(len(net.got(number)) == 3000 for number in range(6))
    assert net.routers[2].score(peer_id(0)) > 10
    assert net.total("dropped_queue_full") == net.total("dropped_too_old") == 0


# --- 26: one address ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "is_heard"), [("192.168.1.7", True), ("127.0.0.1", True), ("::1", True), ("20.1.2.3", False)]
)
def test_26_peers_behind_one_address_of_ours_lose_nothing(address, is_heard):
    """
    Forty nodes on one machine or in one house are neighbours; on one public address they are an attack, until
    they are fewer again.
    """
    bench = Bench()
    for number in range(1, 41):
        bench.connect(number, address=address)
    bench.run(1)
    bench.say(40, bench.message(data=b"all"))
    assert (bench.delivered() == [b"all"]) is is_heard
    assert (bench.score(40) >= 0) is is_heard
    for number in range(1, 31):
        bench.give(ev.PeerDisconnected(peer_id(number)))

    assert bench.score(40) >= 0
    bench.say(40, bench.message(data=b"few"))
    assert bench.delivered()[-1] == b"few"


# --- 27: before bootstrap, and without subscribing ----------------------------------------------------------


def test_27_who_subscribes_before_bootstrap_is_served():
    """
    Nobody is connected to anybody when all of them join; connections come later, one by one.
    """
    net = GossipNet(seed=6)
    for number in range(12):
        net.add(number)
    net.subscribe(TOPIC)
    assert net.all(0, ev.FindPeers) == [ev.FindPeers(TOPIC)]
    net.run(20)
    net.connect_randomly(2)
    net.run(2)
    net.publish(0, TOPIC, b"hello")
    net.run(2)

    assert everybody_got(net, range(12), [b"hello"])


@pytest.mark.parametrize("flood_publish", [True, False])
def test_27_who_publishes_without_subscribing_is_heard(flood_publish):
    """
    By everybody; and so is what it published before it knew anybody.
    """
    params = GossipParams(flood_publish=flood_publish)
    net = GossipNet(seed=7)
    for number in range(12):
        net.add(number, params=params)
    net.subscribe(TOPIC, *range(1, 12))
    net.run(1)
    assert net.publish(0, TOPIC, b"early").peers == 0
    assert net.all(0, ev.FindPeers) == [ev.FindPeers(TOPIC)]
    net.run(8)  # Longer than anybody could ask for it.
    net.connect_randomly(3)
    net.run(2)
    assert net.publish(0, TOPIC, b"later").peers > 0
    net.run(2)

    assert everybody_got(net, range(1, 12), [b"early", b"later"])
    assert net.got(0) == []


def test_27_without_waiting_what_was_published_early_is_lost():
    """
    That is what the others do.
    """
    net = GossipNet(seed=7)
    for number in range(2):
        net.add(number, params=GossipParams(publish_wait_s=0))
    net.subscribe(TOPIC, 1)
    net.publish(0, TOPIC, b"early")
    net.run(8)
    net.connect(0, 1)
    net.run(5)

    assert net.got(1) == []


# --- 28: a consumer that does not read ----------------------------------------------------------------------


def test_28_who_does_not_read_harms_nobody():
    """
    Its queue is bounded, what is dropped is counted, and it is charged for it.
    """
    params = GossipParams(queue_bytes_max=200_000)
    net = GossipNet(seed=8, room_bytes=10_000)
    for number in range(8):
        net.add(number, params=params)
    net.connect_randomly(4)
    net.frozen.add(7)
    net.subscribe(TOPIC)
    net.run(3)
    for step in range(600):
        net.publish(step % 7, TOPIC, step.to_bytes(3000))
        net.run(0.02)
    net.run(2)

    assert all(len(net.got(number)) == 600 for number in range(7))
    assert net.total("dropped_queue_full") > 100
    neighbours = [number for number in range(7) if (number, 7) in net.links]
    queued = [
        peer.queued_bytes
        for number in neighbours
        for peer in net.routers[number].snapshot().peers
        if peer.peer == peer_id(7)
    ]
    assert queued
    assert max(queued) <= 200_000
    assert min(net.routers[number].score(peer_id(7)) for number in neighbours) < 0
    assert all(
        net.routers[one].score(peer_id(other)) >= 0
        for one in range(7)
        for other in range(7)
        if (one, other) in net.links
    )


# --- a burst, losses, replay --------------------------------------------------------------------------------


def test_a_burst_of_200_is_delivered_to_20_nodes():
    """
    Without a pause, by one and by all of them, over streams that take 20 kB at a time.
    """
    for publishers in (1, 20):
        net = GossipNet(seed=9, room_bytes=20_000)
        for number in range(20):
            net.add(number)
        net.connect_randomly(4)
        net.subscribe(TOPIC)
        net.run(3)
        for step in range(200):
            net.publish(step % publishers, TOPIC, step.to_bytes(256))
        net.run(4)

        assert all(len(net.got(number)) == 200 for number in range(20))
        assert net.total("duplicates") / net.total("accepted") < 3.5


def test_lost_messages_are_recovered_by_gossip():
    """
    One RPC in ten vanishes (as if streams could lose them): IHAVE and IWANT bring what is lacking.
    """
    net = GossipNet(seed=10)
    for number in range(30):
        net.add(number)
    net.connect_randomly(5)
    net.subscribe(TOPIC)
    net.run(3)
    net._lossy = 0.1
    for step in range(60):
        net.publish(step % 30, TOPIC, step.to_bytes(256))
        net.run(0.1)
    net.run(10)

    assert all(len(net.got(number)) == 60 for number in range(30))


REPLAYED = """
from helpers.gossip_net import GossipNet
net = GossipNet(seed=11)
for number in range(15):
    net.add(number)
net.connect_randomly(3)
net.subscribe("room")
net.run(2)
for step in range(30):
    net.publish(step % 15, "room", step.to_bytes(1500))
    net.run(0.05)
net.kill(3)
net.run(70)
for number, router in net.routers.items():
    print(net.rpcs[number], net.bytes[number], router.counters(), router.mesh_peers("room"))
"""


@pytest.mark.slow
def test_a_run_can_be_replayed():
    """
    The same seed gives the same bytes, whatever the hash seed of the process.
    """
    outputs = [
        subprocess.run(
            [sys.executable, "-c", REPLAYED],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert outputs[0].count(b"\n") == 14
    assert outputs[0] == outputs[1]


def test_own_messages_that_come_back_cost_nobody_anything():
    """
    Round a cycle, or to a node that has restarted and forgotten them.
    """
    local = peer_id(0)
    bench = Bench()
    bench.connect(1, mesh=True)
    body = message_body(0, TOPIC, b"of my past", START_NS, sign=cheap_signer(local))
    bench.say(1, message_field(body))
    bench.run(1)

    assert bench.delivered() == []
    assert bench.count("own_returned") == 1
    assert bench.score(1) >= 0
