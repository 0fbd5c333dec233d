"""Signed peer records: made as others make them, and only taken from who signed them."""

import pytest

from helpers.identities import ADDRESS, ALICE, BOB
from helpers.kad_messages import number, octets
from helpers.libp2p_messages import envelope, public_key, record_payload, sign_with
from kontinuum.identity import BadIdentityError, Multiaddr
from kontinuum.libp2p.errors import BadPeerRecordError, ForeignKeyError
from kontinuum.libp2p.peer_record import is_record_of, open_peer_record, seal_peer_record
from kontinuum.wire import MalformedError
from kontinuum.wire.limits import (
    IDENTIFY_ADDRESSES_MAX,
    IDENTIFY_UNKNOWN_FIELDS_MAX,
    LIBP2P_ADDRESS_BYTES_MAX,
    PEER_RECORD_BYTES_MAX,
)

OTHER = Multiaddr.parse("/ip6/2001:db8::1/udp/1/quic-v1")
TCP = bytes.fromhex("047f000001060fa1")
PAYLOAD = record_payload(ALICE, 7, ADDRESS.encode(), TCP, OTHER.encode())
RECORD = envelope(ALICE, PAYLOAD)


def test_what_we_seal_is_what_others_read():
    """
    The bytes are those that the specification's fields give, written a second time.
    """
    sealed = seal_peer_record(ALICE.peer_id, 7, [ADDRESS, OTHER], sign_with(ALICE))

    assert sealed == envelope(ALICE, record_payload(ALICE, 7, ADDRESS.encode(), OTHER.encode()))
    assert is_record_of(ALICE.peer_id, sealed)
    assert not is_record_of(BOB.peer_id, sealed)


def test_a_record_is_read():
    """
    All addresses are kept, those that we can dial are told apart.
    """
    record = open_peer_record(RECORD)

    assert (record.peer_id, record.sequence) == (ALICE.peer_id, 7)
    assert record.listed == (ADDRESS.encode(), TCP, OTHER.encode())
    assert record.addresses == (ADDRESS, OTHER)


def test_an_empty_record_is_one():
    """
    A peer without addresses may say so; a sequence of 0 is left out by protobuf.
    """
    record = open_peer_record(envelope(ALICE, octets(1, ALICE.peer_id.multihash)))

    assert (record.sequence, record.addresses) == (0, ())


@pytest.mark.parametrize("position", range(0, len(RECORD), 7))
def test_no_bit_can_be_changed(position):
    """
    The signature covers domain, type and payload; the rest is checked for itself.
    """
    changed = bytearray(RECORD)
    changed[position] ^= 1

    assert not is_record_of(ALICE.peer_id, bytes(changed))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(envelope(BOB, PAYLOAD), BadPeerRecordError, id="signed by another peer"),
        pytest.param(
            envelope(ALICE, PAYLOAD, domain=b"libp2p-routing-state"), BadPeerRecordError, id="another domain"
        ),
        pytest.param(
            envelope(ALICE, PAYLOAD, kind=b"/libp2p/routing-state-record"), BadPeerRecordError, id="its type"
        ),
        pytest.param(
            RECORD.replace(public_key(ALICE), b"\x08\x00" + public_key(ALICE)[2:]), ForeignKeyError, id="RSA"
        ),
        pytest.param(
            RECORD.replace(ALICE.peer_id, b"\x01" + bytes(31), 1), BadIdentityError, id="small order"
        ),
        pytest.param(RECORD[:-66], BadPeerRecordError, id="no signature"),
        pytest.param(RECORD + octets(5, bytes(64)), MalformedError, id="two signatures"),
        pytest.param(octets(1, public_key(ALICE)) + RECORD, MalformedError, id="two keys"),
        pytest.param(RECORD + number(3, 1), MalformedError, id="a wire type that is wrong"),
        pytest.param(envelope(ALICE, PAYLOAD + number(2, 7)), MalformedError, id="two sequence numbers"),
        pytest.param(RECORD[:-1], MalformedError, id="cut off"),
        pytest.param(b"", BadPeerRecordError, id="nothing"),
    ],
)
def test_what_is_no_record_is_refused(data, error):
    """
    By the error that says what is wrong.
    """
    with pytest.raises(error):
        open_peer_record(data)


def test_bounds():
    """
    At the limit a record is taken; one more of anything is refused.
    """
    most = [b"x"] * IDENTIFY_ADDRESSES_MAX
    cases = [
        (record_payload(ALICE, 1, *most), record_payload(ALICE, 1, *most, b"x")),
        (
            record_payload(ALICE, 1, bytes(LIBP2P_ADDRESS_BYTES_MAX)),
            record_payload(ALICE, 1, bytes(LIBP2P_ADDRESS_BYTES_MAX + 1)),
        ),
        (
            PAYLOAD + number(9, 1) * IDENTIFY_UNKNOWN_FIELDS_MAX,
            PAYLOAD + number(9, 1) * (IDENTIFY_UNKNOWN_FIELDS_MAX + 1),
        ),
    ]
    for at_limit, beyond in cases:
        assert is_record_of(ALICE.peer_id, envelope(ALICE, at_limit))
        with pytest.raises(MalformedError):
            open_peer_record(envelope(ALICE, beyond))

    assert open_peer_record(envelope(ALICE, record_payload(ALICE, 2**64 - 1))).sequence == 2**64 - 1
    padding = PEER_RECORD_BYTES_MAX - len(envelope(ALICE, PAYLOAD + octets(9, bytes(5000)))) + 5000
    assert len(full := envelope(ALICE, PAYLOAD + octets(9, bytes(padding)))) == PEER_RECORD_BYTES_MAX
    assert is_record_of(ALICE.peer_id, full)
    with pytest.raises(MalformedError, match="the most"):
        open_peer_record(envelope(ALICE, PAYLOAD + octets(9, bytes(padding + 1))))
