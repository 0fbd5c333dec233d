"""The router's streams on our own connections: one in each direction of each pair, under its libp2p name.

Each side opens the one that it writes on, as soon as there is a connection; each message of it is one RPC. A
peer that does not serve the protocol refuses it and is left alone, until it opens a stream itself. A stream
that breaks is opened again, and the router greets the peer anew. When another connection of the pair takes
over (``rpc.links``), the stream moves there, and what was queued on the old one still arrives.

Bounds: a stream of each peer that we write, INBOUND_MAX that we read; REOPEN_MAX attempts to open one again;
        a greeting in GREETING_PAUSE_S.
        What has arrived and the machine has not seen is bounded by the credit of the streams (ADR 0003).
Trust:  a peer may open, break and refuse streams as it likes; it harms its own.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.gossip.events import Protocol
from kontinuum.rpc.errors import StreamCode
from kontinuum.transport.owned_stream import SEND_HIGH_WATER_BYTES, OwnedMessageStream

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kontinuum.gossip.service import GossipService
    from kontinuum.identity import PeerId
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection, MessageStream

PROTOCOL = Protocol.MESHSUB_1_2
"""What our own nodes speak; its id names their streams."""

INBOUND_MAX = 2
"""Streams of one peer that we read: one that ends, and its successor. Our choice; the oldest beyond it is
stopped."""

REOPEN_FIRST_S = 0.1
"""Seconds until a broken stream is opened again. Our choice; each further attempt waits twice as long."""

REOPEN_MAX = 6
"""Attempts on one connection. Our choice: for some six seconds; then the peer is left alone, until it opens a
stream itself."""


GREETING_PAUSE_S = 1.0
"""Seconds that lie at least between two greetings that a peer causes by opening streams. Our choice: a
greeting names all our topics, up to hundreds of kilobytes, and must not be had for a stream each time."""

RETURN_S = 10.0
"""Seconds until a peer that gave us up, for we did not read, is spoken to anew. Our choice."""


class NativeCarrier:
    """Our stream to one peer on one connection: a ``Carrier``.

    It exists before its stream does: what the peer sends can come earlier than the peer lets us open ours.
    """

    protocol = PROTOCOL
    room_bytes = SEND_HIGH_WATER_BYTES

    def __init__(self, owner: Streams, connection: Connection) -> None:
        self.peer_id = connection.peer_id
        self.connection = connection
        self.outbound = connection.outbound
        self.address: str | None = connection.remote_address[0]
        self.stream: OwnedMessageStream | None = None
        self._owner = owner

    @property
    def is_open(self) -> bool:
        """Something can be sent."""
        return self.stream is not None and self.stream.can_send

    def send(self, rpc: bytes) -> int:
        """See ``Carrier``."""
        return 0 if self.stream is None else self.stream.send_nowait(rpc)

    def call_when_low(self) -> bool:
        """See ``Carrier``."""
        return self.stream is not None and self.stream.want_room()

    def close(self) -> None:
        """See ``Carrier``."""
        if self.stream is not None:
            self.stream.finish_nowait()

    # --- called by the stream ---

    def on_message(self, stream: OwnedMessageStream, message: bytes) -> None:
        """Nothing comes on a stream that goes the other way."""
        raise AssertionError(stream, message)

    def on_room(self, _stream: OwnedMessageStream) -> None:
        """Less than half of the room is used."""
        self._owner.service.writable(self.peer_id, self, self.room_bytes // 2)

    def on_end(self, stream: OwnedMessageStream) -> None:
        """The peer refuses it, or the connection is gone."""
        self._owner.on_broken(self, unknown=stream.stopped_code == StreamCode.UNKNOWN_KIND)


class _Link:
    """A peer that is connected."""

    __slots__ = ("attempts", "broken", "carrier", "connection", "greeted_at", "inbound", "timer")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.carrier: NativeCarrier | None = None
        self.inbound: list[OwnedMessageStream] = []
        self.broken = False
        """A stream of the peer was reset: it will open another one, and may have missed our greeting."""
        self.attempts = 0
        self.greeted_at = -inf
        self.timer: asyncio.TimerHandle | None = None
        """When a stream of ours is opened again, or the peer is greeted."""


class Streams:
    """The pub/sub streams of one node on its own connections.

    Args:
        service: Whom they serve.
        rpc: Where the peers' streams arrive.
    """

    def __init__(self, service: GossipService, rpc: RpcService) -> None:
        self.service = service
        self._links: dict[PeerId, _Link] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._closing = False
        rpc.add_acceptor(PROTOCOL.value, self._accept)

    # --- for the node ---

    def use(self, connection: Connection) -> None:
        """From now on this is the connection with its peer."""
        link = self._links.get(connection.peer_id)
        if link is None:
            link = self._links[connection.peer_id] = _Link(connection)
        elif link.connection is connection:
            return
        link.connection, link.attempts = connection, 0
        self._renew(link)

    def rename(self, connection: Connection, former: PeerId) -> None:
        """The peer of ``connection`` goes by another name now. What is under way goes on.

        If there is another connection under either name, the one in use is told by :meth:`use`.
        """
        name, link = connection.peer_id, self._links.get(former)
        if link is None or link.connection is not connection:
            self.service.inherit(name, former)
        elif name in self._links:
            self.service.inherit(name, former)
            del self._links[former]
            self._give_up(link)
        else:
            self._links[name] = self._links.pop(former)
            if link.carrier is not None:
                link.carrier.peer_id = name
            self.service.rename(former, name)

    def lose(self, peer_id: PeerId) -> None:
        """There is no connection with that peer any more."""
        if (link := self._links.pop(peer_id, None)) is not None:
            self._give_up(link)

    def forsake(self, peer_id: PeerId) -> None:
        """Send nothing to that peer any more, not even what is queued, until it opens a stream again."""
        link = self._links.get(peer_id)
        if link is not None and link.carrier is not None:
            if link.carrier.stream is not None:
                link.carrier.stream.reset(StreamCode.BUSY)
            self._give_up(link)

    def close(self) -> None:
        """Open nothing any more. What was queued before still leaves."""
        self._closing = True
        for link in self._links.values():
            if link.timer is not None:
                link.timer.cancel()
        for task in self._opening:
            task.cancel()

    # --- ours ---

    def _renew(self, link: _Link) -> None:
        """Speak to a peer on a new stream; what was queued on the one before still arrives."""
        former = link.carrier
        self._begin(link)
        self._open(link)
        if former is not None:
            former.close()

    def _begin(self, link: _Link) -> None:
        """Tell the router of the peer, so that it takes what comes from now on."""
        link.carrier = NativeCarrier(self, link.connection)
        self.service.opened(link.carrier.peer_id, link.carrier)

    def _open(self, link: _Link) -> None:
        if link.timer is not None:
            link.timer.cancel()
        if link.carrier is None or self._closing:
            return
        link.greeted_at = self.service.loop.time()
        task = self.service.loop.create_task(self._open_stream(link, link.carrier))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_stream(self, link: _Link, carrier: NativeCarrier) -> None:
        try:
            carrier.stream = await OwnedMessageStream.open(carrier.connection, PROTOCOL.value, carrier)
        except KontinuumError:
            self.on_broken(carrier, unknown=False)
            return
        if link.carrier is not carrier:
            carrier.close()
        elif carrier.is_open:
            self.service.writable(carrier.peer_id, carrier, 0)
        else:
            carrier.on_end(carrier.stream)

    def on_broken(self, carrier: NativeCarrier, *, unknown: bool) -> None:
        """A stream of ours is over, and not by us.

        Args:
            carrier: Which.
            unknown: The peer does not serve the protocol.
        """
        link = self._links.get(carrier.peer_id)
        if link is None or link.carrier is not carrier or carrier.connection.is_closing or self._closing:
            return  # It was to end; or the connection's end is the news, and it will be told.
        if unknown or link.attempts >= REOPEN_MAX:
            self._give_up(link)
            return
        delay_s = REOPEN_FIRST_S * 2**link.attempts
        link.attempts += 1
        self._later(link, delay_s, self._renew)

    def _give_up(self, link: _Link) -> None:
        if link.timer is not None:
            link.timer.cancel()
        carrier, link.carrier = link.carrier, None
        if carrier is not None:
            carrier.close()
            self.service.closed(carrier.peer_id, carrier)

    # --- theirs ---

    def _accept(self, stream: MessageStream) -> None:
        link = self._links.get(stream.connection.peer_id)
        if link is None or stream.bidirectional or self._closing:
            stream.reset(StreamCode.UNKNOWN_KIND)
            stream.stop(StreamCode.UNKNOWN_KIND)
            return
        link.inbound.append(OwnedMessageStream.adopt(stream, self))
        if len(link.inbound) > INBOUND_MAX:
            link.inbound.pop(0).stop(StreamCode.CANCELLED)
        pause_s = link.greeted_at + GREETING_PAUSE_S - self.service.loop.time()
        if link.carrier is None:  # It speaks the protocol after all.
            link.attempts = 0
            self._begin(link)
            self._later(link, pause_s, self._open)
        elif link.broken:
            self._later(link, pause_s, self._greet)
        link.broken = False

    def on_message(self, stream: OwnedMessageStream, message: bytes) -> None:
        """An RPC came."""
        self.service.received(stream.connection.peer_id, message, stream.consume)

    def on_room(self, stream: OwnedMessageStream) -> None:
        """Nothing is sent on a stream of the peer's."""
        raise AssertionError(stream)

    def on_end(self, stream: OwnedMessageStream) -> None:
        """A stream of a peer is over."""
        link = self._links.get(stream.connection.peer_id)
        if link is None or stream not in link.inbound:
            return
        link.inbound.remove(stream)
        if stream.reset_code is not None:
            link.broken = True
            if stream.reset_code == StreamCode.BUSY and link.attempts < REOPEN_MAX:
                # It gave us up because we did not keep up; a stream of ours says that we are there again.
                link.attempts += 1
                self._later(link, RETURN_S, self._renew)

    def _later(self, link: _Link, delay_s: float, act: Callable[[_Link], None]) -> None:
        if link.timer is not None:
            link.timer.cancel()
            link.timer = None
        if delay_s > 0:
            link.timer = self.service.loop.call_later(delay_s, act, link)
        else:
            act(link)

    def _greet(self, link: _Link) -> None:
        link.greeted_at = self.service.loop.time()
        self.service.greet(link.connection.peer_id)
