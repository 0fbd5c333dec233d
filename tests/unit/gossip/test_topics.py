"""Who is in which topic, and what strangers can fill."""

import pytest

from helpers.gossip_net import peer_id
from kontinuum.gossip import topics as rules
from kontinuum.gossip.counters import Counters
from kontinuum.gossip.errors import BadTopicError, TooManyTopicsError
from kontinuum.gossip.events import Protocol
from kontinuum.gossip.outbox import Outbox
from kontinuum.gossip.peers import Peer
from kontinuum.gossip.topics import Topics, check_topic


def peer(number, protocol=Protocol.MESHSUB_1_2, *, direct=False):
    """A connected peer."""
    queues = Outbox(0, rpc_bytes=1000, bytes_max=1000, counters=Counters())
    made = Peer(peer_id(number), protocol, queues, outbound=False, address=None)
    made.is_direct = direct
    return made


@pytest.fixture
def small(monkeypatch):
    """Bounds that a test can reach."""
    for name, value in (
        ("PEER_TOPICS_MAX", 20),
        ("FOREIGN_TOPICS_MAX", 30),
        ("FOREIGN_SUBSCRIPTIONS_MAX", 60),
        ("FAIR_TOPICS", 5),
        ("JOINED_TOPICS_MAX", 8),
    ):
        monkeypatch.setattr(rules, name, value)


@pytest.mark.parametrize("good", ["a", "a" * 256, "ö" * 128, "with space", "\0"])
def test_topics(good):
    """
    Any text of 1 to 256 bytes in UTF-8.
    """
    assert check_topic(good) == good


@pytest.mark.parametrize("bad", ["", "a" * 257, "ö" * 129, "\ud800"])
def test_what_is_no_topic(bad):
    """
    Is refused to our own program.
    """
    with pytest.raises(BadTopicError):
        check_topic(bad)


def test_a_topic_lives_as_long_as_somebody_is_in_it():
    """
    A peer, or we, or we publish to it.
    """
    topics, alice = Topics(), peer(1)
    topic = topics.subscribe(alice, "room")
    assert topics.join("room") is topic
    assert topics.begin_fanout("room") is topic

    topics.unsubscribe(alice, topic)
    topics.leave(topic)
    assert topics.by_name == {"room": topic}
    topics.end_fanout(topic)

    assert topics.by_name == {}
    assert topics._foreign == topics._foreign_subscriptions == 0


def test_who_gets_everything_without_a_mesh():
    """
    Floodsub and direct peers, also when they become so.
    """
    topics = Topics()
    flood, direct, other = peer(1, Protocol.FLOODSUB), peer(2, direct=True), peer(3)
    for each in (flood, direct, other):
        topic = topics.subscribe(each, "room")
    assert list(topic.always) == [flood, direct]

    other.is_direct, direct.is_direct = True, False
    topics.classify(other)
    topics.classify(direct)
    assert list(topic.always) == [flood, other]

    topics.unsubscribe(flood, topic)
    assert list(topic.always) == [other]


@pytest.mark.usefixtures("small")
def test_a_peer_is_in_so_many_topics():
    """
    Ours or not; one less, and it has room again.
    """
    topics, alice = Topics(), peer(1)
    for number in range(20):
        assert topics.subscribe(alice, f"{number}")
    assert topics.subscribe(alice, "0")

    assert topics.subscribe(alice, "more") is None
    topics.unsubscribe(alice, topics.by_name["0"])
    assert topics.subscribe(alice, "more")


@pytest.mark.usefixtures("small")
def test_a_flood_of_topics_yields_to_others():
    """
    Strangers' topics are bounded; a peer with few of them takes one from the peer that has most.
    """
    topics, mallory, eve, honest = Topics(), peer(1), peer(2), peer(3)
    for number in range(20):
        assert topics.subscribe(mallory, f"m{number}")
    for number in range(10):
        assert topics.subscribe(eve, f"e{number}")

    assert topics.subscribe(eve, "too greedy") is None
    for number in range(5):
        assert topics.subscribe(honest, f"h{number}")

    assert len(topics.by_name) == 30
    assert len(mallory.topics) == 15
    assert "m19" not in topics.by_name
    assert topics.subscribe(honest, "not few any more") is None


@pytest.mark.usefixtures("small")
def test_topics_that_we_are_in_have_room_for_everybody():
    """
    However full the rest is.
    """
    topics, mallory = Topics(), peer(1)
    ours = topics.join("ours")
    for number in range(20):
        topics.subscribe(mallory, f"m{number}")
    for number in range(10, 30):
        topics.subscribe(peer(2), f"m{number}")

    for number in range(100):
        assert topics.subscribe(peer(100 + number), "ours") is ours
    assert len(ours.peers) == 100


@pytest.mark.usefixtures("small")
def test_subscriptions_of_strangers_topics_are_bounded():
    """
    Beyond it only peers with few topics get more.
    """
    topics = Topics()
    for number in range(3):
        each = peer(number)
        for name in range(20):
            assert topics.subscribe(each, f"{name}")

    latecomer = peer(9)
    results = [topics.subscribe(latecomer, f"{name}") is not None for name in range(8)]

    assert results == [True] * 5 + [False] * 3


@pytest.mark.usefixtures("small")
def test_we_are_in_so_many_topics():
    """
    One more is refused; being in one already is not one more.
    """
    topics = Topics()
    for number in range(8):
        topics.join(f"{number}")

    with pytest.raises(TooManyTopicsError):
        topics.join("more")
    topics.join("0")


@pytest.mark.usefixtures("small")
def test_the_books_are_right_when_interest_comes_and_goes():
    """
    A topic that we leave counts as a stranger's again, with all who are in it.
    """
    topics = Topics()
    for number in range(7):
        topics.subscribe(peer(number), "room")
    assert (topics._foreign, topics._foreign_subscriptions) == (1, 7)
    topic = topics.join("room")
    assert (topics._foreign, topics._foreign_subscriptions) == (0, 0)
    topics.leave(topic)
    assert (topics._foreign, topics._foreign_subscriptions) == (1, 7)


@pytest.mark.usefixtures("small")
def test_a_look_for_room_is_short(monkeypatch):
    """
    Two that share all their topics do not make the subscriptions of a third expensive: only the last few
    topics of the greediest are looked at.
    """
    monkeypatch.setattr(rules, "MAKE_ROOM_LOOKS_MAX", 3)
    topics, alice, bob, carol = Topics(), peer(1), peer(2), peer(3)
    for number in range(20):
        topics.subscribe(alice, f"a{number}")
    for number in range(10):
        topics.subscribe(carol, f"c{number}")
    for number in range(17, 20):
        topics.subscribe(bob, f"a{number}")

    assert topics.subscribe(peer(4), "one more") is None
