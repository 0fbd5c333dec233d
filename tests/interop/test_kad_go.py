"""kad-dht messages of go-libp2p-kad-dht: what it says we read and write alike, and it reads what we say."""

import json
import subprocess
from collections import Counter

import pytest

from helpers.dht_peers import peers
from helpers.go_programs import go_program
from helpers.kad_messages import shown
from kontinuum.messages.kad import KadMessage, KadPeer, KadRecord, MessageType, decode, encode

pytestmark = pytest.mark.slow

RUN_S = 90
PEERS = [peer.wire for peer in peers(3)]
OURS = [
    KadMessage(MessageType.PING, sender=PEERS[0].contact),
    KadMessage(MessageType.FIND_NODE, key=PEERS[1].peer_id, sender=PEERS[0].contact),
    KadMessage(
        MessageType.PUT_VALUE,
        key=b"/v/ours",
        record=KadRecord(b"/v/ours", b"value" * 100, "2026-01-02T12:00:00Z"),
        cluster_level_raw=1,
        sender=PEERS[0].contact,
        refusal=0,
    ),
    KadMessage(MessageType.GET_VALUE, key=b"/v/ours", sender=PEERS[0].contact),
    KadMessage(
        MessageType.GET_VALUE,
        key=b"/v/nothing",
        closer_peers=(*PEERS, KadPeer(PEERS[0].peer_id, PEERS[0].addresses, 2, PEERS[0].contact, 12_345)),
        refusal=4,
    ),
    KadMessage(MessageType.ADD_PROVIDER, key=b"\x12\x20" + b"h" * 32, provider_peers=(PEERS[0],)),
    KadMessage(MessageType.GET_PROVIDERS, key=b"\x12\x20" + b"h" * 32),
]


@pytest.fixture(scope="module")
def lines():
    """What the program printed: frames between real kad-dht nodes, then one line for each message of ours."""
    program = go_program("kad")
    result = subprocess.run(
        [program],
        input="".join(f"{encode(message).hex()}\n" for message in OURS),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def captured(lines):
    """The frames: who sent each, and its bytes."""
    return [(line["from"], bytes.fromhex(line["message"])) for line in lines if "from" in line]


@pytest.fixture(scope="module")
def readings(lines):
    """What Go made of each message of ours."""
    return [line for line in lines if "read" in line]


def test_every_message_of_kad_dht_is_decoded_and_encoded_byte_for_byte(captured):
    """
    Requests and replies of real nodes, of every type: decoding loses nothing, and our order is theirs.
    """
    for _, data in captured:
        message = decode(data)
        assert encode(message) == data
        assert message.cluster_level_raw == 1

    requests = Counter(decode(data).type for sender, data in captured if sender == "client")
    replies = Counter(decode(data).type for sender, data in captured if sender == "server")
    assert set(requests) == set(MessageType)
    assert set(replies) == set(MessageType) - {MessageType.ADD_PROVIDER}


def test_the_fields_of_kad_dht_messages_are_where_we_look_for_them(captured):
    """
    Peers with addresses, providers, a record and its time come out of real replies.
    """
    replies = [decode(data) for sender, data in captured if sender == "server"]

    found = [reply for reply in replies if reply.type is MessageType.GET_VALUE and reply.record is not None]
    assert found[0].record.key == b"/v/kontinuum"
    assert found[0].record.value == b"a value"
    assert found[0].record.time_received.startswith("20")
    assert found[0].record.time_received.endswith("Z")
    named = [peer for reply in replies for peer in (*reply.closer_peers, *reply.provider_peers)]
    assert named
    assert all(len(peer.peer_id) == 38 and peer.addresses and not peer.contact for peer in named)
    assert any(reply.provider_peers for reply in replies if reply.type is MessageType.GET_PROVIDERS)


def test_kad_dht_reads_our_messages_and_skips_our_extensions(readings):
    """
    Go's protobuf finds every field of the specification where it belongs; the extensions are unknown to it.
    """
    assert len(readings) == len(OURS)
    for message, reading in zip(OURS, readings, strict=True):
        assert reading["read"] == shown(message)
        assert bytes.fromhex(reading["message"]) == encode(message)


def test_kad_dht_answers_our_requests(readings):
    """
    A real node serves requests that carry our extensions as it serves its own kind's.
    """
    replies = {
        index: decode(bytes.fromhex(reading["reply"]))
        for index, reading in enumerate(readings)
        if "reply" in reading
    }

    assert replies[0].type is MessageType.PING
    assert len(replies[1].closer_peers) >= 3
    assert replies[2].record.value == b"value" * 100
    assert replies[2].sender == PEERS[0].contact, "it sends a stored message back as it came"
    assert replies[3].record.value == b"value" * 100
    assert replies[4].record is None
    assert set(replies) == {0, 1, 2, 3, 4, 6}
