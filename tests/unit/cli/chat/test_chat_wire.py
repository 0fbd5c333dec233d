"""What travels between chats."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.base.errors import PeerError
from kontinuum.cli.chat.wire import (
    MESSAGE_BYTES_MAX,
    NICK_BYTES_MAX,
    TEXT_BYTES_MAX,
    ChatMessage,
    Kind,
    decode,
)
from kontinuum.wire.errors import MalformedError


def test_golden_bytes():
    """
    The bytes of docs/protocols/chat.md.
    """
    message = ChatMessage(Kind.SAY, "hi", "alice")

    assert message.encode() == bytes.fromhex("a3000001626869026561 6c696365".replace(" ", ""))
    assert decode(message.encode()) == message


@pytest.mark.parametrize(
    "value",
    [
        b"",
        [],
        {},
        {0: True, 1: "x", 2: "n"},
        {0: 0, 1: "x"},
        {0: 0, 1: 5, 2: "n"},
        {0: 0, 1: "", 2: "n"},
        {0: 2, 1: "x", 2: "n"},
        {0: 0, 1: "x" * (TEXT_BYTES_MAX + 1), 2: "n"},
        {0: 0, 1: "x", 2: "n" * (NICK_BYTES_MAX + 1)},
        {0: "0", 1: "x", 2: "n"},
    ],
)
def test_what_is_no_message_is_refused(value):
    """
    Each flaw is a MalformedError.
    """
    with pytest.raises(MalformedError):
        decode(value if isinstance(value, bytes) else cbor2.dumps(value, canonical=True))


def test_a_kind_and_a_field_of_a_newer_version_are_skipped():
    """
    A newer chat does not break an older one.
    """
    assert decode(cbor2.dumps({0: 77, 5: b"new"}, canonical=True)) is None
    newer = cbor2.dumps({0: 0, 1: "x", 2: "n", 9: "new"}, canonical=True)
    assert decode(newer) == ChatMessage(Kind.SAY, "x", "n")


def test_the_largest_message_is_taken_and_a_larger_one_is_not():
    """
    At the limit, and beyond it.
    """
    largest = ChatMessage(Kind.ACT, "x" * TEXT_BYTES_MAX, "n" * NICK_BYTES_MAX)

    assert decode(largest.encode()) == largest
    with pytest.raises(MalformedError):
        decode(bytes(MESSAGE_BYTES_MAX + 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_a_newer_one_or_a_peers_fault(data):
    """
    Nothing else happens.
    """
    try:
        message = decode(data)
    except PeerError:
        return
    assert message is None or decode(message.encode()) == message
