"""Calls between peers, and the handlers that answer them: what an endpoint tells, and what a node asks.

One stream per call (ADR 0004): calls do not wait for each other, and either side can end one. The deadline
travels with the request; a caller that gives up stops the handler.
Source: docs/protocols/rpc.md.
Bounds: RpcOptions; requests and replies have at most MESSAGE_BYTES_MAX bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from kontinuum.identity import PeerId
from kontinuum.rpc.incoming import CallHandler, Handlers, RpcOptions
from kontinuum.rpc.outgoing import OutgoingCalls, Waiter
from kontinuum.transport import CloseReason, Connection, MessageStream, RawStream


class RpcService:
    """Calls over the connections of one endpoint; the ``Upcalls`` of that endpoint.

    Handlers may be added before :meth:`start`. The floor above sets ``connection_opened``,
    ``connection_closed``, ``on_raw_stream``, ``on_datagram`` and ``on_path``.
    """

    def __init__(self, options: RpcOptions | None = None) -> None:
        self._handlers = Handlers(options or RpcOptions())
        self._calls: OutgoingCalls
        self.connection_opened: Callable[[Connection], None] = lambda _connection: None
        self.connection_closed: Callable[[Connection, CloseReason], None] = lambda _connection, _reason: None
        self.on_datagram: Callable[[Connection, bytes], None] = lambda _connection, _data: None
        self.on_raw_stream: Callable[[Connection, RawStream], None] = lambda _, stream: stream.close()
        self.on_path: Callable[[Connection, int, int, tuple[str, int] | None], None] = lambda *_: None
        self.on_call = self._handlers.on_call
        self.on_call_cancelled = self._handlers.on_call_cancelled
        self.on_stream = self._handlers.on_stream

    # --- for the node ---

    def add_handler(self, protocol: str, function: CallHandler) -> None:
        """Answer calls of ``protocol`` with ``function``.

        Raises:
            MisuseError: The name is too long, empty, or has a handler already.
        """
        self._handlers.add(protocol, function)

    def add_stream_handler(
        self, protocol: str, function: Callable[[Any], Awaitable[None]], *, messages: bool
    ) -> None:
        """Serve streams (or, with ``messages``, streams of messages) of ``protocol`` with ``function``.

        Raises:
            MisuseError: The name is too long, empty, or has a handler already.
        """
        self._handlers.add_for_streams(protocol, function, messages=messages)

    def add_acceptor(self, protocol: str, function: Callable[[MessageStream], None]) -> None:
        """Hand streams of messages of ``protocol`` to ``function`` as they come: no task serves them.

        For machines with a stream for each peer, which count as no handlers at work. The function must not
        raise or block, and takes or refuses the stream; see ``kontinuum.transport.owned_stream``.

        Raises:
            MisuseError: The name is too long, empty, or has a handler already.
        """
        self._handlers.add_acceptor(protocol, function)

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Calls by direction (``outgoing``, ``incoming``) and outcome."""
        calls, handlers = self._calls, self._handlers
        return {
            ("outgoing", "ok"): calls.ok,
            ("outgoing", "failed"): calls.failed,
            ("outgoing", "timed_out"): calls.timed_out,
            ("incoming", "ok"): handlers.ok,
            ("incoming", "failed"): handlers.failed,
            ("incoming", "unwanted"): handlers.unwanted,
        }

    @property
    def handlers_at_work(self) -> int:
        """Handlers that wait for something, of calls and of streams."""
        return self._handlers.at_work

    def call(
        self, connection: Connection, protocol: str, data: bytes, timeout_s: float
    ) -> Coroutine[Any, Any, bytes]:
        """Ask the peer and wait for its answer. Cancelling stops the handler there.

        Raises:
            CallTimeoutError: No answer in time.
            InvalidTimeoutError: ``timeout_s`` is not above 0.
            UnknownProtocolError: The peer has no such handler.
            RemoteError: The handler failed or refused.
            BusyError: The peer is busy, or thousands of calls to it wait already.
            CallTooLargeError: ``data`` is longer than MESSAGE_BYTES_MAX.
            ConnectionLostError: The connection ended before the answer came.
        """
        return self._calls.call(connection, protocol, data, timeout_s)

    def begin_call(
        self, connection: Connection, protocol: str, data: bytes, timeout_s: float, waiter: Waiter
    ) -> None:
        """Ask the peer; ``waiter`` gets the answer in the turn of the loop in which it arrives.

        For machines with many requests in flight: no task, no future. The waiter must not block, and may
        begin calls of its own.

        Raises:
            KontinuumError: As :meth:`call`, if the request could not be sent; the waiter hears nothing then.
        """
        self._calls.begin(connection, protocol, data, timeout_s, waiter)

    def renamed(self, connection: Connection, former: PeerId) -> None:
        """The peer of ``connection`` goes by another name now, and had that one before."""
        self._handlers.renamed(connection, former)

    # --- beginning and end ---

    def start(self) -> None:
        """To be called within the loop that will run everything, before the endpoint is made."""
        loop = asyncio.get_running_loop()
        self._handlers.start(loop)
        self._calls = OutgoingCalls(loop)

    async def close(self) -> None:
        """Stop all handlers and wait for them; to be called before the endpoint closes."""
        self._calls.close()
        await self._handlers.close()

    # --- upcalls ---

    def on_reply(self, token: int, status: int, body: bytes) -> None:
        """The reply to our call ``token``."""
        self._calls.on_reply(token, status, body)

    def on_call_failed(self, token: int, code: int) -> None:
        """The peer ended our call ``token`` without a reply."""
        self._calls.on_failed(token, code)

    def on_connection(self, connection: Connection) -> None:
        """A peer is connected."""
        self.connection_opened(connection)

    def on_closed(self, connection: Connection, reason: CloseReason) -> None:
        """A connection ended. Its calls fail, its handlers stop."""
        self._calls.on_closed(connection)
        connection.calls = 0
        self._handlers.on_closed(connection)
        self.connection_closed(connection, reason)
