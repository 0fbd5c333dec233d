"""The one gate for contacts: what it refuses, what it remembers, and what a reply can do to it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from helpers.dht_peers import contact, key_pair, peer, peers
from helpers.identities import ALICE, NETWORK, NOON, POW_BITS, contact_of, proof_of
from kontinuum.dht.admission import CONTACT_BYTES_MEAN, Admission
from kontinuum.identity import (
    BadSignatureError,
    Contact,
    ContactExpiredError,
    ContactFromFutureError,
    Mining,
    Multiaddr,
    ProofOfWork,
    WeakProofError,
    WrongNetworkError,
    network_id,
)
from kontinuum.messages.kad import KadPeer
from kontinuum.wire import MalformedError

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def lazy_contact():
    """A contact of Alice without the work."""
    nonce = 0
    while True:
        try:
            ProofOfWork(NETWORK, ALICE.peer_id, nonce).verify(NETWORK, POW_BITS)
        except WeakProofError:
            return contact_of(ALICE, proof=ProofOfWork(NETWORK, ALICE.peer_id, nonce))
        nonce += 1


def test_a_good_contact_becomes_a_peer():
    """
    It has the contact's bytes to pass on and its place in the key space.
    """
    good = contact_of(proof=proof_of(ALICE.peer_id))

    admitted = Admission(NETWORK, POW_BITS).check(good.encode(), NOON)

    assert admitted.contact == good
    assert admitted.wire.contact == good.encode()


BAD = {
    "another network": (
        contact_of(proof=ProofOfWork(network_id("other"), ALICE.peer_id, 0)),
        WrongNetworkError,
    ),
    "no work": (lazy_contact(), WeakProofError),
    "old": (contact_of(proof=proof_of(ALICE.peer_id), issued_at=NOON - DAY - SECOND), ContactExpiredError),
    "dated in the future": (
        contact_of(proof=proof_of(ALICE.peer_id), issued_at=NOON + 121 * SECOND),
        ContactFromFutureError,
    ),
}


@pytest.mark.parametrize(("bad", "error"), BAD.values(), ids=BAD)
def test_every_way_in_refuses_a_bad_contact(bad, error):
    """
    As bytes, as a contact, and in a reply; and nothing of it is remembered.
    """
    gate = Admission(NETWORK, POW_BITS)

    for _ in range(2):
        with pytest.raises(error):
            gate.check(bad.encode(), NOON)
        with pytest.raises(error):
            gate.check_contact(bad, NOON)
        assert gate.check_all([KadPeer(bad.peer_id.multihash, (), 0, bad.encode())], NOON, count_max=20) == (
            [],
            1,
        )
    assert not gate._by_bytes


@pytest.mark.parametrize(("bad", "error"), BAD.values(), ids=BAD)
def test_without_the_defence_all_of_them_pass(bad, error):
    """
    So a simulation can show what the checks are for: each of these refusals is theirs.
    """
    gate = Admission(NETWORK, POW_BITS, verify=False)

    assert issubclass(error, Exception)
    assert gate.check(bad.encode(), NOON).contact == bad
    assert gate.check_all([KadPeer(bad.peer_id.multihash, (), 0, bad.encode())], NOON, count_max=20)[1] == 0


@pytest.mark.parametrize("verify", [True, False])
def test_bytes_that_no_peer_signed_never_pass(verify):
    """
    A changed bit, a cut, nothing at all: refused even without the defence.
    """
    encoded = contact_of(proof=proof_of(ALICE.peer_id)).encode()
    gate = Admission(NETWORK, POW_BITS, verify=verify)

    with pytest.raises(BadSignatureError):
        gate.check(encoded[:-1] + bytes([encoded[-1] ^ 1]), NOON)
    for data in (b"", encoded[:-1], encoded + b"\0"):
        with pytest.raises(MalformedError):
            gate.check(data, NOON)


def test_freshness_is_checked_each_time():
    """
    A contact that was remembered when it was fresh is refused when it no longer is, on every way in.
    """
    gate = Admission(NETWORK, 0)
    fresh = peer(1)
    gate.check(fresh.wire.contact, NOON)

    assert gate.check(fresh.wire.contact, NOON + DAY)
    assert gate.check_all([fresh.wire], NOON + DAY, count_max=20)[1] == 0
    late = NOON + DAY + SECOND
    with pytest.raises(ContactExpiredError):
        gate.check(fresh.wire.contact, late)
    with pytest.raises(ContactExpiredError):
        gate.check_contact(fresh.contact, late)
    assert gate.check_all([fresh.wire], late, count_max=20) == ([], 1)
    early = NOON - 121 * SECOND
    with pytest.raises(ContactFromFutureError):
        gate.check(fresh.wire.contact, early)
    assert gate.check_all([fresh.wire], early, count_max=20) == ([], 1)


def test_our_users_own_contacts_may_be_of_any_age():
    """
    A lasting contact needs its network and its work, and is not fresh for anybody else because of it.
    """
    gate = Admission(NETWORK, POW_BITS)
    old = contact_of(proof=proof_of(ALICE.peer_id), issued_at=NOON - 400 * DAY)
    last = contact_of(proof=proof_of(ALICE.peer_id), issued_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    first = contact_of(proof=proof_of(ALICE.peer_id), issued_at=datetime(1970, 1, 1, tzinfo=UTC))

    for lasting in (old, last, first):
        assert gate.check_contact(lasting, NOON, lasting=True).contact == lasting
        with pytest.raises((ContactExpiredError, ContactFromFutureError)):
            gate.check(lasting.encode(), NOON)
    with pytest.raises(WeakProofError):
        gate.check_contact(lazy_contact(), NOON, lasting=True)


def test_the_same_contact_is_the_same_peer():
    """
    Whichever way it comes in; a newer contact is another one.
    """
    gate = Admission(NETWORK, 0)
    known = gate.check(peer(1).wire.contact, NOON)

    assert gate.check(bytes(bytearray(peer(1).wire.contact)), NOON) is known
    assert gate.check_contact(contact(1), NOON) is known
    assert gate.check_contact(Contact.decode(peer(1).wire.contact), NOON) is known
    assert gate.check_all([peer(1).wire], NOON, count_max=1)[0][0] is known
    assert gate.check(peer(1, sequence=2).wire.contact, NOON) is not known


def test_what_is_remembered_is_bounded():
    """
    Beyond the limit the oldest is forgotten, and verified again when it comes back.
    """
    gate = Admission(NETWORK, 0, memo_max=10)
    first = gate.check(peer(0).wire.contact, NOON)
    for named in peers(9, first=1):
        gate.check(named.wire.contact, NOON)
    assert gate.check(peer(0).wire.contact, NOON) is first

    for number in range(10, 200):
        gate.check_contact(contact(number), NOON)
        assert len(gate._by_bytes) == len(gate._by_identity) == 10
    assert [[known] for known in gate._by_bytes.values()] == list(gate._by_identity.values())
    again = gate.check(peer(0).wire.contact, NOON)
    assert again is not first
    assert again.contact == first.contact


@pytest.mark.parametrize("backwards", [False, True], ids=["old first", "new first"])
def test_one_identity_has_few_places_in_the_memory(backwards):
    """
    However many contacts it signs, in whatever order they come: its newest are remembered, and all others
    stay; its older ones are verified each time and change nothing.
    """
    gate = Admission(NETWORK, 0, memo_max=10)
    other = gate.check(peer(0).wire.contact, NOON)
    sequences = range(1, 40)
    found = {
        n: gate.check(peer(1, sequence=n).wire.contact, NOON) for n in sequences[:: -1 if backwards else 1]
    }

    assert gate.check(peer(0).wire.contact, NOON) is other
    assert gate._by_identity == {other.peer_id: [other], found[1].peer_id: [found[38], found[39]]}
    assert set(gate._by_bytes.values()) == {other, found[38], found[39]}
    for number, before in found.items():
        assert (gate.check_contact(contact(1, sequence=number), NOON) is before) == (number in (38, 39))


def test_what_is_remembered_is_bounded_in_bytes_too():
    """
    Large contacts push out the oldest before there are ``memo_max``; the count of bytes stays true.
    """
    gate = Admission(NETWORK, 0, memo_max=10)
    addresses = [Multiaddr.parse(f"/dns4/{'a' * 60}.{n:060}.example/udp/9/quic-v1") for n in range(16)]
    large = [contact_of(key_pair(number), addresses=addresses) for number in range(20)]
    size = len(large[0].encode())
    assert size > 4 * CONTACT_BYTES_MEAN

    for one in large * 2:
        gate.check_contact(one, NOON)
        assert gate._bytes == sum(map(len, gate._by_bytes)) <= 10 * CONTACT_BYTES_MEAN
    assert len(gate._by_bytes) == 10 * CONTACT_BYTES_MEAN // size


def test_one_bad_contact_does_not_spoil_a_reply():
    """
    The good ones come in the reply's order; bad, missing and exchanged ones are counted.
    """
    good = [named.wire for named in peers(4)]
    forged = replace(good[0], peer_id=peer(9).peer_id.multihash)
    strangers = [
        KadPeer(peer(5).peer_id.multihash, good[0].addresses),
        KadPeer(b"", contact=peer(6).wire.contact),
    ]
    garbage = KadPeer(peer(7).peer_id.multihash, contact=b"\xff" * 100)
    reply = [garbage, good[3], forged, good[0], *strangers, good[2], good[1]]

    valid, refused = Admission(NETWORK, 0).check_all(reply, NOON, count_max=20)

    assert [found.wire for found in valid] == [good[3], good[0], good[2], good[1]]
    assert refused == 4


def test_one_identity_is_one_peer_however_many_addresses_it_claims():
    """
    Of twenty valid contacts of one identity, each at another address, the first counts.
    """
    reply = [peer(1, f"20.0.{n}.1", sequence=n).wire for n in range(1, 21)]

    valid, refused = Admission(NETWORK, 0).check_all(reply, NOON, count_max=20)

    assert [found.wire for found in valid] == reply[:1]
    assert refused == 19


def test_a_reply_costs_at_most_so_many_checks(monkeypatch):
    """
    What comes behind the limit is not even decoded.
    """
    decoded = []
    gate = Admission(NETWORK, 0)
    monkeypatch.setattr(
        gate.__class__, "check", lambda _, encoded, at: decoded.append((encoded, at)) or peer(1)
    )
    reply = [KadPeer(b"x", contact=bytes([n])) for n in range(100)]

    _, refused = gate.check_all(reply, NOON, count_max=20)

    assert len(decoded) == 20
    assert refused == 100


def test_a_contact_needs_the_work_of_its_network():
    """
    Work for another difficulty or identity is not enough.
    """
    stolen = ProofOfWork(NETWORK, key_pair(1).peer_id, proof_of(ALICE.peer_id, 16).nonce)
    with pytest.raises(WeakProofError):
        Admission(NETWORK, 16).check_contact(contact_of(key_pair(1), proof=stolen), NOON)
    done = Mining(NETWORK, key_pair(1).peer_id, 16, threads=1).wait(60).proof
    assert Admission(NETWORK, 16).check_contact(contact_of(key_pair(1), proof=done), NOON)
