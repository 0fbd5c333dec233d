"""When our contact is issued anew."""

from datetime import timedelta

import pytest

from helpers.identities import ALICE, BOB, NETWORK, NOON
from kontinuum.identity import Multiaddr, ProofOfWork
from kontinuum.node import own_contact as module
from kontinuum.node.own_contact import ADDRESSES_LOOK_S, CONTACT_RENEW_S, News, OwnContact

HERE = (Multiaddr.parse("/ip4/192.0.2.1/udp/4433/quic-v1"),)
THERE = (Multiaddr.parse("/ip4/198.51.100.7/udp/4433/quic-v1"),)


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def utc(self):
        return NOON + timedelta(seconds=self.now)


@pytest.fixture
def machine(monkeypatch):
    """The addresses of this machine: a list that a test may change."""
    addresses = [HERE]
    monkeypatch.setattr(module, "own_addresses", lambda _bound: addresses[0])
    return addresses


def own_contact(clock, **fields):
    """Alice's, on whichever addresses the machine has."""
    given = {"advertised": (), "bound": ("::", 4433), "capabilities": (), "clock": clock, **fields}
    return OwnContact(ALICE, ProofOfWork(NETWORK, ALICE.peer_id, 0), **given)


@pytest.mark.usefixtures("machine")
def test_it_is_renewed_long_before_others_refuse_it():
    """
    At a quarter of its life, with a higher sequence.
    """
    clock = Clock()
    own = own_contact(clock)
    first = own.contact
    assert (first.addresses, own.look()) == (HERE, News.NONE)
    clock.now = CONTACT_RENEW_S + 1
    assert own.look() is News.RENEWED
    assert own.contact.sequence > first.sequence
    assert own.contact.addresses == HERE
    assert own.look() is News.NONE


def test_new_addresses_are_told(machine):
    """
    Within ADDRESSES_LOOK_S, and not before; without any address the old ones stay.
    """
    clock = Clock()
    own = own_contact(clock)
    machine[0] = THERE
    assert own.look() is News.NONE
    clock.now = ADDRESSES_LOOK_S
    assert own.look() is News.MOVED
    assert own.contact.addresses == THERE
    machine[0] = ()
    clock.now += ADDRESSES_LOOK_S
    assert own.look() is News.NONE
    assert own.contact.addresses == THERE


def test_what_the_user_advertises_does_not_change(machine):
    """
    Then the machine's own addresses do not matter.
    """
    clock = Clock()
    own = own_contact(clock, advertised=["/dns4/example.org/udp/4433/quic-v1"], capabilities=("dht-client",))
    assert [str(address) for address in own.contact.addresses] == ["/dns4/example.org/udp/4433/quic-v1"]
    assert own.contact.capabilities == ("dht-client",)
    machine[0] = THERE
    clock.now = 2 * ADDRESSES_LOOK_S
    assert own.look() is News.NONE


@pytest.mark.usefixtures("machine")
def test_another_identity_has_a_contact_at_once():
    """
    Signed by its key, with its work, at the same addresses; it is renewed like any.
    """
    clock = Clock()
    own = own_contact(clock)
    clock.now = 5.0
    own.adopt(BOB, ProofOfWork(NETWORK, BOB.peer_id, 0))
    contact = own.contact
    assert (contact.peer_id, contact.addresses) == (BOB.peer_id, HERE)
    contact.verify(clock.utc(), NETWORK, 0)
    clock.now = CONTACT_RENEW_S + 10
    assert own.look() is News.RENEWED
    assert own.contact.peer_id == BOB.peer_id
