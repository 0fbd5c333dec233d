"""Streams of connections that speak libp2p: bytes in both directions, without any framing of ours.

Where ``connection.alpn`` is ``ALPN_LIBP2P``, a peer's streams arrive by the upcall ``on_raw_stream``, also
those that carry nothing but their end. Ours are opened by ``await connection.open_raw()``; the peer hears of
one by its first byte. Each half ends on its own:

- what we send: ``await write(data)`` or ``send_nowait(data)``; at last ``await finish()`` or
  ``finish_nowait()``, or else ``reset(code)``;
- what we receive: ``await read(n)``, ``await read_exactly(n)`` or ``read_nowait(n)``; the end is ``b""``, a
  reset is StreamResetError; ``stop(code)`` refuses the rest.

Where no task shall wait, ``listen(listener)`` tells what happens in the turn of the loop in which it happens.

Source: docs/adr/0040; libp2p specifications, quic/README.md.
Bounds: 256 streams of a peer; 256 KiB of each are read ahead, then QUIC stops the sender. A sender of
        thousands of small packets to a reader that has stopped is refused at ``raw_buffer_max``
        (StreamOverflowError).
Trust:  the peer decides when bytes come and how its half ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kontinuum.base.errors import MisuseError
from kontinuum.transport.errors import StreamOverflowError
from kontinuum.transport.stream import READ_BYTES_MAX, Stream

if TYPE_CHECKING:
    from kontinuum.transport.connection import Connection


class RawListener(Protocol):
    """Whom a :class:`RawStream` tells. Each returns quickly; none may raise."""

    def on_readable(self, stream: RawStream) -> None:
        """``read_nowait`` has something: bytes, the end, or the error with which the peer's half ended."""

    def on_room(self, stream: RawStream) -> None:
        """Less than half of SEND_HIGH_WATER_BYTES waits to be sent, as was asked for by ``want_room``."""

    def on_send_end(self, stream: RawStream) -> None:
        """Nothing can be sent any more, and not by our doing: ``stopped_code``, or the connection's end."""


class RawStream(Stream):
    """A stream as libp2p has it. Made by :meth:`Connection.open_raw`, or by the peer.

    ``protocol`` is empty until whoever negotiates one writes it there. ``standing`` may be set: such a stream
    is there for as long as the connection, and does not keep that from making room for another one.
    """

    __slots__ = ("_buffer", "_listener", "_overflowed", "_taken", "inbound", "standing")

    def __init__(self, connection: Connection, stream_id: int, *, inbound: bool) -> None:
        super().__init__(connection, stream_id, "", inbound=inbound, bidirectional=True)
        self.inbound = inbound
        """The peer opened it."""
        self.standing = False
        self._buffer = b""
        self._taken = 0
        self._overflowed = False
        self._listener: RawListener | None = None

    def listen(self, listener: RawListener | None) -> None:
        """From now on tell ``listener``. What came before waits for ``read_nowait``."""
        self._listener = listener

    async def read(self, bytes_max: int = READ_BYTES_MAX) -> bytes:
        """The next bytes, 1 to ``bytes_max``; ``b""`` once the peer has finished.

        Raises:
            MisuseError: ``bytes_max`` is below 1.
            StreamClosedError: We have stopped it.
            StreamResetError: The peer gave up.
            StreamOverflowError: More came than was read, and the rest was refused.
            ConnectionLostError: The connection ended.
        """
        while (data := self.read_nowait(bytes_max)) is None:
            await self._wait_readable()
        return data

    def read_nowait(self, bytes_max: int = READ_BYTES_MAX) -> bytes | None:
        """What is there now: ``b""`` at the end, ``None`` when more may come. Raises as :meth:`read`."""
        if bytes_max < 1:
            raise MisuseError(f"a read takes at least 1 byte, not {bytes_max}")
        if self._taken == len(self._buffer):
            # Small reads, as of a length before a message, share one call of the engine.
            data = self._take(READ_BYTES_MAX)
            if data is None or len(data) <= bytes_max:
                return data
            self._buffer, self._taken = data, 0
        begin = self._taken
        self._taken = min(begin + bytes_max, len(self._buffer))
        data = self._buffer[begin : self._taken]
        if self._taken == len(self._buffer):
            self._buffer, self._taken = b"", 0
        return data

    def send_nowait(self, data: bytes) -> int:
        """Queue ``data``. Returns the bytes that wait now; after the end, 0, and nothing happens.

        Nothing bounds what waits but its sender; :meth:`want_room` and :meth:`writable` say when it is low.
        """
        return self._queue(data)

    def stop(self, code: int = 0) -> None:
        """Refuse the peer's half: what was not read is dropped, and the peer is told so."""
        self._buffer, self._taken = b"", 0
        super().stop(code)

    def _receive_error(self) -> Exception | None:
        return StreamOverflowError() if self._overflowed else super()._receive_error()

    # --- called by the endpoint ---

    def on_readable(self) -> None:
        """There is more to read, or the end."""
        super().on_readable()
        if self._listener is not None:
            self._listener.on_readable(self)

    def on_writable(self) -> None:
        """The queue is low, or will never be."""
        super().on_writable()
        if self._listener is not None and self.can_send:
            self._listener.on_room(self)

    def on_overflow(self) -> None:
        """More came than was read; the peer was told to stop."""
        self._overflowed = True
        self.can_receive = False
        self._forget_if_done()
        self.on_readable()

    def on_reset(self, code: int) -> None:
        """The peer gave up its half."""
        super().on_reset(code)
        if self._listener is not None:
            self._listener.on_readable(self)

    def on_stopped(self, code: int) -> None:
        """The peer refuses our half."""
        super().on_stopped(code)
        if self._listener is not None:
            self._listener.on_send_end(self)

    def on_connection_closed(self) -> None:
        """The connection is gone."""
        received, sent = self.can_receive, self.can_send
        super().on_connection_closed()
        if self._listener is not None:
            if received:
                self._listener.on_readable(self)
            if sent:
                self._listener.on_send_end(self)
