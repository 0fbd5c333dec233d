"""The RPC of pubsub: the bytes that others know, what is wrong with messages, and all that is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from helpers.identities import ALICE, BOB, vectors
from helpers.kad_messages import number, octets
from kontinuum.messages.pubsub import Flaw, IHave, Prune, Rpc, decode, encode
from kontinuum.messages.pubsub_fields import (
    control_field,
    graft_part,
    ihave_part,
    message_field,
    prune_part,
    signed_body,
    subscription_field,
    unsigned_body,
)
from kontinuum.wire import MalformedError
from kontinuum.wire.limits import (
    PUBSUB_PX_PEERS_MAX,
    PUBSUB_PX_RECORD_BYTES_MAX,
    PUBSUB_RPC_BYTES_MAX,
    PUBSUB_RPC_FIELDS_MAX,
    PUBSUB_TOPIC_BYTES_MAX,
)

AUTHOR = ALICE.peer_id.multihash
SEQNO = bytes(7) + b"\1"
SIGNATURE = b"s" * 64
FIELDS = {1: AUTHOR, 2: b"data", 3: SEQNO, 4: b"room", 5: SIGNATURE}
GOOD = b"".join(octets(field, content) for field, content in FIELDS.items())
ID = AUTHOR + SEQNO


def message(*extra, **changed):
    """The fields of a good message, some of them changed (``f3=...``) or left out (``None``)."""
    fields = FIELDS | {int(name[1:]): content for name, content in changed.items()}
    parts = [octets(field, content) for field, content in fields.items() if content is not None]
    return decode(message_field(b"".join(parts) + b"".join(extra))).messages[0]


def shown(rpc):
    """An RPC as the vectors write it: only what is there, bytes in hex."""
    fields = {
        "subscriptions": [list(each) for each in rpc.subscriptions],
        "messages": [[m.author.hex(), m.seqno.hex(), m.topic, m.data.hex()] for m in rpc.messages],
        "ihave": [[topic, [each.hex() for each in ids]] for topic, ids in rpc.ihave],
        "iwant": [each.hex() for each in rpc.iwant],
        "graft": list(rpc.graft),
        "prune": [
            [topic, [[peer.hex(), record.hex()] for peer, record in peers], backoff_s]
            for topic, peers, backoff_s in rpc.prune
        ],
        "idontwant": [each.hex() for each in rpc.idontwant],
    }
    return {name: value for name, value in fields.items() if value}


@pytest.mark.parametrize("row", vectors("pubsub_rpcs.json"), ids=lambda row: row["name"])
def test_golden_rpcs(row):
    """
    What go, js and rust send and what we send is read as it is meant, and written in one form.
    """
    rpc = decode(bytes.fromhex(row["rpc"]))

    assert shown(rpc) == row["fields"]
    assert rpc.skipped == 0
    assert encode(rpc).hex() == row["canonical"]


@pytest.mark.parametrize(
    "row",
    [row for row in vectors("pubsub_rpcs.json") if "messages" in row["fields"]],
    ids=lambda row: row["name"],
)
def test_golden_signatures(row):
    """
    The signature covers the canonical fields 1 to 4 behind libp2p's prefix, however they were written: a
    second library says so.
    """
    (found,) = decode(bytes.fromhex(row["rpc"])).messages

    Ed25519PublicKey.from_public_bytes(ALICE.peer_id).verify(found.signature, found.signed_bytes)
    assert found.message_id == found.author + found.seqno


def test_a_message_by_places_and_by_fields_is_the_same():
    """
    The quick way for canonical bytes and the slow one for all others agree, for every size of data.
    """
    for size in (0, 1, 127, 128, 16383, 16384, 70_000):
        data = b"d" * size
        body = signed_body(unsigned_body(AUTHOR, SEQNO, "room", data), SIGNATURE)
        backwards = b"".join(
            octets(field, content) for field, content in reversed((FIELDS | {2: data}).items())
        )

        quick, slow = decode(message_field(body) + message_field(backwards)).messages

        assert quick == slow
        assert (quick.data, quick.body, quick.flaw) == (data, body, None)


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"f1": None}, Flaw.NO_AUTHOR),
        ({"f1": b""}, Flaw.NO_AUTHOR),
        ({"f5": None}, Flaw.NO_SIGNATURE),
        ({"f5": b"s" * 63}, Flaw.NO_SIGNATURE),
        ({"f5": b"s" * 65}, Flaw.NO_SIGNATURE),
        ({"f6": BOB.peer_id.multihash[2:]}, Flaw.OTHER_KEY),
        ({"f6": AUTHOR}, Flaw.OTHER_KEY),
        ({"f1": bytes.fromhex("1220") + bytes(32)}, Flaw.OTHER_KEY_TYPE),
        ({"f1": bytes.fromhex("00250802122102") + bytes(32)}, Flaw.OTHER_KEY_TYPE),
        ({"f1": AUTHOR[:-1]}, Flaw.OTHER_KEY_TYPE),
        ({"f3": None}, Flaw.SEQNO),
        ({"f3": b"7 bytes"}, Flaw.SEQNO),
        ({"f3": bytes(9)}, Flaw.SEQNO),
        ({"f4": None}, Flaw.TOPIC),
        ({"f4": b""}, Flaw.TOPIC),
        ({"f4": b"\xff"}, Flaw.TOPIC),
        ({"f4": b"t" * (PUBSUB_TOPIC_BYTES_MAX + 1)}, Flaw.TOPIC),
        ({"f6": b""}, Flaw.FIELDS),
        ({"f7": b"ours"}, Flaw.FIELDS),
        ({"f1000": b"ours"}, Flaw.FIELDS),
    ],
)
def test_flaws(changes, flaw):
    """
    What cannot be taken says why; only what every implementation refuses is the bearer's fault.
    """
    found = message(**changes)

    assert found.flaw is flaw
    assert found.body == b""
    assert flaw.is_blamed == (flaw in (Flaw.NO_AUTHOR, Flaw.NO_SIGNATURE, Flaw.OTHER_KEY))


def test_a_field_twice_or_of_another_kind_is_a_flaw():
    """
    Protobuf takes the last of several; a signature could be for another one than we read.
    """
    assert message(octets(2, b"other")).flaw is Flaw.FIELDS
    assert message(octets(2, b"data")).flaw is Flaw.FIELDS
    assert message(number(2, 1)).flaw is Flaw.FIELDS
    assert message(number(1000, 1)).flaw is Flaw.FIELDS


def test_a_key_that_is_the_authors_is_left_out():
    """
    It is not signed and says nothing new: what goes on has it not.
    """
    found = message(f6=AUTHOR[2:])

    assert found.flaw is None
    assert found.body == GOOD


@pytest.mark.parametrize(
    "extra", [octets(77, b"x"), number(10, 1), octets(6492434, b""), number(2**29 - 1, 5)]
)
def test_unknown_fields_are_passed_over_everywhere_else(extra):
    """
    In the RPC, in its subscriptions, in the control message and in each part of it: newer versions have more.
    """
    control = (
        octets(1, octets(1, b"room") + octets(2, ID) + extra)
        + octets(2, extra + octets(1, ID))
        + octets(3, octets(1, b"room") + extra)
        + octets(4, octets(1, b"room") + octets(2, octets(1, AUTHOR) + extra) + number(3, 9) + extra)
        + octets(5, extra + octets(1, ID))
        + extra
    )
    rpc = (
        extra
        + octets(1, number(1, 1) + octets(2, b"room") + extra)
        + octets(3, control)
        + message_field(GOOD)
    )

    read = decode(rpc)

    assert read == Rpc(
        ((True, "room"),),
        decode(message_field(GOOD)).messages,
        (IHave("room", (ID,)),),
        (ID,),
        ("room",),
        (Prune("room", ((AUTHOR, b""),), 9),),
        (ID,),
    )


def test_control_messages_in_pieces_are_put_together():
    """
    As protobuf has it for a message that is there several times.
    """
    rpc = decode(control_field([graft_part("one")]) + control_field([graft_part("two")]))

    assert rpc.graft == ("one", "two")


def test_what_nobody_of_ours_would_use_is_left_out_and_counted():
    """
    Topics that are too long or no text, ids of other kinds, peers of other keys, more peers than are read.
    """
    long = "t" * (PUBSUB_TOPIC_BYTES_MAX + 1)
    peers = [(AUTHOR, b"")] * (PUBSUB_PX_PEERS_MAX + 1)
    parts = [
        ihave_part("room", [ID, ID[:-1], ID + b"1", b""]),
        ihave_part(long, [ID]),
        graft_part(long),
        prune_part(long),
        prune_part("room", [(AUTHOR[:-1], b""), (AUTHOR, b"r" * (PUBSUB_PX_RECORD_BYTES_MAX + 1))]),
        prune_part("room", [(bytes(38), b"")]),
        prune_part("room", peers),
    ]

    rpc = decode(octets(1, number(1, 1) + octets(2, b"\xff")) + control_field(parts))

    assert rpc.subscriptions == ()
    assert rpc.ihave == (IHave("room", (ID,)),)
    assert [len(prune.peers) for prune in rpc.prune] == [0, 0, PUBSUB_PX_PEERS_MAX]
    assert rpc.skipped == 1 + 3 + 1 + 1 + 1 + 2 + 1 + 1


def test_a_subscription_says_what_its_number_says():
    """
    0 and nothing is leaving, any other number is joining, as protobuf reads a truth value.
    """
    rpc = decode(
        octets(1, octets(2, b"a"))
        + octets(1, number(1, 0) + octets(2, b"b"))
        + octets(1, number(1, 2) + octets(2, b"c"))
    )

    assert rpc.subscriptions == ((False, "a"), (False, "b"), (True, "c"))


@pytest.mark.parametrize(
    "data",
    [
        b"\x12",
        b"\x12\x05abc",
        b"\x0a\x02\x08",
        b"\x1a\x02\x0a\x05",
        b"\x1b",
        b"\x00\x00",
        message_field(GOOD[:-1]),
        message_field(b"\x0a\x26" + AUTHOR[:20]),
        message_field(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
    ],
)
def test_what_is_no_rpc_is_refused(data):
    """
    Cut off, of no wire type, or with a number that no field has.
    """
    with pytest.raises(MalformedError):
        decode(data)


def test_an_rpc_has_so_many_bytes():
    """
    One more is refused before anything is read.
    """
    head = len(octets(9, bytes(PUBSUB_RPC_BYTES_MAX // 2))) - PUBSUB_RPC_BYTES_MAX // 2
    fullest = octets(9, bytes(PUBSUB_RPC_BYTES_MAX - head))
    assert len(fullest) == PUBSUB_RPC_BYTES_MAX

    assert decode(fullest) == Rpc()
    with pytest.raises(MalformedError, match="bytes"):
        decode(octets(9, bytes(PUBSUB_RPC_BYTES_MAX - head + 1)))


@pytest.mark.parametrize(
    ("field", "counts"),
    [
        (subscription_field("t", subscribe=True), 3),
        (octets(9, b""), 1),
        (message_field(GOOD), 6),
        (message_field(GOOD + octets(9, b"")), 7),
        (control_field([graft_part("t")]), 3),
        (control_field([prune_part("t", [(AUTHOR, b"r")], 5)]), 7),
        (control_field([ihave_part("t", [ID])]), 4),
    ],
)
def test_an_rpc_has_so_many_fields(field, counts):
    """
    Whatever they are, those within others counted too: what a hostile one costs is bounded.
    """
    rest = PUBSUB_RPC_FIELDS_MAX - counts

    decode(field + octets(9, b"") * rest)
    with pytest.raises(MalformedError, match="fields"):
        decode(field + octets(9, b"") * (rest + 1))


def test_nested_fields_are_counted_while_they_are_read():
    """
    A hostile control message is refused in the middle, not at its end.
    """
    for evil in (octets(3, octets(1, octets(2, b"") * 70_000)), octets(3, octets(4, b"") * 70_000)):
        with pytest.raises(MalformedError, match="fields"):
            decode(evil)


def test_what_is_written_is_read_again():
    """
    All of it, with several of each.
    """
    rpc = Rpc(
        ((True, "a"), (False, "b")),
        decode(message_field(GOOD)).messages,
        (IHave("a", (ID, ID)), IHave("b", ())),
        (ID, ID),
        ("a", "b"),
        (Prune("a"), Prune("b", ((AUTHOR, b"record"), (AUTHOR, b"")), 0)),
        (ID,),
    )

    assert decode(encode(rpc)) == rpc
