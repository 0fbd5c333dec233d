"""Identify: what we say, and what we make of what peers say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.identities import ADDRESS, ALICE, BOB, vectors
from helpers.kad_messages import number, octets, uvarint
from helpers.libp2p_messages import envelope, public_key, record_payload
from kontinuum.identity import Multiaddr, PeerId
from kontinuum.libp2p.errors import ForeignKeyError, IdentifyError
from kontinuum.libp2p.frames import frame
from kontinuum.libp2p.identify import SENT_BYTES_MAX, Identity, IdentityReader, encode_identity
from kontinuum.libp2p.peer_record import open_peer_record, seal_peer_record
from kontinuum.wire import MalformedError
from kontinuum.wire.limits import (
    IDENTIFY_ADDRESSES_MAX,
    IDENTIFY_BYTES_MAX,
    IDENTIFY_MESSAGES_MAX,
    IDENTIFY_PROTOCOLS_MAX,
    IDENTIFY_TEXT_BYTES_MAX,
    IDENTIFY_UNKNOWN_FIELDS_MAX,
    LIBP2P_ADDRESS_BYTES_MAX,
    LIBP2P_PROTOCOL_BYTES_MAX,
)

OBSERVED = Multiaddr.from_ip("::ffff:192.0.2.9", 40001)
RECORD = envelope(ALICE, record_payload(ALICE, 3, ADDRESS.encode()))
BODY = (
    octets(1, public_key(ALICE))
    + octets(2, ADDRESS.encode())
    + octets(3, b"/ipfs/ping/1.0.0")
    + octets(3, b"/meshsub/1.2.0")
    + octets(4, OBSERVED.encode())
    + octets(5, b"ipfs/0.1.0")
    + octets(6, b"agent/1")
    + octets(8, RECORD)
)
WHOLE = Identity(
    public_key=public_key(ALICE),
    listed=(ADDRESS.encode(),),
    protocols=("/ipfs/ping/1.0.0", "/meshsub/1.2.0"),
    observed=OBSERVED.encode(),
    protocol_version="ipfs/0.1.0",
    agent_version="agent/1",
    signed_record=RECORD,
)


def read(*pieces):
    """What a stream with these pieces says."""
    reader = IdentityReader()
    for piece in pieces:
        reader.receive(piece)
    return reader.finish()


def ours(**fields):
    """Our own message."""
    given_fields = {
        "addresses": [ADDRESS],
        "protocols": ["/ipfs/ping/1.0.0", "/meshsub/1.2.0"],
        "observed": OBSERVED,
        "protocol_version": "ipfs/0.1.0",
        "agent_version": "agent/1",
        "signed_record": RECORD,
        **fields,
    }
    return encode_identity(ALICE.peer_id, **given_fields)


def test_what_we_say_is_what_others_read():
    """
    The bytes are those that the specification's fields give; IPv4 seen through an IPv6 socket is IPv4.
    """
    assert ours() == uvarint(len(BODY)) + BODY
    assert str(OBSERVED) == "/ip4/192.0.2.9/udp/40001/quic-v1"


def test_what_a_peer_says_is_read():
    """
    All fields, and of the addresses those that we can dial.
    """
    identity = read(frame(BODY))

    assert identity == WHOLE
    assert identity.verify(ALICE.peer_id) is identity
    assert identity.addresses(ALICE.peer_id) == (ADDRESS,)


@pytest.mark.parametrize("row", vectors("libp2p_identify.json"), ids=lambda row: row["name"])
def test_what_other_implementations_say(row):
    """
    Captured streams of go and js: each field is where we look for it, the record's signature holds, and the
    same record sealed by us has the same bytes.
    """
    peer_id = PeerId.parse(row["peer_id"])
    identity = read(bytes.fromhex(row["stream"])).verify(peer_id)

    assert (identity.agent_version, identity.protocol_version) == (
        row["agent_version"],
        row["protocol_version"],
    )
    assert list(identity.protocols) == row["protocols"]
    assert [data.hex() for data in identity.listed] == row["listed"]
    assert [str(address) for address in identity.addresses(peer_id)] == row["addresses"]
    assert identity.observed.hex() == row["observed"]
    assert identity.signed_record.hex() == row["record"]["envelope"]
    record = open_peer_record(identity.signed_record)
    assert (record.peer_id, record.sequence) == (peer_id, row["record"]["sequence"])
    assert [str(address) for address in record.addresses] == row["record"]["addresses"]
    signature = identity.signed_record[-64:]
    sealed = seal_peer_record(peer_id, record.sequence, record.addresses, lambda _data: signature)
    assert sealed == identity.signed_record


def test_our_message_fits_what_the_shortest_reader_takes():
    """
    Addresses that do not fit are left out, the last ones first; nothing else is.
    """
    many = [Multiaddr("dns4", f"{'x' * 60}.{n}.example", 4001) for n in range(100)]
    data = ours(addresses=many)
    identity = read(data)

    assert SENT_BYTES_MAX - 100 < len(data) - 2 <= SENT_BYTES_MAX
    kept = identity.addresses(ALICE.peer_id)
    assert kept == tuple(many[: len(kept)])
    assert identity.signed_record == RECORD


@given(size=st.integers(1, 200), split=st.booleans())
def test_any_pieces_say_the_same(size, split):
    """
    One message, or the two into which go-libp2p splits a long one, in pieces of any size.
    """
    cut = BODY.index(octets(8, RECORD))
    data = frame(BODY[:cut]) + frame(BODY[cut:]) if split else frame(BODY)

    assert read(*(data[start : start + size] for start in range(0, len(data), size))) == WHOLE


def test_several_messages_are_merged_as_protobuf_does():
    """
    Lists grow, of what may be there once the last message's counts.
    """
    identity = read(frame(BODY), frame(octets(3, b"/more") + octets(6, b"agent/2")))

    assert identity.protocols == (*WHOLE.protocols, "/more")
    assert identity.agent_version == "agent/2"
    assert identity.listed == WHOLE.listed
    assert identity.signed_record == RECORD


def test_a_push_replaces_what_it_brings_and_leaves_the_rest():
    """
    A partial update: new protocols alone, or new addresses alone.
    """
    pushed = WHOLE.updated_by(Identity(protocols=("/new",)))
    assert pushed.protocols == ("/new",)
    assert (pushed.listed, pushed.agent_version, pushed.observed) == (
        WHOLE.listed,
        WHOLE.agent_version,
        WHOLE.observed,
    )

    moved = WHOLE.updated_by(Identity(listed=(b"elsewhere",)))
    assert (moved.listed, moved.protocols) == ((b"elsewhere",), WHOLE.protocols)


def test_the_key_must_be_that_of_the_connection():
    """
    A peer that names another key lies; one that names none has still proven its own.
    """
    with pytest.raises(IdentifyError):
        WHOLE.verify(BOB.peer_id)
    with pytest.raises(ForeignKeyError, match="RSA"):
        Identity(public_key=b"\x08\x00\x12\x03abc").verify(ALICE.peer_id)
    assert Identity().verify(ALICE.peer_id) == Identity()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(frame(BODY)[:-1], id="cut off"),
        pytest.param(frame(BODY) + b"\x05", id="a second message cut off"),
        pytest.param(frame(BODY[:-1]), id="a field cut off"),
        pytest.param(frame(octets(6, b"\xff")), id="an agent that is no text"),
        pytest.param(frame(octets(3, b"\xff")), id="a protocol that is no text"),
        pytest.param(frame(octets(1, b"") * 2), id="two keys"),
        pytest.param(frame(octets(8, b"") * 2), id="two records"),
        pytest.param(frame(number(6, 1)), id="a wire type that is wrong"),
        pytest.param(b"\xff" * 10, id="no length"),
    ],
)
def test_what_is_no_identify_is_refused(data):
    """
    As a whole: nothing of it counts.
    """
    with pytest.raises(MalformedError):
        read(data)


@pytest.mark.parametrize(
    ("field", "bytes_max", "times_max"),
    [
        (2, LIBP2P_ADDRESS_BYTES_MAX, None),
        (3, LIBP2P_PROTOCOL_BYTES_MAX, None),
        (4, LIBP2P_ADDRESS_BYTES_MAX, 1),
        (5, IDENTIFY_TEXT_BYTES_MAX, 1),
        (6, IDENTIFY_TEXT_BYTES_MAX, 1),
        (2, 1, IDENTIFY_ADDRESSES_MAX),
        (3, 1, IDENTIFY_PROTOCOLS_MAX),
        (100, 1, IDENTIFY_UNKNOWN_FIELDS_MAX),
    ],
)
def test_bounds_of_fields(field, bytes_max, times_max):
    """
    At the limit a message is taken; a longer field, or one more of them, is refused.
    """
    content = b"x" * bytes_max
    read(frame(octets(field, content) * (times_max or 1)))
    with pytest.raises(MalformedError):
        read(frame(octets(field, content) * (times_max + 1) if times_max else octets(field, content + b"x")))


def test_bounds_of_a_stream():
    """
    So many messages, and so many bytes of all of them together.
    """
    read(frame(b"") * IDENTIFY_MESSAGES_MAX)
    with pytest.raises(MalformedError, match="messages"):
        read(frame(b"") * (IDENTIFY_MESSAGES_MAX + 1))

    half = frame(octets(100, bytes(IDENTIFY_BYTES_MAX // 2 - 7)))
    assert len(half) * 2 <= IDENTIFY_BYTES_MAX
    read(half, half)
    with pytest.raises(MalformedError, match="bytes of identify"):
        read(half, half, half)
