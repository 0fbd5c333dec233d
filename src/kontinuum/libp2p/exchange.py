"""The conversations in which two peers identify themselves.

Source:   libp2p specs, identify/README.md.
Bounds:   those of ``identify``; IDENTIFY_TIMEOUT_S.
Trust:    what a peer says is handed on as a claim; see ``identify``.
Pure:     no I/O or clock of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.libp2p.conversation import Conversation, Talk
from kontinuum.libp2p.identify import Identity, IdentityReader
from kontinuum.wire.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.base.errors import KontinuumError

IDENTIFY, PUSH = "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"

IDENTIFY_TIMEOUT_S = 5.0
"""Seconds for a peer to say who it is, once it has agreed to, and to end its half. go-libp2p: 5."""


class Teller(Talk):
    """Say who we are, as the answer to identify or as a push, and end.

    Args:
        message: What we say; asked for when the protocol is agreed on, or given with the proposal.
    """

    def __init__(self, message: Callable[[], bytes] | None) -> None:
        self._message = message

    def on_agreed(self, conversation: Conversation) -> None:
        """Say it; then there is only the peer's end to wait for."""
        if self._message is not None:
            conversation.stream.send_nowait(self._message())
        conversation.finish()
        conversation.set_deadline(IDENTIFY_TIMEOUT_S)

    def on_data(self, _conversation: Conversation, data: bytes) -> None:
        """There is nothing to be said to us."""
        raise MalformedError(f"{len(data)} bytes where none are due")


class Hearer(Talk):
    """Hear who the peer is, as the answer to our question or as a push.

    Args:
        done: Told what it says, or what went wrong, once.
    """

    def __init__(self, done: Callable[[Conversation, Identity | KontinuumError], None]) -> None:
        self._done = done
        self._reader = IdentityReader()

    def on_agreed(self, conversation: Conversation) -> None:
        """It is on its way."""
        conversation.set_deadline(IDENTIFY_TIMEOUT_S)

    def on_data(self, _conversation: Conversation, data: bytes) -> None:
        """A part of it."""
        self._reader.receive(data)

    def on_end(self, conversation: Conversation, error: KontinuumError | None) -> None:
        """All of it, or an error."""
        conversation.finish()
        if error is not None:
            self._done(conversation, error)
            return
        try:
            identity = self._reader.finish().verify(conversation.peer_id)
        except PeerError as wrong:
            self._done(conversation, wrong)
        else:
            self._done(conversation, identity)
