"""Runs the libp2p host of a node on the event loop.

Bounds: OPENINGS_MAX streams of ours that wait for a peer to allow them; those of ``host``.
Trust:  no wait here is a wait of anybody else: each opening is a task of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError, UnavailableError
from kontinuum.libp2p.errors import PeerSilentError
from kontinuum.libp2p.ping import PING_TIMEOUT_S
from kontinuum.transport.errors import connect_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.identity import PeerId
    from kontinuum.libp2p.conversation import Timer
    from kontinuum.libp2p.host import Host
    from kontinuum.transport import CloseReason, Connection, RawStream

OPENINGS_MAX = 8
"""Streams of ours that wait at once until one connection's peer allows them. Our choice: identify, pushes,
pubsub and a ping. A further one fails."""


class LoopShell:
    """Clock, timers and the opening of streams, for the conversations. Made in the loop that runs them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._openings: dict[Connection, set[asyncio.Task[None]]] = {}
        self._closing = False

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` after so many seconds."""
        return self._loop.call_later(delay_s, callback)

    def call_soon(self, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in the next turn of the loop."""
        return self._loop.call_soon(callback)

    def open_stream(
        self,
        connection: Connection,
        opened: Callable[[RawStream], None],
        failed: Callable[[KontinuumError], None],
    ) -> None:
        """Open a stream; one of the two is called, in a later turn."""
        openings = self._openings.setdefault(connection, set())
        if len(openings) >= OPENINGS_MAX or self._closing:
            error = UnavailableError(f"{connection.peer_id.short} allows no further stream")
            self._loop.call_soon(failed, error)
            return
        task = self._loop.create_task(self._open(connection, opened, failed))
        openings.add(task)
        task.add_done_callback(lambda task: self._forget(connection, task))

    def close(self) -> None:
        """Open nothing any more."""
        self._closing = True
        for openings in self._openings.values():
            for task in openings:
                task.cancel()

    async def _open(
        self,
        connection: Connection,
        opened: Callable[[RawStream], None],
        failed: Callable[[KontinuumError], None],
    ) -> None:
        try:
            stream = await connection.open_raw()
        except KontinuumError as error:
            failed(error)
        else:
            opened(stream)

    def _forget(self, connection: Connection, task: asyncio.Task[None]) -> None:
        openings = self._openings[connection]
        openings.discard(task)
        if not openings:
            del self._openings[connection]


class Libp2pService:
    """The libp2p side of a node: what its endpoint tells, and what the node asks.

    Args:
        make_host: Makes the host on the given shell; its ``heard`` is to be the second argument.
    """

    def __init__(self, make_host: Callable[[LoopShell, Callable[[Connection], None]], Host]) -> None:
        self._shell = LoopShell()
        self.host = make_host(self._shell, self._settle)
        self._pings: dict[PeerId, asyncio.Future[float]] = {}
        self._unsettled: dict[Connection, asyncio.Future[None]] = {}

    # --- what the endpoint tells ---

    def on_connection(self, connection: Connection) -> None:
        """A libp2p peer is connected."""
        self._unsettled[connection] = asyncio.get_running_loop().create_future()
        self.host.on_connection(connection)

    def on_closed(self, connection: Connection, _reason: CloseReason) -> None:
        """A libp2p connection is over."""
        self.host.on_closed(connection)
        self._settle(connection)

    def on_raw_stream(self, connection: Connection, stream: RawStream) -> None:
        """A libp2p peer opened a stream."""
        self.host.on_raw_stream(connection, stream)

    # --- what the node asks ---

    async def settled(self, connection: Connection) -> None:
        """Wait until the peer has said who it is, or will not say it: both sides want the connection.

        Raises:
            HandshakeError, ConnectError: It does not want ours, which it only says after the handshake.
        """
        if (settling := self._unsettled.get(connection)) is not None:
            await asyncio.shield(settling)
        if (reason := connection.close_reason) is not None:
            raise connect_error(reason)

    async def ping(self, peer_id: PeerId, *, timeout_s: float = PING_TIMEOUT_S) -> float:
        """The seconds of a round trip. Several who ask at once share one ping, since a peer takes only one.

        Raises:
            NotConnectedError: There is no libp2p connection with it.
            UnsupportedProtocolError: It answers no pings.
            PeerSilentError: It did not answer in time.
            PingError: It answered with something else.
            StreamResetError, ConnectionLostError: It gave up.
        """
        asked = self._pings.get(peer_id)
        if asked is None:
            asked = self._pings[peer_id] = asyncio.get_running_loop().create_future()
            asked.add_done_callback(lambda _asked: self._pings.pop(peer_id, None))
            asked.add_done_callback(_retrieve)
            self.host.ping(peer_id, lambda outcome: _answer(asked, outcome))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(asked)
        except TimeoutError:
            raise PeerSilentError(f"{peer_id.short} answered no ping within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Open nothing any more, and tell who waits. The endpoint ends the connections."""
        self.host.close()
        self._shell.close()
        for asked in list(self._pings.values()):
            _answer(asked, UnavailableError("the node stops"))
        for connection in list(self._unsettled):
            self._settle(connection)

    def _settle(self, connection: Connection) -> None:
        settling = self._unsettled.pop(connection, None)
        if settling is not None and not settling.done():
            settling.set_result(None)


def _answer(asked: asyncio.Future[float], outcome: float | KontinuumError) -> None:
    if asked.done():
        return
    if isinstance(outcome, KontinuumError):
        asked.set_exception(outcome)
    else:
        asked.set_result(outcome)


def _retrieve(asked: asyncio.Future[float]) -> None:
    """A ping that nobody waits for any more may fail unheard."""
    if not asked.cancelled():
        asked.exception()
