"""What becomes of a message in a conversation."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from kontinuum.cli.chat.calm import NEWS_MAX, WORDS_MAX
from kontinuum.cli.chat.conversation import TOO_FAST, Conversation, time_of
from kontinuum.cli.chat.shown import Moved, Notice, Said
from kontinuum.cli.chat.wire import ChatMessage, Kind
from kontinuum.identity import KeyPair
from kontinuum.rpc.errors import CallError


class QuietNode:
    """A node whose clock stands still and that meets nobody."""

    peer_id = KeyPair.from_seed(bytes(32)).peer_id
    clock = SimpleNamespace(monotonic=lambda: 100.0, utc=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def handler(self, *_names, **_options):
        """Take any."""
        return lambda function: function

    stream_handler = handler

    def topic_peers(self, _topic):
        """Nobody."""
        return []


def key(number):
    """The identity of a fixed seed."""
    return KeyPair.from_seed(number.to_bytes(32)).peer_id


def from_peer(number, kind, text, nick):
    """What a topic carries."""
    data = ChatMessage(kind, text, nick).encode()
    return SimpleNamespace(author=key(number), data=data, seqno=10**18)


@pytest.fixture
async def talk(tmp_path):
    """A conversation, and what it shows."""
    shown = []
    conversation = Conversation(QuietNode(), "me", show=shown.append, downloads=tmp_path)
    yield SimpleNamespace(conversation=conversation, shown=shown)
    await conversation.close()


async def test_minted_keys_do_not_fill_the_screen_with_their_names(talk):
    """
    Each says who it is and is called something else: a few notices, one drawing.
    """
    for number in range(1, 201):
        talk.conversation._on_message("dev", from_peer(number, Kind.HERE, "", f"n{number}"))
        talk.conversation._on_message("dev", from_peer(number, Kind.HERE, "", f"m{number}"))

    assert len([each for each in talk.shown if isinstance(each, Notice)]) == NEWS_MAX
    assert len([each for each in talk.shown if isinstance(each, Moved)]) == 1


async def test_words_of_one_author_are_bounded_in_rooms_and_in_calls_together(talk):
    """
    Who calls is told that the words were not shown.
    """
    for _ in range(WORDS_MAX + 5):
        talk.conversation._on_message("dev", from_peer(1, Kind.SAY, "hi", "bob"))
    with pytest.raises(CallError) as refused:
        talk.conversation._on_direct(key(1), ChatMessage(Kind.SAY, "hi", "bob").encode())

    assert refused.value.code == TOO_FAST
    assert len([each for each in talk.shown if isinstance(each, Said)]) == WORDS_MAX


@pytest.mark.parametrize("seqno", [0, 2**63, 2**64 - 1])
@pytest.mark.parametrize("hours", [-14, 14])
def test_any_time_that_a_stranger_claims_can_be_shown(seqno, hours):
    """
    In every time zone: one message must not end a room.
    """
    assert time_of(seqno).astimezone(timezone(timedelta(hours=hours))).strftime("%H:%M")
