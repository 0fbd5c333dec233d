"""kad-dht messages: the bytes that others know, our extensions, and everything that is refused."""

from dataclasses import replace

import pytest

from helpers.dht_peers import peers
from helpers.identities import vectors
from helpers.kad_messages import number, octets, shown, uvarint
from kontinuum.base import MisuseError
from kontinuum.messages.kad import (
    REMEMBERED_BYTES_MAX,
    KadMessage,
    KadPeer,
    KadRecord,
    MessageType,
    decode,
    decode_prefixed,
    encode,
    encode_prefixed,
)
from kontinuum.transport import MESSAGE_BYTES_MAX
from kontinuum.wire import MalformedError, WrongVersionError
from kontinuum.wire.limits import (
    CONTACT_BYTES_MAX,
    KAD_ADDRESS_BYTES_MAX,
    KAD_ADDRESSES_MAX,
    KAD_KEY_BYTES_MAX,
    KAD_MESSAGE_BYTES_MAX,
    KAD_NUMBER_MAX,
    KAD_PEER_ID_BYTES_MAX,
    KAD_PEERS_MAX,
    KAD_TIME_BYTES_MAX,
    KAD_UNKNOWN_FIELDS_MAX,
    KAD_VALUE_BYTES_MAX,
)

FULL_PEER = KadPeer(b"i" * 38, (b"first", b"", b"second"), 3, b"c" * 300, 12_345)
FULL = KadMessage(
    MessageType.GET_VALUE,
    b"key",
    KadRecord(b"record key", b"value", "2026-01-02T12:00:00Z"),
    (FULL_PEER, KadPeer(b"")),
    (FULL_PEER,),
    1,
    b"s" * 200,
    4,
)
"""A message with everything in it, the empty things too."""

EMPTY = KadMessage(MessageType.PUT_VALUE)


@pytest.mark.parametrize("row", vectors("kad_messages.json"), ids=lambda row: row["name"])
def test_golden_messages(row):
    """
    What go-libp2p sends and what we send has the fields that Go reads in it, and encodes to the same bytes.
    """
    message = decode(bytes.fromhex(row["encoded"]))

    assert shown(message) == row["fields"]
    assert encode(message).hex() == row["encoded"]


def test_golden_bytes_of_the_extensions():
    """
    Their numbers and their place behind all others do not change by accident.
    """
    peer = KadPeer(b"id", (), 1, b"contact", 300)

    assert encode(KadMessage(MessageType.PING, sender=b"me", refusal=5)).hex() == (
        "0805" + "c23e02" + b"me".hex() + "c83e05"
    )
    assert encode(KadMessage(MessageType.FIND_NODE, closer_peers=(peer,))).hex() == (
        "0804" + "4214" + "0a02" + b"id".hex() + "1801" + "c23e07" + b"contact".hex() + "c83eac02"
    )


@pytest.mark.parametrize("message", [FULL, EMPTY, replace(FULL, record=KadRecord(b"", b""))])
def test_every_message_survives_its_bytes(message):
    """
    Decoding what was encoded gives the same message; an empty record is not the same as none.
    """
    assert decode(encode(message)) == message
    assert decode_prefixed(encode_prefixed(message)) == message


def test_a_real_reply_survives():
    """
    Twenty peers with their contacts.
    """
    named = tuple(peer.wire for peer in peers(20))
    reply = KadMessage(MessageType.FIND_NODE, key=b"k" * 38, closer_peers=named, sender=named[0].contact)

    assert decode(encode(reply)) == reply


def test_peers_that_are_named_again_are_remembered_if_they_are_small():
    """
    Replies name the same peers again and again; what hostile ones can fill our memory with is bounded.
    """
    small, large = peers(1)[0].wire, KadPeer(b"i", contact=b"c" * REMEMBERED_BYTES_MAX)
    data = encode(KadMessage(MessageType.FIND_NODE, closer_peers=(small, large)))

    first, again = decode(data).closer_peers, decode(data).closer_peers

    assert first == again == (small, large)
    assert first[0] is again[0]
    assert first[1] is not again[1]


def test_fields_come_in_any_order():
    """
    Protobuf allows every order; ours is that of the numbers, which is Go's.
    """
    disordered = number(10, 1) + octets(8, octets(2, b"a") + octets(1, b"i")) + octets(2, b"k") + number(1, 4)
    ordered = number(1, 4) + octets(2, b"k") + octets(8, octets(1, b"i") + octets(2, b"a")) + number(10, 1)

    message = decode(disordered)

    assert message == KadMessage(MessageType.FIND_NODE, b"k", None, (KadPeer(b"i", (b"a",)),), (), 1)
    assert encode(message) == ordered


def test_defaults_may_be_written_out():
    """
    Encoders of protobuf 2 did so; we leave them out.
    """
    peer = octets(1, b"") + number(3, 0) + octets(1000, b"") + number(1001, 0)
    data = (
        number(1, 0) + octets(2, b"") + octets(8, peer) + number(10, 0) + octets(1000, b"") + number(1001, 0)
    )

    assert decode(data) == replace(EMPTY, closer_peers=(KadPeer(b""),))


UNKNOWN = [
    number(99, 2**64 - 1),
    uvarint(98 << 3 | 1) + b"8" * 8,
    octets(97, b"xyz"),
    uvarint(96 << 3 | 5) + b"4" * 4,
]


@pytest.mark.parametrize("unknown", UNKNOWN, ids=["number", "64 bits", "octets", "32 bits"])
def test_unknown_fields_are_skipped_wherever_they_are(unknown):
    """
    A newer peer, or another program, adds fields; nothing of them is kept.
    """
    peer = octets(8, unknown + octets(1, b"i") + unknown)
    record = octets(3, unknown + octets(1, b"k") + unknown)

    message = decode(unknown + record + unknown + peer + unknown)

    assert message == KadMessage(
        MessageType.PUT_VALUE, record=KadRecord(b"k", b""), closer_peers=(KadPeer(b"i"),)
    )
    assert encode(message) == octets(3, octets(1, b"k")) + octets(8, octets(1, b"i"))


@pytest.mark.parametrize(
    "wrap", [lambda data: data, lambda data: octets(8, data), lambda data: octets(3, data)]
)
def test_unknown_fields_are_bounded(wrap):
    """
    So many are skipped and not one more, in the message and in each peer and record.
    """
    decode(wrap(UNKNOWN[2] * KAD_UNKNOWN_FIELDS_MAX))
    with pytest.raises(MalformedError, match="unknown fields"):
        decode(wrap(UNKNOWN[2] * (KAD_UNKNOWN_FIELDS_MAX + 1)))


def test_a_message_that_is_cut_off_is_refused_or_shorter():
    """
    A cut message is refused unless it ends between two fields; then it is a message with fewer of them.
    """
    data = encode(FULL)
    whole = 0
    for length in range(len(data)):
        try:
            message = decode(data[:length])
        except MalformedError:
            continue
        assert encode(message) == data[:length]
        whole += 1

    # Type, key, record, two closer peers, a provider, the level, the sender: each is one place to cut behind.
    assert whole == 1 + 8


LENGTHS = [
    ("key", lambda n: octets(2, b"x" * n), KAD_KEY_BYTES_MAX),
    ("sender", lambda n: octets(1000, b"x" * n), CONTACT_BYTES_MAX),
    ("peer id", lambda n: octets(8, octets(1, b"x" * n)), KAD_PEER_ID_BYTES_MAX),
    ("address", lambda n: octets(9, octets(2, b"x" * n)), KAD_ADDRESS_BYTES_MAX),
    ("contact", lambda n: octets(8, octets(1000, b"x" * n)), CONTACT_BYTES_MAX),
    ("record key", lambda n: octets(3, octets(1, b"x" * n)), KAD_KEY_BYTES_MAX),
    ("value", lambda n: octets(3, octets(2, b"x" * n)), KAD_VALUE_BYTES_MAX),
    ("time", lambda n: octets(3, octets(5, b"x" * n)), KAD_TIME_BYTES_MAX),
    ("closer peers", lambda n: octets(8, b"") * n, KAD_PEERS_MAX),
    ("provider peers", lambda n: octets(9, b"") * n, KAD_PEERS_MAX),
    ("addresses", lambda n: octets(8, octets(2, b"") * n), KAD_ADDRESSES_MAX),
    ("level", lambda n: number(10, n), KAD_NUMBER_MAX),
    ("refusal", lambda n: number(1001, n), KAD_NUMBER_MAX),
    ("connection", lambda n: octets(8, number(3, n)), KAD_NUMBER_MAX),
    ("rtt", lambda n: octets(8, number(1001, n)), KAD_NUMBER_MAX),
]


@pytest.mark.parametrize(("build", "limit"), [row[1:] for row in LENGTHS], ids=[row[0] for row in LENGTHS])
def test_each_limit_and_one_beyond(build, limit):
    """
    The limit itself is read and written again; one more is refused.
    """
    data = build(limit)
    assert encode(decode(data)) == data
    with pytest.raises(MalformedError):
        decode(build(limit + 1))


@pytest.mark.parametrize(
    "message",
    [
        replace(EMPTY, key=b"x" * (KAD_KEY_BYTES_MAX + 1)),
        replace(EMPTY, sender=b"x" * (CONTACT_BYTES_MAX + 1)),
        replace(EMPTY, cluster_level_raw=-1),
        replace(EMPTY, refusal=KAD_NUMBER_MAX + 1),
        replace(EMPTY, closer_peers=(KadPeer(b""),) * (KAD_PEERS_MAX + 1)),
        replace(EMPTY, provider_peers=(KadPeer(b""),) * (KAD_PEERS_MAX + 1)),
        replace(EMPTY, record=KadRecord(b"", b"x" * (KAD_VALUE_BYTES_MAX + 1))),
        replace(EMPTY, record=KadRecord(b"", b"", "x" * (KAD_TIME_BYTES_MAX + 1))),
        replace(EMPTY, record=KadRecord(b"x" * (KAD_KEY_BYTES_MAX + 1), b"")),
        replace(EMPTY, closer_peers=(KadPeer(b"x" * (KAD_PEER_ID_BYTES_MAX + 1)),)),
        replace(EMPTY, closer_peers=(KadPeer(b"", (b"",) * (KAD_ADDRESSES_MAX + 1)),)),
        replace(EMPTY, closer_peers=(KadPeer(b"", (b"x" * (KAD_ADDRESS_BYTES_MAX + 1),)),)),
        replace(EMPTY, closer_peers=(KadPeer(b"", connection=-1),)),
        replace(EMPTY, closer_peers=(KadPeer(b"", contact=b"x" * (CONTACT_BYTES_MAX + 1)),)),
        replace(EMPTY, closer_peers=(KadPeer(b"", rtt_us=KAD_NUMBER_MAX + 1),)),
        replace(EMPTY, closer_peers=(KadPeer(b"", contact=b"x" * CONTACT_BYTES_MAX),) * KAD_PEERS_MAX),
    ],
)
def test_what_nobody_would_read_is_not_written(message):
    """
    A message of ours beyond a limit is our mistake, found before it is sent.
    """
    with pytest.raises(MisuseError):
        encode(message)


def test_the_longest_message_fits_into_a_call():
    """
    With its length in front it has exactly the size of the largest body; one byte more is refused unread.
    """
    assert len(uvarint(KAD_MESSAGE_BYTES_MAX)) + KAD_MESSAGE_BYTES_MAX == MESSAGE_BYTES_MAX
    data = octets(99, b"x" * (KAD_MESSAGE_BYTES_MAX - 5))
    assert len(data) == KAD_MESSAGE_BYTES_MAX
    assert decode(data) == EMPTY
    with pytest.raises(MalformedError):
        decode(data + b"x")


@pytest.mark.parametrize("field", [1, 2, 3, 8, 9, 10, 1000, 1001])
@pytest.mark.parametrize("wire_type", [0, 1, 2, 5])
def test_a_known_field_of_another_wire_type_is_refused(field, wire_type):
    """
    It is never taken for an unknown one: one of two readers would see a field that the other does not.
    """
    right = 0 if field in (1, 10, 1001) else 2
    data = uvarint(field << 3 | wire_type) + {0: b"\1", 1: b"8" * 8, 2: b"\0", 5: b"4" * 4}[wire_type]
    if wire_type == right:
        decode(data)
    else:
        with pytest.raises(MalformedError, match=f"field {field} "):
            decode(data)


@pytest.mark.parametrize(
    "data",
    [
        octets(8, number(1, 1)),
        octets(8, number(2, 1)),
        octets(8, octets(3, b"")),
        octets(8, number(1000, 1)),
        octets(8, octets(1001, b"")),
        octets(3, number(1, 1)),
        octets(3, number(2, 1)),
        octets(3, number(5, 1)),
    ],
)
def test_so_it_is_inside_of_peers_and_records(data):
    """
    The same holds for the fields of the messages inside.
    """
    with pytest.raises(MalformedError, match="another wire type"):
        decode(data)


SINGULAR = {
    "message": [
        number(1, 4),
        octets(2, b"k"),
        octets(3, b""),
        number(10, 1),
        octets(1000, b"c"),
        number(1001, 1),
    ],
    "peer": [octets(8, twice) for twice in (octets(1, b"i") * 2, number(3, 1) * 2, octets(1000, b"c") * 2)],
    "record": [octets(3, twice) for twice in (octets(1, b"k") * 2, octets(2, b"v") * 2, octets(5, b"t") * 2)],
}


@pytest.mark.parametrize(
    "data",
    [
        *(part * 2 for part in SINGULAR["message"]),
        *SINGULAR["peer"],
        *SINGULAR["record"],
        *(number(field, 0) * 2 for field in (1, 10, 1001)),
        *(octets(field, b"") * 2 for field in (2, 1000)),
        *(octets(8, octets(field, b"") * 2) for field in (1, 1000)),
        *(octets(8, number(field, 0) * 2) for field in (3, 1001)),
        *(octets(3, octets(field, b"") * 2) for field in (1, 2, 5)),
    ],
    ids=bytes.hex,
)
def test_a_field_that_is_there_twice_is_refused(data):
    """
    Protobuf takes the last one and merges messages: nobody sends that, and two readers might see two things.
    A default counts as any other: a megabyte of them would cost us a fifth of a second.
    """
    with pytest.raises(MalformedError, match="twice"):
        decode(data)


def test_a_message_of_a_newer_kind_is_refused_by_name():
    """
    The error tells it from garbage.
    """
    with pytest.raises(WrongVersionError, match="type 6"):
        decode(number(1, 6))


def test_a_time_that_is_no_text_is_refused():
    """
    Protobuf's strings are UTF-8.
    """
    with pytest.raises(MalformedError, match="UTF-8"):
        decode(octets(3, octets(5, b"\xff")))


@pytest.mark.parametrize(
    "data", [b"", b"\x00x", b"\x03\x08\x05", b"\x01\x08\x05", b"\x82\x00\x08\x05", b"\x80"]
)
def test_a_length_that_does_not_fit_is_refused(data):
    """
    None, too short, too long, in a second spelling, cut off.
    """
    with pytest.raises(MalformedError):
        decode_prefixed(data)
