"""Streams of bytes and of messages between two nodes, with back-pressure in both directions.

A reader that does not read stops the sender: at most 1 MiB and 1,024 frames of a stream are ahead of its
consumer (ADR 0003), at most SEND_HIGH_WATER_BYTES wait on the sending side.
Trust: the peer decides when and whether bytes come; every wait ends when the connection does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from kontinuum._native import Endpoint as NativeEndpoint
from kontinuum.base.errors import MisuseError
from kontinuum.transport.errors import (
    ConnectionLostError,
    MessageTooLargeError,
    StreamClosedError,
    StreamEndedError,
    StreamResetError,
    StreamStoppedError,
)

if TYPE_CHECKING:
    import asyncio

    from kontinuum.transport.connection import Connection

READ_BYTES_MAX = 256 * 1024
"""Bytes that one read returns at most unless told otherwise. Our choice: large enough for full speed."""

SEND_HIGH_WATER_BYTES = NativeEndpoint.SEND_HIGH_WATER_BYTES
"""Bytes that wait on a stream beyond which its writer is told to wait."""
MESSAGE_BYTES_MAX = NativeEndpoint.MESSAGE_BYTES_MAX
"""Bytes of a message, request or reply: 1 MiB. A longer one is refused before it is sent or buffered."""


class _BaseStream:
    """What streams of bytes and of messages have in common: how they end, and how they wait."""

    __slots__ = (
        "_native",
        "_readable",
        "_refused",
        "_reset_code",
        "_stopped_code",
        "_writable",
        "bidirectional",
        "can_receive",
        "can_send",
        "connection",
        "id",
        "protocol",
    )

    standing = False
    """It is there for as long as the connection, and does not make it busy."""

    def __init__(
        self, connection: Connection, stream_id: int, protocol: str, *, inbound: bool, bidirectional: bool
    ) -> None:
        self.connection = connection
        self.id = stream_id
        self.protocol = protocol
        self.bidirectional = bidirectional
        self.can_send = bidirectional or not inbound
        self.can_receive = bidirectional or inbound
        self._refused = not self.can_receive
        self._native = connection.endpoint.native
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._reset_code: int | None = None
        self._stopped_code: int | None = None

    @property
    def stopped_code(self) -> int | None:
        """The code with which the peer refused our half, if it did."""
        return self._stopped_code

    @property
    def reset_code(self) -> int | None:
        """The code with which the peer gave up its half, if it did."""
        return self._reset_code

    async def _write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.can_send:
            raise self._send_error()
        if self._writable is not None:
            raise MisuseError("two tasks write to one stream; let one of them do it")
        try:
            queued = self._native.write(self.connection.id, self.id, bytes(data))
        except BrokenPipeError:
            raise self._send_error() from None
        self.connection.endpoint.touch()
        if queued > SEND_HIGH_WATER_BYTES:
            await self._drained()

    async def _drained(self) -> None:
        endpoint = self.connection.endpoint
        try:
            if not self._native.want_writable(self.connection.id, self.id):
                return
        except BrokenPipeError:
            raise self._send_error() from None
        self._writable = endpoint.loop.create_future()
        try:
            await self._writable
        finally:
            self._writable = None
        if not self.can_send:
            raise self._send_error()

    def _queue(self, data: bytes) -> int:
        if not self.can_send:
            return 0
        try:
            queued = self._native.write(self.connection.id, self.id, data)
        except BrokenPipeError:
            return 0
        self.connection.endpoint.touch()
        return queued

    def want_room(self) -> bool:
        """Have ``on_writable`` called once. False if there is room already, or never will be."""
        try:
            return self.can_send and self._native.want_writable(self.connection.id, self.id)
        except BrokenPipeError:
            return False

    async def writable(self) -> None:
        """Wait until less than half of SEND_HIGH_WATER_BYTES waits to be sent.

        Raises:
            StreamStoppedError: The peer refuses the stream.
            StreamClosedError: We finished or reset it before.
            ConnectionLostError: The connection ended.
        """
        if not self.can_send:
            raise self._send_error()
        if self._writable is not None:
            raise MisuseError("two tasks write to one stream; let one of them do it")
        await self._drained()

    async def finish(self) -> None:
        """End our half after what was written. Returns at once; a second call does nothing."""
        self.finish_nowait()

    def finish_nowait(self) -> None:
        """As :meth:`finish`."""
        if self.can_send:
            self.can_send = False
            self._quietly(self._native.finish)
            self._forget_if_done()

    def reset(self, code: int = 0) -> None:
        """Give up our half: what the peer has not received yet is lost, and it is told so."""
        if self.can_send:
            self.can_send = False
            self._quietly(self._native.reset, code)
            self.on_writable()  # Whoever waits to write more learns that it cannot.
            self._forget_if_done()

    def stop(self, code: int = 0) -> None:
        """Refuse the peer's half: what was not read is dropped, and the peer is told so."""
        if self.can_receive:
            self.can_receive = False
            self._refused = True
            self._quietly(self._native.stop, code)
            self._wake_reader()
            self._forget_if_done()

    def close(self) -> None:
        """Give up whatever half is still open; after both have ended it does nothing."""
        self.reset()
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.finish()
        else:
            self.reset()
        self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.protocol!r} of {self.connection!r}>"

    def _quietly(self, act: object, *arguments: int) -> None:
        try:
            act(self.connection.id, self.id, *arguments)  # type: ignore[operator]
        except BrokenPipeError:
            return  # The connection is gone, and the stream with it.
        self.connection.endpoint.touch()

    def _send_error(self) -> Exception:
        if self._stopped_code is not None:
            return StreamStoppedError(self._stopped_code)
        if (reason := self.connection.close_reason) is not None:
            return ConnectionLostError(reason)
        return StreamClosedError("our half of the stream has ended")

    def _receive_error(self) -> Exception | None:
        if self._reset_code is not None:
            return StreamResetError(self._reset_code)
        if self._refused:
            return StreamClosedError("we receive nothing on this stream, or refused to")
        if (reason := self.connection.close_reason) is not None:
            return ConnectionLostError(reason)
        return None

    def _forget_if_done(self) -> None:
        if not self.can_send and not self.can_receive:
            self.connection.forget_stream(self.id)

    def _wake_reader(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    async def _wait_readable(self) -> None:
        if self._readable is not None:
            raise MisuseError("two tasks read from one stream; let one of them do it")
        self._readable = self.connection.endpoint.loop.create_future()
        try:
            await self._readable
        finally:
            self._readable = None

    # --- called by the endpoint ---

    def on_readable(self) -> None:
        """There is more to read."""
        self._wake_reader()

    def on_writable(self) -> None:
        """The queue is low, or will never be."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def on_reset(self, code: int) -> None:
        """The peer gave up its half."""
        self._reset_code = code
        self.can_receive = False
        self._wake_reader()
        self._forget_if_done()

    def on_stopped(self, code: int) -> None:
        """The peer refuses our half."""
        self._stopped_code = code
        self.can_send = False
        self.on_writable()
        self._forget_if_done()

    def on_connection_closed(self) -> None:
        """The connection is gone."""
        self.can_send = self.can_receive = False
        self._wake_reader()
        self.on_writable()


class Stream(_BaseStream):
    """Bytes in order, in one or both directions. ``async with`` finishes it on success, else resets it.

    Cancelling a read or write is safe: no byte is lost or sent twice.
    """

    __slots__ = ()

    async def read(self, bytes_max: int = READ_BYTES_MAX) -> bytes:
        """The next bytes, 1 to ``bytes_max``; ``b""`` once the peer has finished.

        Raises:
            MisuseError: ``bytes_max`` is below 1, which would look like the end.
            StreamClosedError: The stream goes the other way only, or we have stopped it.
            StreamResetError: The peer gave up.
            ConnectionLostError: The connection ended.
        """
        if bytes_max < 1:
            raise MisuseError(f"a read takes at least 1 byte, not {bytes_max}")
        while (data := self._take(bytes_max)) is None:
            await self._wait_readable()
        return data

    def _take(self, bytes_max: int) -> bytes | None:
        """What is there now: ``b""`` at the end, ``None`` when more may come. Raises as :meth:`read`."""
        if not self.can_receive:
            if (error := self._receive_error()) is not None:
                raise error
            return b""
        try:
            data = self._native.read(self.connection.id, self.id, bytes_max)
        except BrokenPipeError:
            if (error := self._receive_error()) is not None:
                raise error from None
            return b""
        if data:
            self.connection.endpoint.touch()
        elif data is not None:
            self.can_receive = False
            self._forget_if_done()
        return data

    async def read_exactly(self, count: int) -> bytes:
        """Exactly ``count`` bytes.

        Raises:
            StreamEndedError: The peer finished before; ``partial`` has what came.
            StreamResetError: The peer gave up.
            ConnectionLostError: The connection ended.
        """
        parts: list[bytes] = []
        missing = count
        while missing:
            part = await self.read(missing)
            if not part:
                raise StreamEndedError(b"".join(parts), count)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``; waits while SEND_HIGH_WATER_BYTES are queued.

        Raises:
            StreamStoppedError: The peer refuses the stream.
            StreamClosedError: We finished or reset it before.
            ConnectionLostError: The connection ended.
        """
        await self._write(data)


class MessageStream(_BaseStream):
    """Whole messages in order, each up to MESSAGE_BYTES_MAX bytes, in one or both directions."""

    __slots__ = ("_ended", "_messages")

    def __init__(
        self, connection: Connection, stream_id: int, protocol: str, *, inbound: bool, bidirectional: bool
    ) -> None:
        super().__init__(connection, stream_id, protocol, inbound=inbound, bidirectional=bidirectional)
        self._messages: deque[bytes] = deque()  # Bounded by the stream's credit: 1,024 messages, 1 MiB.
        self._ended = False

    async def send(self, message: bytes | bytearray | memoryview) -> None:
        """Send one message; waits while SEND_HIGH_WATER_BYTES are queued.

        Raises:
            MessageTooLargeError: It is longer than MESSAGE_BYTES_MAX.
            StreamStoppedError: The peer refuses the stream.
            StreamClosedError: We finished or reset it before.
            ConnectionLostError: The connection ended.
        """
        if len(message) > MESSAGE_BYTES_MAX:
            raise MessageTooLargeError(len(message), MESSAGE_BYTES_MAX)
        await self._write(message)

    def send_nowait(self, message: bytes) -> int:
        """Queue one message. Returns the bytes that wait now; after the end, 0, and nothing happens.

        Nothing bounds what waits but its sender; :meth:`want_room` and :meth:`writable` say when it is low.

        Raises:
            MessageTooLargeError: It is longer than MESSAGE_BYTES_MAX.
        """
        if len(message) > MESSAGE_BYTES_MAX:
            raise MessageTooLargeError(len(message), MESSAGE_BYTES_MAX)
        return self._queue(message)

    async def receive(self) -> bytes | None:
        """The next message, or ``None`` once the peer has finished.

        Raises:
            StreamResetError: The peer gave up.
            ConnectionLostError: The connection ended; messages that came before it are returned first.
        """
        while not self._messages:
            if self._ended or not self.can_receive:
                if (error := self._receive_error()) is not None and not self._ended:
                    raise error
                return None
            await self._wait_readable()
        message = self._messages.popleft()
        if self.can_receive:
            self._quietly(self._native.consume, len(message))
        return message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    # --- called by the endpoint ---

    def on_message(self, message: bytes) -> None:
        """One whole message came."""
        self._messages.append(message)
        self._wake_reader()

    def on_finished(self) -> None:
        """The peer finished its half."""
        self._ended = True
        self.can_receive = False
        self._wake_reader()
        self._forget_if_done()
