"""Introductions under floods: greetings are stored rarely, and one reply serves all who ask."""

from datetime import UTC, datetime, timedelta

import pytest

from kontinuum.base.entropy import Rng
from kontinuum.identity import Contact, KeyPair, Multiaddr
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node import introducer as module
from kontinuum.node.introducer import CONTACTS_FRESH_S, HELLO_WINDOW_S, Introducer
from kontinuum.node.introductions import CONTACTS, CONTACTS_PER_REPLY_MAX, HELLO, decode_contacts
from kontinuum.node.peer_store import PeerStore

AT = datetime(2026, 1, 1, tzinfo=UTC)
NETWORK = network_id("test")
WHERE = [Multiaddr.from_ip("192.0.2.1", 4433)]


def key(number):
    """The key of peer ``number``."""
    return KeyPair.from_seed(number.to_bytes(32, "big"))


def contact(number, *, sequence=1, issued_at=AT):
    """A contact of peer ``number``."""
    proof = ProofOfWork(NETWORK, key(number).peer_id, 0)
    return Contact.issue(key(number), WHERE, sequence=sequence, issued_at=issued_at, proof=proof)


class World:
    """An introducer with a clock, handlers and connections of the test's choice."""

    def __init__(self):
        self.now, self.handlers, self.connections, self.learned = 1000.0, {}, {}, []
        self.own = contact(1)
        self.store = PeerStore(None, network_id=NETWORK, pow_bits=0)
        self.introducer = Introducer(
            self,
            self.store,
            clock=self,
            rng=Rng(1),
            own_contact=lambda: self.own,
            learn=self.learn,
            connection_of=self.connections.get,
        )

    def add_handler(self, protocol, handler):
        self.handlers[protocol] = handler

    def monotonic(self):
        return self.now

    def utc(self):
        return AT

    def learn(self, contact):
        self.learned.append(contact)
        return self.store.add(contact, AT)

    def hello(self, number, **fields):
        peer_id = key(number).peer_id
        self.connections.setdefault(peer_id, object())
        return self.handlers[HELLO](peer_id, contact(number, **fields).encode())

    def contacts(self):
        return decode_contacts(self.handlers[CONTACTS](key(99).peer_id, b""))


@pytest.fixture
def world():
    """A fresh one."""
    return World()


def test_one_greeting_of_a_connection_is_stored_per_minute(world):
    """All are answered; 200 with ever higher numbers cost one look at one contact."""
    answers = {world.hello(2, sequence=n) for n in range(1, 201)}
    assert answers == {world.own.encode()}
    assert [each.sequence for each in world.learned] == [1]

    world.now += HELLO_WINDOW_S - 0.001
    world.hello(2, sequence=300)
    assert len(world.learned) == 1
    world.now += 0.001
    world.hello(2, sequence=301)
    assert [each.sequence for each in world.learned] == [1, 301]


def test_other_peers_and_new_connections_may_greet(world):
    """A restarted peer tells its new address at once; an old connection's end is no matter."""
    world.hello(2)
    world.hello(3)
    world.connections[key(2).peer_id] = object()
    world.hello(2, sequence=2)
    world.introducer.forget(key(3).peer_id)
    world.hello(3, sequence=2)

    assert [each.sequence for each in world.learned] == [1, 1, 2, 2]
    assert len(world.introducer._greeted) == 2


def test_a_greeting_after_the_end_of_its_connection_is_not_stored(world):
    """Nor remembered: the table has an entry for each connected peer, no more."""
    world.handlers[HELLO](key(2).peer_id, contact(2).encode())

    assert world.learned == []
    assert world.introducer._greeted == {}


def test_a_greeting_names_nobody_else(world):
    """Another peer's contact, or nonsense, is answered and ignored."""
    for data in (contact(3).encode(), b"", b"\xff" * 100):
        world.connections[key(2).peer_id] = object()
        assert world.handlers[HELLO](key(2).peer_id, data) == world.own.encode()
    assert world.learned == []


def test_a_renewed_contact_is_the_answer_at_once(world):
    """What was encoded before is not told any more."""
    world.hello(2)
    world.own = contact(1, sequence=2)

    assert world.hello(2) == world.own.encode()


def test_many_who_ask_for_contacts_at_once_cost_one_reply(world, monkeypatch):
    """With many known peers a reply is used for CONTACTS_FRESH_S, whatever is learned meanwhile."""
    made = []
    encode = module.encode_contacts
    monkeypatch.setattr(module, "encode_contacts", lambda contacts: made.append(1) or encode(contacts))
    for number in range(2, 4 + CONTACTS_PER_REPLY_MAX):
        world.store.add(contact(number), AT)
    first = world.contacts()
    assert len(first) == CONTACTS_PER_REPLY_MAX
    for number in range(60):
        world.store.add(contact(100 + number), AT)
        assert world.contacts() == first
    assert len(made) == 1

    world.now += CONTACTS_FRESH_S
    world.contacts()
    assert len(made) == 2


def test_while_few_are_known_each_new_one_is_told_at_once(world):
    """Peers that begin together meet, although all ask within a second."""
    assert world.contacts() == []
    for number in range(2, 6):
        world.store.add(contact(number), AT)
        assert len(world.contacts()) == number - 1


def test_old_contacts_are_not_told(world):
    """They would be of no use for long."""
    world.store.add(contact(2, issued_at=AT - timedelta(hours=11)), AT)
    world.store.add(contact(3, issued_at=AT - timedelta(hours=13)), AT)

    assert [each.peer_id for each in world.contacts()] == [key(2).peer_id]
