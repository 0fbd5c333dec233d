"""The contacts that peers tell each other, under hostile input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.identities import ALICE, contact_of
from kontinuum.base.errors import PeerError
from kontinuum.identity import KeyPair
from kontinuum.node.introductions import (
    CONTACTS_PER_REPLY_MAX,
    CONTACTS_REPLY_BYTES_MAX,
    decode_contacts,
    encode_contacts,
)
from kontinuum.wire import MalformedError, encode_cbor


def contacts(count):
    """Contacts of different peers."""
    return [contact_of(KeyPair.from_seed(n.to_bytes(32))) for n in range(1, count + 1)]


@pytest.mark.parametrize("count", [0, 1, CONTACTS_PER_REPLY_MAX])
def test_contacts_come_back_as_they_went(count):
    """
    Up to the limit, in order.
    """
    told = contacts(count)
    assert decode_contacts(encode_contacts(told)) == told


def test_no_more_than_the_limit_is_told_or_taken():
    """
    The sender cuts; a receiver that gets one more refuses it all.
    """
    many = contacts(CONTACTS_PER_REPLY_MAX + 1)
    assert decode_contacts(encode_contacts(many)) == many[:-1]
    with pytest.raises(MalformedError):
        decode_contacts(encode_cbor([contact.encode() for contact in many]))


def test_one_bad_contact_does_not_spoil_the_others():
    """
    A forged, a cut and an empty one are left out.
    """
    good = contact_of(ALICE)
    encoded = good.encode()
    forged = encoded[:-1] + bytes([encoded[-1] ^ 1])
    assert decode_contacts(encode_cbor([forged, encoded, encoded[:-1], b""])) == [good]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xf6",
        b"\xa0",
        b"\x40",
        b"\x81\x60",
        b"\x81\x01",
        b"\x81\x81\x40",
        b"\x9f\xff",
        b"\x80\x00",
        b"\x9a\xff\xff\xff\xff",
        b"\x9b" + b"\xff" * 8,
        b"\x81" * 100_000,
        b"\x81\x5a\xff\xff\xff\xff",
        bytes(CONTACTS_REPLY_BYTES_MAX + 1),
    ],
)
def test_what_is_no_list_of_contacts_is_refused(data):
    """
    Also lengths that promise more than comes, deep nesting and trailing bytes.
    """
    with pytest.raises(PeerError):
        decode_contacts(data)


@given(st.binary(max_size=2000))
def test_any_bytes_give_contacts_or_a_peer_error(data):
    """
    Nothing else, whatever they are.
    """
    try:
        assert isinstance(decode_contacts(data), list)
    except PeerError:
        return


@given(data=st.data())
def test_a_changed_byte_never_gives_a_contact_that_nobody_signed(data):
    """
    What survives a change is one of those that were told.
    """
    told = contacts(3)
    encoded = bytearray(encode_contacts(told))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        assert all(contact in told for contact in decode_contacts(bytes(encoded)))
    except PeerError:
        return
