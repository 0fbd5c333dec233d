"""Round trips and refusals of everything in wire and identity, for any value and any bytes."""

import string
from datetime import UTC, datetime
from ipaddress import IPv4Address

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.identities import ALICE, BOB, NETWORK, contact_of
from kontinuum.base import PeerError
from kontinuum.identity import (
    BadIdentityError,
    BadSignatureError,
    Contact,
    KeyPair,
    Multiaddr,
    PeerId,
    ProofOfWork,
    newest,
    verify,
)
from kontinuum.identity.base58 import decode_base58, encode_base58
from kontinuum.wire import MalformedError, decode_cbor, decode_uvarint, encode_cbor, encode_uvarint
from kontinuum.wire.limits import CONTACT_ISSUED_AT_MAX, CONTACT_SEQUENCE_MAX, POW_NONCE_MAX, VARINT_MAX

scalars = (
    st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(st.characters(codec="utf-8"), max_size=40)
    | st.booleans()
    | st.none()
)
keys = (
    st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=8)
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
floats = st.floats()

labels = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(
    lambda label: not label.isdigit()
)
addresses = st.one_of(
    st.builds(
        Multiaddr,
        st.just("ip4"),
        st.ip_addresses(v=4)
        .filter(lambda ip: not ip.is_unspecified and not ip.is_multicast and ip != IPv4Address(2**32 - 1))
        .map(str),
        st.integers(1, 65535),
    ),
    st.builds(
        Multiaddr,
        st.just("ip6"),
        st.ip_addresses(v=6)
        .filter(lambda ip: not ip.is_unspecified and not ip.is_multicast and ip.ipv4_mapped is None)
        .map(str),
        st.integers(1, 65535),
    ),
    st.builds(
        Multiaddr,
        st.sampled_from(["dns4", "dns6"]),
        st.lists(labels, min_size=1, max_size=5).map(".".join),
        st.integers(1, 65535),
    ),
)
contacts = st.builds(
    lambda key_pair, places, sequence, seconds, tokens, nonce: Contact.issue(
        key_pair,
        places,
        sequence=sequence,
        issued_at=datetime.fromtimestamp(seconds, UTC),
        capabilities=tokens,
        proof=ProofOfWork(NETWORK, key_pair.peer_id, nonce),
    ),
    st.binary(min_size=32, max_size=32).map(KeyPair.from_seed),
    st.lists(addresses, max_size=16, unique=True),
    st.integers(0, CONTACT_SEQUENCE_MAX),
    st.integers(0, CONTACT_ISSUED_AT_MAX),
    st.lists(st.from_regex(r"[a-z0-9][a-z0-9./_-]{0,31}", fullmatch=True), max_size=16, unique=True),
    st.integers(0, POW_NONCE_MAX),
)


def is_same(first: object, second: object) -> bool:
    """Equal, and of the same types throughout (1 is not True)."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    return type(first) is type(second) and first == second


@given(values)
def test_cbor_round_trip(value):
    """
    What is written is read again, types included.
    """
    assert is_same(decode_cbor(encode_cbor(value)), value)


@given(values)
def test_another_implementation_reads_what_we_write(value):
    """
    cbor2, which accepts more than we do, finds the same value.
    """
    assert is_same(cbor2.loads(encode_cbor(value)), value)


@given(values)
def test_we_read_what_another_implementation_writes_unless_it_orders_keys_otherwise(value):
    """
    cbor2's canonical form is ours, or the same length and refused: it sorts keys by RFC 7049's older rule.
    """
    theirs = cbor2.dumps(value, canonical=True)
    ours = encode_cbor(value)
    assert len(theirs) == len(ours)
    if theirs == ours:
        assert is_same(decode_cbor(theirs), value)
    else:
        with pytest.raises(MalformedError, match="misplaced"):
            decode_cbor(theirs)


@given(floats)
def test_floats_round_trip(value):
    """
    Shortest form, value kept; cbor2 agrees on the bytes.
    """
    encoded = encode_cbor(value, floats=True)
    assert encode_cbor(decode_cbor(encoded, floats=True), floats=True) == encoded
    assert encoded == cbor2.dumps(value, canonical=True)


@given(
    st.binary(max_size=200)
    | values.map(encode_cbor).flatmap(
        lambda data: st.tuples(st.just(data), st.integers(0, max(0, len(data) - 1)), st.integers(0, 255)).map(
            lambda part: part[0][: part[1]] + bytes([part[2]]) + part[0][part[1] + 1 :]
        )
    )
)
def test_any_bytes_are_a_value_or_a_peer_error(data):
    """
    Attack 2. And what is a value has no other spelling.
    """
    try:
        value = decode_cbor(data, floats=True)
    except MalformedError:
        return
    assert encode_cbor(value, floats=True) == data


@given(st.integers(0, VARINT_MAX), st.binary(max_size=3))
def test_varint_round_trip(value, rest):
    """
    The value and the offset behind it.
    """
    encoded = encode_uvarint(value)
    assert decode_uvarint(encoded + rest) == (value, len(encoded))


@given(st.binary(max_size=12))
def test_a_varint_has_one_spelling(data):
    """
    What is read is written back as it was.
    """
    try:
        value, end = decode_uvarint(data)
    except MalformedError:
        return
    assert encode_uvarint(value) == data[:end]


@given(st.binary(max_size=64))
def test_base58_round_trip(data):
    """
    Leading zeros included.
    """
    assert decode_base58(encode_base58(data)) == data


@given(st.binary(min_size=32, max_size=32))
def test_every_seed_makes_an_identity_that_both_text_forms_give_back(seed):
    """
    No key pair of ours is ever refused.
    """
    peer_id = KeyPair.from_seed(seed).peer_id
    assert PeerId.parse(str(peer_id)) == PeerId.parse(peer_id.libp2p) == peer_id
    assert peer_id.libp2p.startswith("12D3KooW")


@given(
    st.text(max_size=140) | st.from_regex(r"(12D3KooW|Qm|[0-9a-f])[1-9A-HJ-NP-Za-km-z]{0,70}", fullmatch=True)
)
def test_any_text_is_an_identity_or_a_peer_error(text):
    """
    Nothing else comes out of parsing.
    """
    try:
        peer_id = PeerId.parse(text)
    except BadIdentityError:
        return
    assert text.strip().lower() == str(peer_id) or text.strip() == peer_id.libp2p


@given(addresses)
def test_address_round_trip(address):
    """
    Text and bytes.
    """
    assert Multiaddr.parse(str(address)) == address
    assert Multiaddr.decode(address.encode()) == address


@given(st.binary(max_size=300) | addresses.map(Multiaddr.encode).map(lambda data: data[:-2]))
def test_any_bytes_are_an_address_or_a_peer_error(data):
    """
    And what is an address has no other spelling.
    """
    try:
        address = Multiaddr.decode(data)
    except PeerError:
        return
    assert address.encode() == data


@given(st.text(max_size=80).map(lambda host: f"/dns4/{host}/udp/1/quic-v1") | st.text(max_size=80))
def test_any_text_is_an_address_or_a_peer_error(text):
    """
    And what is an address has no other spelling.
    """
    try:
        address = Multiaddr.parse(text)
    except PeerError:
        return
    assert str(address) == text


@given(contacts)
def test_contact_round_trip(contact):
    """
    Bytes and text give the same contact back.
    """
    assert Contact.decode(contact.encode()) == contact
    assert Contact.from_text(contact.to_text()) == contact


@given(contacts, st.data())
def test_a_changed_contact_is_refused(contact, data):
    """
    Any other bytes than the signed ones, cut, inserted or replaced, give a PeerError.
    """
    encoded = contact.encode()
    position = data.draw(st.integers(0, len(encoded)))
    dropped = data.draw(st.integers(0, 5))
    added = data.draw(st.binary(max_size=5))
    changed = encoded[:position] + added + encoded[position + dropped :]
    if changed != encoded:
        with pytest.raises(PeerError):
            Contact.decode(changed)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_whatever_the_order_of_arrival_one_contact_remains(fields, random):
    """
    Folding ``newest`` over any permutation gives the same contact.
    """
    known = [
        contact_of(
            sequence=sequence, issued_at=datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC), capabilities=[token]
        )
        for sequence, second, token in fields
    ]
    outcomes = set()
    for _ in range(3):
        random.shuffle(known)
        best = known[0]
        for contact in known[1:]:
            best = newest(best, contact)
        outcomes.add(best.signature)
    assert len(outcomes) == 1


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_signatures_hold_for_their_message_only(data, other):
    """
    Also for the empty message.
    """
    signature = ALICE.sign("test", data)
    verify(ALICE.peer_id, "test", data, signature)
    if other != data:
        with pytest.raises(BadSignatureError):
            verify(ALICE.peer_id, "test", other, signature)
    with pytest.raises(BadSignatureError):
        verify(BOB.peer_id, "test", data, signature)
