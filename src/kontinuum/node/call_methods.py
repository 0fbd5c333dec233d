"""The methods of a node that ask its peers something."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from kontinuum.node.introductions import PING
from kontinuum.rpc.errors import CallTimeoutError, InvalidTimeoutError

if TYPE_CHECKING:
    from kontinuum.base.clock import Clock
    from kontinuum.identity import PeerId
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.libp2p import NodeLibp2p
    from kontinuum.node.neighbours import PeerLike
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection, MessageStream, Stream

NO_CONNECTION_IN_TIME = "no connection could be made in time"


class CallMethods(ABC):
    """Calls and streams to peers. A part of ``Node``."""

    config: NodeConfig
    clock: Clock
    _rpc: RpcService

    @abstractmethod
    def connection(self, peer: PeerLike) -> Connection | None:
        """The connection in use with ``peer``, if there is one."""

    @abstractmethod
    async def _connection(self, peer: PeerLike) -> Connection:
        """The connection with ``peer``, made if need be."""

    @abstractmethod
    def _identify(self, peer: PeerLike) -> PeerId:
        """Who ``peer`` is, of a node that runs."""

    @abstractmethod
    def _only_libp2p(self, peer_id: PeerId) -> NodeLibp2p | None:
        """Our libp2p side, if that is how the peer is connected."""

    async def call(
        self,
        peer: PeerLike,
        protocol: str,
        data: bytes = b"",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- it travels with the request
    ) -> bytes:
        """Ask ``peer`` and wait for its answer; connects first if need be. Cancelling stops the handler.

        Args:
            peer: Its identity in either text form, its contact, or a contact's text.
            protocol: The handler's name.
            data: The request, up to 1 MiB; more goes through a stream.
            timeout: Seconds for all of it, connecting included; the setting ``call_timeout_s`` if not given.

        Raises:
            CallTimeoutError: No answer in time, or no connection.
            InvalidTimeoutError: ``timeout`` is not above 0.
            UnknownProtocolError: The peer has no such handler.
            RemoteError: The handler failed, or refused.
            BusyError: The peer is busy.
            CallTooLargeError: ``data`` is too long.
            ConnectionLostError: The connection ended before the answer came.
            PeerBackoffError: The peer could not be reached a moment ago and is left alone for a while.
            UnavailableError, HandshakeError: As :meth:`connect`.
        """
        if timeout is None:
            timeout = self.config.call_timeout_s
        if not timeout > 0:  # Also what is no number; and before a connection is made for nothing.
            raise InvalidTimeoutError(f"a call's time-out is a number of seconds above 0, not {timeout}")
        connection = self.connection(peer)
        if connection is None:
            started = self.clock.monotonic()
            try:
                async with asyncio.timeout(timeout):
                    connection = await self._connection(peer)
            except TimeoutError:
                raise CallTimeoutError(NO_CONNECTION_IN_TIME) from None
            timeout -= self.clock.monotonic() - started
            if timeout <= 0:
                raise CallTimeoutError(NO_CONNECTION_IN_TIME)
        return await self._rpc.call(connection, protocol, data, timeout)

    async def ping(self, peer: PeerLike) -> float:
        """The seconds that one small call takes, or one ping of a peer that speaks libp2p."""
        if (libp2p := self._only_libp2p(peer_id := self._identify(peer))) is not None:
            return await libp2p.ping(peer_id)
        connection = await self._connection(peer)
        started = self.clock.monotonic()
        await self._rpc.call(connection, PING, b"", self.config.call_timeout_s)
        return self.clock.monotonic() - started

    async def open_stream(self, peer: PeerLike, protocol: str, *, bidirectional: bool = True) -> Stream:
        """Open a stream of bytes to the stream handler of ``protocol``. Raises as :meth:`call`."""
        connection = await self._connection(peer)
        return await connection.open_stream(protocol, bidirectional=bidirectional)

    async def open_messages(
        self, peer: PeerLike, protocol: str, *, bidirectional: bool = True
    ) -> MessageStream:
        """Open a stream of messages to the message handler of ``protocol``. Raises as :meth:`call`."""
        connection = await self._connection(peer)
        return await connection.open_messages(protocol, bidirectional=bidirectional)
