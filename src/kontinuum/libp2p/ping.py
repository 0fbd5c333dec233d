"""``/ipfs/ping/1.0.0``: 32 bytes there and back.

Source:   libp2p specs, ping/ping.md.
Differs:  each ping of ours has a stream of its own: rust-libp2p 0.47 answers a second one on the same stream
          only when something else wakes it.
Bounds:   PING_BYTES a ping; ANSWERS_PER_PEER_MAX streams of a peer; one ping of ours to a peer at a time.
Trust:    a peer that answers with other bytes is told so; one that does not read its echoes is not read.
Pure:     no I/O, clock or randomness of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.conversation import Conversation, Talk
from kontinuum.libp2p.errors import PingError
from kontinuum.transport.stream import SEND_HIGH_WATER_BYTES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from kontinuum.base.errors import KontinuumError
    from kontinuum.identity import PeerId

PING = "/ipfs/ping/1.0.0"

PING_BYTES = 32
"""Bytes of a ping. ping/ping.md."""

ANSWERS_PER_PEER_MAX = 2
"""Streams on which a peer may ping us at once. ping/ping.md. A further one is reset."""

PING_TIMEOUT_S = 10.0
"""Seconds to wait for an answer. go-libp2p: 10."""

PING_IDLE_S = 60.0
"""Seconds after which a stream on which nobody pings is reset. Our choice: js-libp2p and go-libp2p ping every
15 seconds where they do."""


class PingAnswer(Talk):
    """Send back what comes.

    Args:
        answering: How many of these each peer has.
    """

    def __init__(self, answering: Counter[PeerId]) -> None:
        self._answering = answering
        self._held = b""
        self._counted = False

    def on_agreed(self, conversation: Conversation) -> None:
        """Count it; a peer has few of them."""
        if self._answering[conversation.peer_id] >= ANSWERS_PER_PEER_MAX:
            conversation.abort(StreamCode.RESOURCE_LIMIT)
            return
        self._answering[conversation.peer_id] += 1
        self._counted = True
        conversation.set_deadline(PING_IDLE_S)

    def on_data(self, conversation: Conversation, data: bytes) -> None:
        """Whole pings go back."""
        data = self._held + data
        whole = len(data) - len(data) % PING_BYTES
        self._held = data[whole:]
        if whole:
            conversation.set_deadline(PING_IDLE_S)
            waiting = conversation.stream.send_nowait(data[:whole])
            if waiting > SEND_HIGH_WATER_BYTES and conversation.stream.want_room():
                conversation.pause()

    def on_room(self, conversation: Conversation) -> None:
        """It reads its echoes again."""
        conversation.resume()

    def on_end(self, conversation: Conversation, error: KontinuumError | None) -> None:
        """End ours as well, at once: js-libp2p counts streams that are not."""
        if self._counted:
            self._answering[conversation.peer_id] -= 1
            if not self._answering[conversation.peer_id]:
                del self._answering[conversation.peer_id]
        if error is None:
            conversation.finish()


class PingRequest(Talk):
    """One ping of ours, whose bytes were sent together with the proposal.

    Args:
        payload: Its 32 bytes.
        now: Monotonic seconds.
        done: Told the seconds that it took, or what went wrong, once.
    """

    def __init__(
        self, payload: bytes, now: Callable[[], float], done: Callable[[float | KontinuumError], None]
    ) -> None:
        self._payload = payload
        self._now = now
        self._done = done
        self._sent_at = now()
        self._echo = b""
        self._is_done = False

    def on_agreed(self, conversation: Conversation) -> None:
        """The echo is on its way."""
        conversation.set_deadline(PING_TIMEOUT_S)

    def on_data(self, conversation: Conversation, data: bytes) -> None:
        """The echo, or a part of it."""
        self._echo += data
        if not self._payload.startswith(self._echo):
            raise PingError(f"{conversation.peer_id.short} answered a ping with other bytes")
        if len(self._echo) == PING_BYTES:
            self._tell(self._now() - self._sent_at)
            conversation.finish()

    def on_end(self, conversation: Conversation, error: KontinuumError | None) -> None:
        """Without an echo, or after it."""
        conversation.finish()
        self._tell(error or PingError(f"{conversation.peer_id.short} ended a ping without an answer"))

    def _tell(self, outcome: float | KontinuumError) -> None:
        if not self._is_done:
            self._is_done = True
            self._done(outcome)
