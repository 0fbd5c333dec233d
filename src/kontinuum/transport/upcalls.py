"""What an endpoint tells the floor above it."""

from typing import Protocol

from kontinuum.transport.connection import Connection
from kontinuum.transport.errors import CloseReason
from kontinuum.transport.raw_stream import RawStream
from kontinuum.transport.stream import MessageStream, Stream


class Upcalls(Protocol):
    """What the floor above is told. Each returns quickly; none may raise."""

    def on_connection(self, connection: Connection) -> None:
        """A peer is connected and verified."""

    def on_closed(self, connection: Connection, reason: CloseReason) -> None:
        """A connection is over."""

    def on_reply(self, token: int, status: int, body: bytes) -> None:
        """The reply to our call ``token``."""

    def on_call_failed(self, token: int, code: int) -> None:
        """The peer ended our call ``token`` without a reply."""

    def on_call(
        self, connection: Connection, stream: int, protocol: bytes, timeout_ms: int, body: bytes
    ) -> None:
        """A request; answer it with ``native.reply(connection.id, stream, ...)``."""

    def on_call_cancelled(self, connection: Connection, stream: int) -> None:
        """The caller no longer waits."""

    def on_stream(self, stream: Stream | MessageStream) -> None:
        """The peer opened a stream."""

    def on_raw_stream(self, connection: Connection, stream: RawStream) -> None:
        """A libp2p peer opened a stream."""

    def on_datagram(self, connection: Connection, data: bytes) -> None:
        """A datagram."""

    def on_path(
        self, connection: Connection, path: int, change: int, address: tuple[str, int] | None
    ) -> None:
        """A path changed; ``change`` as in the native engine."""
