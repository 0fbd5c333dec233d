"""Announcements on the local network: what fits, what is believed, and how much of a flood is looked at."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.base.errors import PeerError
from kontinuum.identity.contact import Contact
from kontinuum.identity.keys import KeyPair
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node.discovery import (
    CHUNKS_MAX,
    NAMES_WAITING_MAX,
    PEERS_MAX,
    MdnsDiscovery,
    decode_txt,
    encode_txt,
)
from kontinuum.wire.errors import MalformedError

NETWORK = network_id("test")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def contact(number=1, *, hosts=("192.0.2.1",), network=NETWORK, issued_at=AT):
    """A contact of peer ``number``."""
    key = KeyPair.from_seed(number.to_bytes(32, "big"))
    addresses = [
        Multiaddr.parse(f"/{'ip4' if host[0].isdigit() else 'dns4'}/{host}/udp/4433/quic-v1")
        for host in hosts
    ]
    proof = ProofOfWork(network, key.peer_id, 0)
    return Contact.issue(key, addresses, sequence=1, issued_at=issued_at, proof=proof)


def as_read(contact):
    """The TXT record as another node reads it."""
    return {key.encode(): value.encode() for key, value in encode_txt(contact).items()}


class Listener:
    """A discovery that is not started, whose judgement is asked directly."""

    def __init__(self, **settings):
        self.found = []
        clock = SimpleNamespace(utc=lambda: AT)
        self.discovery = MdnsDiscovery(
            lambda: contact(1), self.found.append, network_id=NETWORK, pow_bits=0, clock=clock, **settings
        )


@pytest.mark.parametrize("hosts", [[], ["192.0.2.1"], [f"192.0.2.{number}" for number in range(16)]])
def test_a_contact_travels_in_chunks(hosts):
    """Whatever its size, what is read is what was announced, and no string exceeds DNS's 255 bytes."""
    made = contact(hosts=hosts)

    assert decode_txt(as_read(made), NETWORK) == made
    assert all(len(key) + 1 + len(value) <= 255 for key, value in as_read(made).items())


def test_a_contact_too_large_to_announce_is_an_error_of_its_own():
    """Sixteen of the longest names do not fit; nothing is cut off."""
    names = [f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 50}.host{number:02}" for number in range(16)]

    with pytest.raises(MalformedError, match="does not fit"):
        encode_txt(contact(hosts=names))


def test_another_network_is_skipped_without_looking_at_its_contact():
    """A foreign network's record costs one comparison."""
    assert decode_txt(as_read(contact(network=network_id("other"))), NETWORK) is None
    assert decode_txt({}, NETWORK) is None


@pytest.mark.parametrize(
    "change",
    [
        {b"c0": b""},
        {b"c0": None},
        {b"c0": b"kontinuum:AAAA"},
        {b"c0": b"\xff" * 240},
        {b"c1": None},
        {f"c{CHUNKS_MAX - 1}".encode(): b"x"},
        {b"c2": b"A" * 240},
    ],
)
def test_a_hostile_record_is_a_peer_error_or_ignored(change):
    """Missing, foreign, additional or forged chunks never give a contact that its owner did not sign."""
    record = {**as_read(contact(hosts=[f"192.0.2.{number}" for number in range(12)])), **change}
    try:
        found = decode_txt(record, NETWORK)
    except PeerError:
        return
    assert found.peer_id == contact(1).peer_id


@given(
    st.dictionaries(
        st.sampled_from([b"n", b"c0", b"c1", b"c2", b"x"]), st.none() | st.binary(max_size=255), max_size=5
    )
)
def test_any_record_is_nothing_or_a_peer_error(record):
    """Parsing any TXT record gives None, a contact or a PeerError."""
    record[b"n"] = NETWORK.hex()[:16].encode()
    with pytest.raises(PeerError):
        decode_txt(record, NETWORK)


def test_a_sound_contact_of_another_peer_is_reported():
    """And our own echo is not."""
    listener = Listener()
    listener.discovery._judge(as_read(contact(2)))
    listener.discovery._judge(as_read(contact(1)))

    assert listener.found == [contact(2)]


@pytest.mark.parametrize(
    "bad",
    [
        contact(2, issued_at=datetime(2025, 12, 30, tzinfo=UTC)),
        contact(2, issued_at=datetime(2026, 1, 1, 0, 3, tzinfo=UTC)),
        contact(2, network=network_id("other")),
    ],
)
def test_an_old_future_or_foreign_contact_is_not_reported(bad):
    """The local network gets no credit: contacts are checked like anybody's."""
    listener = Listener()
    record = {**as_read(bad), b"n": NETWORK.hex()[:16].encode()}
    listener.discovery._judge(record)

    assert listener.found == []


def test_work_is_demanded_from_the_local_network_too():
    """A contact without the network's proof of work is ignored (attack 16)."""
    listener = Listener()
    listener.discovery._pow_bits = 40
    listener.discovery._judge(as_read(contact(2)))

    assert listener.found == []


def test_a_flood_of_names_is_bounded():
    """A hundred thousand names cost PEERS_MAX entries and NAMES_WAITING_MAX places; goodbyes make room."""
    discovery = Listener().discovery
    added, removed = SimpleNamespace(name="Added"), SimpleNamespace(name="Removed")
    for number in range(100_000):
        discovery._on_change(None, "", f"name{number}", added)

    assert len(discovery._known) == PEERS_MAX
    assert discovery._names.qsize() == NAMES_WAITING_MAX

    discovery._on_change(None, "", "name0", removed)
    discovery._on_change(None, "", "late", added)
    assert "late" in discovery._known
