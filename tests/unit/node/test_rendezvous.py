"""How subscribers of a topic meet: what is said and asked, when, and how much of it at once."""

import asyncio
from hashlib import sha256
from types import SimpleNamespace

import pytest

from helpers import dht_peers
from helpers.nodes import eventually
from kontinuum.base.entropy import Rng
from kontinuum.base.errors import UnavailableError
from kontinuum.dht.events import State
from kontinuum.gossip import events as ev
from kontinuum.node import rendezvous as module
from kontinuum.node.rendezvous import CONNECTS_MAX, DIALS_MAX, SEARCHES_MAX, Rendezvous, topic_key

ME = dht_peers.peer(0).peer_id
OTHERS = [dht_peers.peer(number) for number in range(1, 200)]


class Dht:
    """Answers when its gate is open; knows the providers that a test says."""

    def __init__(self):
        self.state = State.JOINED
        self.providers = {}
        self.log = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False
        self.at_work = self.most_at_work = 0

    async def _do(self, what, key):
        self.log.append((what, key))
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.gate.wait()
        finally:
            self.at_work -= 1
        if self.fails:
            raise UnavailableError("nobody is there")

    async def provide(self, key):
        await self._do("provide", key)

    def withdraw(self, key):
        self.log.append(("withdraw", key))

    async def find_providers(self, key, *, count):
        await self._do("find", key)
        return SimpleNamespace(peers=tuple(self.providers.get(key, ()))[:count])


class Place:
    """A rendezvous, and what it did."""

    def __init__(self):
        self.dht = Dht()
        self.found = []
        self.dialled = []
        self.hang = None
        self.known = []
        neighbours = SimpleNamespace(links=SimpleNamespace(current={}), add_contact=self.known.append)
        self.connected = neighbours.links.current
        self.rendezvous = Rendezvous(ME, neighbours, Rng(1), reach=self.reach, found=self.found.append)
        self.rendezvous.dht = self.dht

    async def reach(self, peer_id):
        self.dialled.append(peer_id)
        if self.hang is not None:
            await self.hang.wait()
        if peer_id[0] % 2:
            raise UnavailableError("not there")

    def handle(self, *effects):
        """What the router wants."""
        for effect in effects:
            self.rendezvous.handle(effect)


@pytest.fixture
async def place():
    """One in a network that has been joined."""
    made = Place()
    yield made
    await made.rendezvous.close()


def test_the_key_of_a_topic_is_that_of_libp2p():
    """
    The hash of "floodsub:" and the topic, in our namespace of content hashes.
    """
    assert topic_key("news") == b"/sha256/" + sha256(b"floodsub:news").digest()
    assert topic_key("ümläut") == b"/sha256/" + sha256("floodsub:ümläut".encode()).digest()


async def test_a_topic_is_announced_and_withdrawn(place):
    """
    Once each; leaving a topic that was never announced says nothing.
    """
    place.handle(ev.Advertise("news"))
    await eventually(lambda: place.dht.log)
    place.handle(ev.Withdraw("news"), ev.Withdraw("news"), ev.Withdraw("other"))
    assert place.dht.log == [("provide", topic_key("news")), ("withdraw", topic_key("news"))]


async def test_who_is_found_is_a_candidate_and_its_contact_is_known(place):
    """
    But for ourselves.
    """
    place.dht.providers[topic_key("news")] = [dht_peers.peer(0), OTHERS[0], OTHERS[1]]
    place.handle(ev.FindPeers("news"))
    await eventually(lambda: place.found)
    candidates = tuple(ev.Candidate(peer.peer_id) for peer in OTHERS[:2])
    assert place.found == [ev.Candidates("news", candidates)]
    assert OTHERS[0].contact in place.known


async def test_it_looks_after_it_has_announced(place):
    """
    Of two subscribers that come at the same time, the one that is told later finds the other.
    """
    place.dht.gate.clear()
    place.handle(ev.Advertise("news"), ev.FindPeers("news"))
    await eventually(lambda: place.dht.log)
    await asyncio.sleep(0.01)
    assert [what for what, _ in place.dht.log] == ["provide"]
    place.dht.gate.set()
    await eventually(lambda: len(place.dht.log) == 2)
    assert place.dht.log[1] == ("find", topic_key("news"))


async def test_one_search_for_a_topic_at_a_time(place):
    """
    The router may want it again and again.
    """
    place.dht.gate.clear()
    place.handle(*[ev.FindPeers("news")] * 5)
    await eventually(lambda: place.dht.log)
    place.dht.gate.set()
    await eventually(lambda: not place.rendezvous._finding)
    place.handle(ev.FindPeers("news"))
    await eventually(lambda: not place.rendezvous._finding)
    assert [what for what, _ in place.dht.log] == ["find", "find"]


async def test_what_failed_before_the_node_joined_is_done_when_it_has(place):
    """
    Attack 27. Announcing and looking, once each, without waiting for the router to ask again.
    """
    place.dht.state, place.dht.fails = State.ALONE, True
    place.handle(ev.Advertise("news"), ev.FindPeers("news"))
    await eventually(lambda: place.rendezvous._lacking and place.rendezvous._unheard)
    place.dht.log.clear()
    place.dht.state, place.dht.fails = State.JOINED, False
    place.dht.providers[topic_key("news")] = [OTHERS[0]]
    place.rendezvous.on_joined()
    await eventually(lambda: place.found)
    assert [what for what, _ in place.dht.log] == ["provide", "find"]
    place.rendezvous.on_joined()
    await asyncio.sleep(0.01)
    assert len(place.dht.log) == 2


async def test_a_topic_that_was_left_meanwhile_is_not_announced(place):
    """
    Nor looked for.
    """
    place.dht.state, place.dht.fails = State.ALONE, True
    place.handle(ev.Advertise("news"), ev.FindPeers("news"))
    await eventually(lambda: place.rendezvous._lacking)
    place.handle(ev.Withdraw("news"))
    place.dht.log.clear()
    place.rendezvous.on_joined()
    await asyncio.sleep(0.01)
    assert place.dht.log == []


async def test_ten_thousand_topics_do_not_flood_the_network(place):
    """
    A bounded number of searches and announcements at once; all are done in the end.
    """
    place.dht.gate.clear()
    for number in range(500):
        place.handle(ev.Advertise(str(number)), ev.FindPeers(str(number)))
    await asyncio.sleep(0.05)
    assert place.dht.at_work == SEARCHES_MAX
    place.dht.gate.set()
    await eventually(lambda: len(place.dht.log) == 1000)
    assert place.dht.most_at_work == SEARCHES_MAX


async def test_a_few_candidates_are_dialled_and_those_that_are_connected_are_not(place):
    """
    One that cannot be reached is nobody's trouble.
    """
    place.connected[OTHERS[0].peer_id] = object()
    candidates = tuple(ev.Candidate(peer.peer_id) for peer in OTHERS[:20])
    place.handle(ev.Connect("news", candidates))
    await eventually(lambda: len(place.dialled) == CONNECTS_MAX)
    await eventually(lambda: not place.rendezvous._dialling)
    assert OTHERS[0].peer_id not in place.dialled
    assert len(set(place.dialled)) == CONNECTS_MAX


async def test_dials_are_bounded_and_nobody_is_dialled_twice_at_once(place):
    """
    Whoever names ten thousand peers makes us dial a few of them.
    """
    place.hang = asyncio.Event()
    candidates = [ev.Candidate(peer.peer_id) for peer in OTHERS]
    for start in range(0, len(OTHERS), 2):
        place.handle(ev.Connect("news", tuple(candidates[start : start + 10])))
    await asyncio.sleep(0.01)
    assert len(place.dialled) == DIALS_MAX
    assert len(set(place.dialled)) == DIALS_MAX
    place.hang.set()
    await eventually(lambda: not place.rendezvous._dialling)


async def test_a_node_without_a_dht_still_connects(place):
    """
    Announcing and looking do nothing; peers that others name are dialled.
    """
    place.rendezvous.dht = None
    place.handle(ev.Advertise("news"), ev.FindPeers("news"))
    place.handle(ev.Connect("news", (ev.Candidate(OTHERS[0].peer_id),)))
    place.handle(ev.Withdraw("news"))
    await eventually(lambda: place.dialled)
    assert place.dht.log == []


async def test_closing_ends_what_is_under_way(monkeypatch):
    """
    Searches and dials that would take a minute do not keep the node.
    """
    monkeypatch.setattr(module, "SEARCHES_MAX", 1)
    made = Place()
    made.dht.gate.clear()
    made.hang = asyncio.Event()
    made.handle(
        ev.Advertise("news"), ev.FindPeers("news"), ev.Connect("news", (ev.Candidate(OTHERS[0].peer_id),))
    )
    await asyncio.sleep(0)
    await asyncio.wait_for(made.rendezvous.close(), 1)
    assert made.dht.at_work == 0
