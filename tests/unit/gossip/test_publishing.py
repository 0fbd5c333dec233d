"""Our own messages: to whom they go, and those that find nobody."""

import pytest

from helpers.gossip_bench import LOCAL, TOPIC, Bench
from helpers.gossip_net import START_NS, peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip import publishing
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.score_params import PeerScoreThresholds
from kontinuum.messages.pubsub_fields import idontwant_part, subscription_field

MESH_ONLY = GossipParams(flood_publish=False)


def publish(bench, data=b"mine", topic=TOPIC, token=7):
    """Publish, and return how many peers got it at once."""
    bench.give(ev.Publish(topic, data, token))
    (published,) = [effect for effect in bench.effects if isinstance(effect, ev.Published)][-1:]
    assert published.token == token
    return published.peers


def got(bench, numbers):
    """Which of these peers were sent something."""
    return [number for number in numbers if bench.heard(number).messages]


def test_everybody_in_the_topic_gets_our_messages():
    """
    v1.1, "Flood Publishing": not only the mesh, but nobody below the publish threshold.
    """
    bench = Bench()
    for number in range(1, 10):
        bench.connect(number)
    bench.connect(10, topics=("hall",))
    bench.give(ev.SetApplicationScore(peer_id(9), -1001.0))
    bench.give(ev.SetApplicationScore(peer_id(8), -1000.0))

    assert publish(bench) == 8
    assert got(bench, range(1, 11)) == list(range(1, 9))


def test_without_flood_publishing_the_mesh_gets_them():
    """
    And floodsub and direct peers.
    """
    bench = Bench(params=GossipParams(flood_publish=False, direct_peers=(peer_id(8),)))
    for number in range(1, 7):
        bench.connect(number)
    bench.connect(7, protocol=ev.Protocol.FLOODSUB)
    bench.connect(8)

    assert publish(bench) == 6
    assert got(bench, range(1, 9)) == sorted([*bench.mesh(), 7, 8])


def test_who_is_not_in_the_topic_publishes_to_a_fanout():
    """
    v1.0: D peers, the same ones each time, until nothing was published for fanout_ttl.
    """
    bench = Bench(topics=(), params=MESH_ONLY)
    for number in range(1, 21):
        bench.connect(number)
    assert publish(bench) == 6
    first = got(bench, range(1, 21))
    publish(bench)
    assert got(bench, range(1, 21)) == first
    assert set(bench.router.snapshot().topics[0].fanout) == set(map(peer_id, first))
    bench.give(ev.PeerDisconnected(peer_id(first[0])))
    bench.run(1)
    publish(bench)
    again = got(bench, range(1, 21))
    assert len(set(again) & set(first)) == 5
    assert len(again) == 6

    bench.run(62)
    assert bench.router.snapshot().topics == ()
    assert bench.all(ev.Deliver) == []


def test_a_message_that_finds_nobody_waits_for_the_first_peers():
    """
    publish_wait seconds, for D of them: publishing before bootstrap delivers.
    """
    bench = Bench(topics=())
    assert publish(bench) == 0
    for number in range(1, 9):
        bench.connect(number)
    assert got(bench, range(1, 9)) == [1, 2, 3, 4, 5, 6]

    bench = Bench(topics=())
    publish(bench)
    bench.run(29)
    bench.connect(1)
    bench.run(2)
    bench.connect(2)
    assert got(bench, (1, 2)) == [1]


def test_what_waits_is_bounded(monkeypatch):
    """
    In number and bytes; the oldest are given up. 0 seconds: nothing waits.
    """
    monkeypatch.setattr(publishing, "WAITING_MAX", 3)
    bench = Bench(topics=())
    for data in (b"1", b"2", b"3", b"4"):
        publish(bench, data)
    bench.connect(1)
    assert [message.data for message in bench.heard(1).messages] == [b"2", b"3", b"4"]

    monkeypatch.setattr(publishing, "WAITING_BYTES_MAX", 1000)
    bench = Bench(topics=())
    for data in (b"1", b"2" * 500, b"3" * 400):
        publish(bench, data)
    bench.connect(1)
    assert [message.data[:1] for message in bench.heard(1).messages] == [b"3"]

    bench = Bench(topics=(), params=GossipParams(publish_wait_s=0))
    publish(bench)
    bench.connect(1)
    assert bench.heard(1).messages == ()


def test_our_subscribers_get_our_messages_too():
    """
    As those of anybody; who is not in the topic does not.
    """
    bench = Bench()
    publish(bench)
    publish(bench, topic="hall")

    (effect,) = bench.all(ev.Deliver)
    assert effect.message.received_from == effect.message.author == peer_id(LOCAL)
    assert effect.message.seqno == START_NS + 900_000_000


def test_sequence_numbers_are_times_that_only_go_up():
    """
    At the same time, and when the clock steps back.
    """
    clock = {"ns": START_NS}
    bench = Bench(unix_ns=lambda _: clock["ns"])
    for ns in (START_NS, START_NS, START_NS - 10**9, START_NS + 10**9):
        clock["ns"] = ns
        publish(bench)

    seqnos = [effect.message.seqno for effect in bench.all(ev.Deliver)]
    assert seqnos == [START_NS, START_NS + 1, START_NS + 2, START_NS + 10**9]


@pytest.mark.parametrize(
    ("topic", "data"), [("", b""), ("t" * 257, b""), ("\ud800", b""), (TOPIC, bytes(2001))], ids=str
)
def test_what_cannot_be_published_is_said(topic, data):
    """
    And nothing has happened; the others of a batch are sent.
    """
    bench = Bench(params=GossipParams(message_bytes_max=2000))
    bench.connect(1)
    bench.give(ev.PublishBatch(((TOPIC, b"good"), (topic, data), (TOPIC, b"too")), 3))

    effects = [effect for effect in bench.effects if isinstance(effect, ev.Published | ev.NotPublished)]
    assert [type(effect) for effect in effects] == [ev.Published, ev.NotPublished, ev.Published]
    assert {effect.token for effect in effects} == {3}
    assert [message.data for message in bench.heard(1).messages] == [b"good", b"too"]


def test_a_batch_begins_with_another_message_at_each_peer():
    """
    So that all of it is in the network sooner.
    """
    bench = Bench()
    for number in range(1, 5):
        bench.connect(number)
    bench.hush()
    bench.give(ev.PublishBatch(tuple((TOPIC, bytes([n])) for n in range(4)), 1))

    orders = [[message.data[0] for message in bench.heard(number).messages] for number in range(1, 5)]
    assert orders == [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]


def test_a_message_of_ours_goes_before_those_of_others():
    """
    In the queue of a peer that takes little.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True, room_bytes=0)
    bench.say(1, bench.message(data=b"others"))
    publish(bench)
    bench.give(ev.Writable(peer_id(2), 10_000))

    assert [message.data for message in bench.heard(2).messages] == [b"mine", b"others"]


def test_nobody_gets_what_he_said_he_does_not_want():
    """
    Even if it is ours (he may have it from another one already when it waits).
    """
    bench = Bench()
    bench.connect(1, mesh=True, room_bytes=0)
    bench.give(ev.Publish(TOPIC, b"mine", 1))
    message_id = bench.all(ev.Published)[0].message_id
    bench.tell(1, idontwant_part([message_id]))
    bench.give(ev.Writable(peer_id(1), 10_000))

    assert bench.heard(1).messages == ()


def test_a_threshold_of_minus_infinity_excludes_nobody():
    """
    That is how scoring is switched off.
    """
    bench = Bench(thresholds=PeerScoreThresholds.off())
    bench.connect(1)
    bench.give(ev.SetApplicationScore(peer_id(1), -1e6))

    assert publish(bench) == 1


def test_a_peer_takes_one_place_of_those_who_wait():
    """
    Leaving the topic and coming again does not use up what others shall get.
    """
    bench = Bench(topics=())
    publish(bench)
    bench.connect(1)
    for _ in range(10):
        bench.say(1, subscription_field(TOPIC, subscribe=False))
        bench.say(1, subscription_field(TOPIC, subscribe=True))
    for number in range(2, 8):
        bench.connect(number)

    assert len(bench.heard(1).messages) == 1
    assert got(bench, range(2, 8)) == [2, 3, 4, 5, 6]
