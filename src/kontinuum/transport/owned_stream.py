"""A stream of messages that tells its owner what happens, in the turn of the loop in which it happens.

For machines: no task and no future waits for such a stream, so that a node may have one with each of
thousands of peers. It stands beside the calls for as long as the connection does, and does not make it busy:
a connection that carries nothing else may make room for another one.

Bounds: what was not reported as consumed is bounded by the stream's credit (ADR 0003); what waits to be sent
        only by its owner, who is told how much it is.
Trust:  as for every stream, the peer decides when bytes come and when it ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from kontinuum.transport.stream import SEND_HIGH_WATER_BYTES, MessageStream

if TYPE_CHECKING:
    from kontinuum.transport.connection import Connection

__all__ = ["SEND_HIGH_WATER_BYTES", "OwnedMessageStream", "StreamOwner"]


_NO_MESSAGES: deque[bytes] = deque(maxlen=0)
"""Its owner has the messages; a queue of its own would cost each of thousands of streams 600 bytes."""


class StreamOwner(Protocol):
    """Whom an :class:`OwnedMessageStream` tells. Each returns quickly; none may raise."""

    def on_message(self, stream: OwnedMessageStream, message: bytes) -> None:
        """A message came. The peer may send more once it is reported by ``consume``."""

    def on_room(self, stream: OwnedMessageStream) -> None:
        """Less than half of ``SEND_HIGH_WATER_BYTES`` waits, as was asked for by ``want_room``."""

    def on_end(self, stream: OwnedMessageStream) -> None:
        """It is over: ``stopped_code``, ``reset_code`` and the connection's ``close_reason`` say how."""


class OwnedMessageStream(MessageStream):
    """Messages between two nodes. ``send`` and ``receive`` of its base are not for it.

    Args:
        connection: Where it is open.
        stream_id: Its number there.
        protocol: Its name.
        owner: Who is told.
        inbound: The peer opened it.
        bidirectional: Both send; else only who opened it.
    """

    __slots__ = ("_ended_told", "_owner")

    standing = True

    def __init__(
        self,
        connection: Connection,
        stream_id: int,
        protocol: str,
        owner: StreamOwner,
        *,
        inbound: bool,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(connection, stream_id, protocol, inbound=inbound, bidirectional=bidirectional)
        self._owner = owner
        self._ended_told = False
        self._messages = _NO_MESSAGES

    @classmethod
    async def open(
        cls, connection: Connection, protocol: str, owner: StreamOwner, *, bidirectional: bool = False
    ) -> Self:
        """Open one to the peer. Raises as :meth:`Connection.open_messages`."""
        plain = await connection.open_messages(protocol, bidirectional=bidirectional)
        stream = cls(connection, plain.id, protocol, owner, inbound=False, bidirectional=bidirectional)
        if plain.can_send:
            connection.add_stream(stream)
        else:  # It was refused while we waited.
            stream.can_send, stream._stopped_code = False, plain.stopped_code
        return stream

    @classmethod
    def adopt(cls, stream: MessageStream, owner: StreamOwner) -> Self:
        """Take a stream over that a peer has just opened, before any of its messages was read."""
        owned = cls(
            stream.connection,
            stream.id,
            stream.protocol,
            owner,
            inbound=True,
            bidirectional=stream.bidirectional,
        )
        stream.connection.add_stream(owned)
        return owned

    def consume(self, length: int) -> None:
        """A message of that length has been dealt with."""
        if self.can_receive:
            self._quietly(self._native.consume, length)

    # --- called by the endpoint ---

    def on_message(self, message: bytes) -> None:
        """One whole message came."""
        self._owner.on_message(self, message)

    def on_writable(self) -> None:
        """The queue is low, or will never be."""
        if self.can_send:
            self._owner.on_room(self)

    def on_finished(self) -> None:
        """The peer finished its half."""
        super().on_finished()
        self._tell_end()

    def on_reset(self, code: int) -> None:
        """The peer gave up its half."""
        super().on_reset(code)
        self._tell_end()

    def on_stopped(self, code: int) -> None:
        """The peer refuses our half."""
        super().on_stopped(code)
        self._tell_end()

    def on_connection_closed(self) -> None:
        """The connection is gone."""
        super().on_connection_closed()
        self._tell_end()

    def _tell_end(self) -> None:
        if not self._ended_told:
            self._ended_told = True
            self._owner.on_end(self)
