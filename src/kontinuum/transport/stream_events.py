"""What the engine tells of streams, handed to the stream that it concerns or to the floor above.

Trust: an event may come for a stream or a connection that is gone here already; it says nothing then.
"""

from collections.abc import Callable, Mapping

from kontinuum import _native
from kontinuum.transport.connection import Connection
from kontinuum.transport.raw_stream import RawStream
from kontinuum.transport.stream import MessageStream, Stream
from kontinuum.transport.upcalls import Upcalls


class StreamEvents:
    """The handlers of these events.

    Args:
        connections: The open ones, by number.
        upcalls: The floor above.
        now: Monotonic seconds.
    """

    def __init__(
        self, connections: Mapping[int, Connection], upcalls: Upcalls, now: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._upcalls = upcalls
        self._now = now

    def handlers(self) -> dict[int, Callable[..., None]]:
        """Each by the number of its event."""
        return {
            _native.READABLE: self._on_stream_readable,
            _native.MESSAGE: self._on_message,
            _native.WRITABLE: self._on_writable,
            _native.ACCEPTED: self._on_accepted,
            _native.ACCEPTED_RAW: self._on_accepted_raw,
            _native.OVERFLOWED: self._on_overflowed,
            _native.FINISHED: self._on_finished,
            _native.WAS_RESET: self._on_was_reset,
            _native.STOPPED: self._on_stopped,
            _native.DATAGRAM: self._on_datagram,
            _native.PATH: self._on_path,
        }

    def _stream(self, connection_id: int, stream_id: int) -> Stream | MessageStream | None:
        connection = self._connections.get(connection_id)
        return None if connection is None else connection.stream(stream_id)

    def _on_stream_readable(self, connection_id: int, stream_id: int) -> None:
        if (stream := self._stream(connection_id, stream_id)) is not None:
            stream.on_readable()

    def _on_message(self, connection_id: int, stream_id: int, message: bytes) -> None:
        stream = self._stream(connection_id, stream_id)
        if isinstance(stream, MessageStream):
            stream.on_message(message)

    def _on_writable(self, connection_id: int, stream_id: int) -> None:
        if (stream := self._stream(connection_id, stream_id)) is not None:
            stream.on_writable()

    def _on_accepted(
        self,
        connection_id: int,
        stream_id: int,
        messages: bool,
        bidirectional: bool,
        protocol: bytes,
    ) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            return
        make = MessageStream if messages else Stream
        stream = make(connection, stream_id, protocol.decode(), inbound=True, bidirectional=bidirectional)
        connection.add_stream(stream)
        connection.last_used = self._now()
        self._upcalls.on_stream(stream)

    def _on_accepted_raw(self, connection_id: int, stream_id: int) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            return
        stream = RawStream(connection, stream_id, inbound=True)
        connection.add_stream(stream)
        connection.last_used = self._now()
        self._upcalls.on_raw_stream(connection, stream)

    def _on_overflowed(self, connection_id: int, stream_id: int) -> None:
        stream = self._stream(connection_id, stream_id)
        if isinstance(stream, RawStream):
            stream.on_overflow()

    def _on_finished(self, connection_id: int, stream_id: int) -> None:
        stream = self._stream(connection_id, stream_id)
        if isinstance(stream, MessageStream):
            stream.on_finished()

    def _on_was_reset(self, connection_id: int, stream_id: int, code: int) -> None:
        if (stream := self._stream(connection_id, stream_id)) is not None:
            stream.on_reset(code)

    def _on_stopped(self, connection_id: int, stream_id: int, code: int) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            return
        if (stream := connection.stream(stream_id)) is not None:
            stream.on_stopped(code)
        else:
            self._upcalls.on_call_cancelled(connection, stream_id)

    def _on_datagram(self, connection_id: int, data: bytes) -> None:
        if (connection := self._connections.get(connection_id)) is not None:
            self._upcalls.on_datagram(connection, data)

    def _on_path(self, connection_id: int, path: int, change: int, address: tuple[str, int] | None) -> None:
        if (connection := self._connections.get(connection_id)) is not None:
            self._upcalls.on_path(connection, path, change, address)
