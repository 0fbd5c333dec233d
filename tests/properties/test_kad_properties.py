"""What holds for every kad message, however it is written, and for every reply that names peers."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from helpers.dht_peers import peer
from helpers.identities import NETWORK, NOON
from helpers.kad_messages import number, octets
from kontinuum.base import PeerError
from kontinuum.dht.admission import Admission
from kontinuum.messages.kad import (
    KadMessage,
    KadPeer,
    KadRecord,
    MessageType,
    decode,
    decode_prefixed,
    encode,
    encode_prefixed,
)
from kontinuum.wire.limits import KAD_NUMBER_MAX

numbers = st.integers(0, KAD_NUMBER_MAX)
short = st.binary(max_size=64)
kad_peers = st.builds(
    KadPeer, short, st.lists(short, max_size=4).map(tuple), numbers, st.binary(max_size=400), numbers
)
records = st.builds(KadRecord, short, st.binary(max_size=400), st.text(max_size=16))
messages = st.builds(
    KadMessage,
    st.sampled_from(MessageType),
    st.binary(max_size=256),
    st.none() | records,
    st.lists(kad_peers, max_size=4).map(tuple),
    st.lists(kad_peers, max_size=4).map(tuple),
    numbers,
    st.binary(max_size=400),
    numbers,
)
known = {1, 2, 3, 5, 8, 9, 10, 1000, 1001}
unknown = st.integers(1, 2**29 - 1).filter(lambda field: field not in known)
unknown_fields = st.lists(
    st.builds(octets, unknown, short) | st.builds(number, unknown, st.integers(0, 2**64 - 1)), max_size=6
)


@given(messages)
def test_every_message_survives_its_bytes(message):
    """
    With and without its length in front.
    """
    assert decode(encode(message)) == message
    assert decode_prefixed(encode_prefixed(message)) == message


@given(messages, st.randoms(use_true_random=False), unknown_fields)
def test_order_and_unknown_fields_change_nothing(message, rng, extra):
    """
    Only the order within a list counts: fields in any order, among others of newer versions, are one message.
    """
    alone = [
        replace(
            message,
            record=None,
            closer_peers=(),
            provider_peers=(),
            cluster_level_raw=0,
            sender=b"",
            refusal=0,
        ),
        *(KadMessage(MessageType.PUT_VALUE, **{name: getattr(message, name)}) for name in NAMES),
    ]
    parts = [encode(part) for part in alone] + extra
    rng.shuffle(parts)

    assert decode(b"".join(parts)) == message


NAMES = ("record", "closer_peers", "provider_peers", "cluster_level_raw", "sender", "refusal")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_an_error(data):
    """
    What is taken can be written again, never longer, and means the same.
    """
    try:
        message = decode(data)
    except PeerError:
        return
    assert len(encode(message)) <= len(data)
    assert decode(encode(message)) == message


@given(messages, st.data())
def test_any_change_of_a_message_is_a_message_or_an_error(message, data):
    """
    Likewise for bytes that were a message before somebody changed one of them.
    """
    encoded = bytearray(encode(message))
    if encoded:
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        changed = decode(bytes(encoded))
    except PeerError:
        return
    assert decode(encode(changed)) == changed


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 2)), max_size=12),
    st.integers(0, 12),
)
def test_a_reply_gives_each_identity_once_and_only_under_its_own_contact(named, count_max):
    """
    However a reply mixes identities and contacts: the first right pair of each identity counts, in its order.
    """
    reply = [
        KadPeer(peer(claimed).wire.peer_id, (), 0, peer(real, sequence=sequence).wire.contact)
        for claimed, real, sequence in named
    ]
    first: dict[int, int] = {}
    for claimed, real, sequence in named[:count_max]:
        if claimed == real:
            first.setdefault(claimed, sequence)

    valid, refused = Admission(NETWORK, 0, memo_max=3).check_all(reply, NOON, count_max=count_max)

    assert [found.wire for found in valid] == [
        peer(n, sequence=sequence).wire for n, sequence in first.items()
    ]
    assert refused == len(named) - len(first)
