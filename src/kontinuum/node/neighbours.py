"""The peers of a node: who they are called, where they are, and the one connection with each.

Joins ``rpc.links`` (which connection counts), ``connector`` (how one is made), ``peer_store`` (who is known)
and ``introducer`` (how more become known), and keeps as many peers connected as the node wants.
Bounds: those of its parts; ALIASES_MAX remembered texts.
Trust:  what peers tell about others is verified like any contact from a stranger.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import Contact, Multiaddr, PeerId
from kontinuum.node.connector import Connector
from kontinuum.node.errors import UnknownPeerError
from kontinuum.node.introducer import Introducer
from kontinuum.node.introductions import PING
from kontinuum.rpc.errors import CallTimeoutError
from kontinuum.rpc.links import CONFIRM_TIMEOUT_S, Links
from kontinuum.transport import CloseCode, CloseReason, Connection
from kontinuum.transport.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from kontinuum.base.clock import Clock
    from kontinuum.base.entropy import Rng
    from kontinuum.node.peer_store import PeerStore
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Endpoint

PeerLike = PeerId | Contact | str
"""A peer: its identity in either text form, its contact, or a contact's text."""

UPKEEP_INTERVAL_S = 5.0
"""Seconds between two looks at whether peers are missing. Our choice."""

UPKEEP_PAUSE_S = 0.25
"""Seconds that lie at least between two such looks, however much news there is. Our choice: what peers tell
must not keep us busy."""

UPKEEP_FIRST_S = 0.25
"""Seconds between such looks while a young node has fewer peers than it wants. Our choice."""

YOUNG_S = 10.0
"""Seconds for which a node counts as young."""

ALIASES_MAX = 4096
"""Texts whose identity is remembered, so that calls by text are as fast as by identity; then all are
forgotten."""

INTRODUCTION_DELAY_S = 0.05
"""Seconds between a dial and the introduction: what the connection was made for comes first, and one that is
already over needs none. Our choice."""

LOAD_RETRY_S = 30.0
"""Seconds between two attempts to read the saved peers when the disk fails. Our choice."""

LIBP2P_PATH = "libp2p"
"""The path to a peer that speaks libp2p and nothing else."""

_log = RoomLogger("node")


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a node knows about a peer."""

    peer_id: PeerId
    connected: bool
    address: str | None
    """``host:port`` of the connection, or the first address of its contact."""
    path: str | None
    """``direct`` while connected, ``libp2p`` where that is spoken; relays come later."""
    rtt_s: float | None
    """Round-trip time of the connection, seconds."""
    key_exchange: str | None
    """``X25519MLKEM768`` or ``X25519``."""
    outbound: bool
    """We dialled."""
    connected_s: float | None
    """For how long, seconds."""
    contact: Contact | None
    """Its contact, if it is known."""


class Neighbours:
    """All that a node has to do with its peers, but for what it says to them.

    Args:
        endpoint: The transport.
        rpc: The calls; its handlers for introductions are registered here.
        store: Who is known.
        clock: Both clocks.
        rng: Chance for choices that are no secret.
        network: Our network's id.
        pow_bits: The work that contacts must carry.
        wanted: Connections to have by itself.
        dial_timeout_s: Seconds for all addresses of a peer together.
        own_contact: Our present contact.
        connected: Told when a peer that had no connection has one.
        lost: Told when a peer has none any more.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        rpc: RpcService,
        store: PeerStore,
        *,
        clock: Clock,
        rng: Rng,
        network: bytes,
        pow_bits: int,
        wanted: int,
        dial_timeout_s: float,
        own_contact: Callable[[], Contact],
        connected: Callable[[Connection], None],
        lost: Callable[[Connection, CloseReason], None],
    ) -> None:
        self.met: Callable[[Contact, Connection], None] = lambda _contact, _connection: None
        """Told of a peer that is connected and whose contact is known, and again of a newer contact."""
        self.switched: Callable[[Connection], None] = lambda _connection: None
        """Told when another connection with a peer that has one already is in use from now on."""
        self.renamed: Callable[[Connection, PeerId], None] = lambda _connection, _former: None
        """Told when the peer of a connection goes by another name, and by which it went until now."""
        self.links: Links[Connection] = Links(endpoint.peer_id)
        self.store = store
        self._endpoint = endpoint
        self._rpc = rpc
        self._clock = clock
        self._network = network
        self._pow_bits = pow_bits
        self._wanted = wanted
        self._connected = connected
        self._lost = lost
        self._connector = Connector(endpoint, rng, timeout_s=dial_timeout_s)
        self._aliases: dict[str, PeerId] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._wake = asyncio.Event()
        self._started = clock.monotonic()
        rpc.connection_opened = self._on_connection
        rpc.connection_closed = self._on_closed
        self._introducer = Introducer(
            rpc,
            store,
            clock=clock,
            rng=rng,
            own_contact=own_contact,
            learn=self.add_contact,
            connection_of=self.links.current.get,
        )

    # --- names and contacts ---

    def identify(self, peer: PeerLike) -> PeerId:
        """Who ``peer`` is; a contact is remembered on the way.

        Raises:
            UnknownPeerError: The text names no peer.
            ContactError, MalformedError: The contact is of no use.
        """
        if isinstance(peer, PeerId):
            return peer
        if isinstance(peer, Contact):
            self.add_contact(peer)
            return peer.peer_id
        if not isinstance(peer, str):
            raise UnknownPeerError(
                f"a peer is named by its identity, its contact or a text, not {type(peer).__name__}"
            )
        if (peer_id := self._aliases.get(peer)) is not None:
            return peer_id
        if peer.startswith("kontinuum:"):
            contact = Contact.from_text(peer)
            self.add_contact(contact)
            return contact.peer_id
        try:
            peer_id = PeerId.parse(peer)
        except KontinuumError as error:
            raise UnknownPeerError(str(error)) from None
        if len(self._aliases) >= ALIASES_MAX:
            self._aliases.clear()
        self._aliases[peer] = peer_id
        return peer_id

    def add_contact(self, contact: Contact, *, pinned: bool = False) -> bool:
        """Verify and remember ``contact``. Returns whether it was news.

        Args:
            contact: What a peer says of itself.
            pinned: Our own user names this peer: the contact may be of any age.
        """
        at = self._clock.utc()
        if not pinned:
            contact.verify(at, self._network, self._pow_bits)
        if contact.peer_id == self._endpoint.peer_id:
            return False
        news = self.store.add(contact, at, pinned=pinned)
        if news:
            self._connector.back_off.forget(contact.peer_id)
            self._wake.set()
            if (connection := self.links.current.get(contact.peer_id)) is not None:
                self.met(contact, connection)
        return news

    def _addresses_of(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        saved = self.store.get(peer_id)
        return () if saved is None else saved.contact.addresses

    def info(self, peer_id: PeerId) -> PeerInfo:
        """What is known about a peer."""
        saved = self.store.get(peer_id)
        contact = None if saved is None else saved.contact
        connection = self.links.current.get(peer_id)
        if connection is None:
            address = str(contact.addresses[0]) if contact is not None and contact.addresses else None
            return PeerInfo(
                peer_id,
                connected=False,
                address=address,
                path=None,
                rtt_s=None,
                key_exchange=None,
                outbound=False,
                connected_s=None,
                contact=contact,
            )
        try:
            rtt_s = connection.stats().rtt_s
        except ConnectionLostError:
            rtt_s = None
        host, port = connection.remote_address
        return PeerInfo(
            peer_id,
            connected=True,
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            path="direct",
            rtt_s=rtt_s,
            key_exchange=connection.key_exchange,
            outbound=connection.outbound,
            connected_s=self._clock.monotonic() - connection.opened_at,
            contact=contact,
        )

    # --- connections ---

    async def connection(
        self,
        peer_id: PeerId,
        addresses: tuple[Multiaddr, ...] | None = None,
        *,
        patient: bool = False,
        anew: bool = False,
    ) -> Connection:
        """The connection with a peer, made if need be.

        Args:
            peer_id: Whom.
            addresses: Where; those of its contact if not given.
            patient: Leave a peer alone that has just failed.
            anew: The peer has to know us by our present identity; a connection of before is not enough.

        Raises:
            UnknownPeerError: It is this node itself.
            UnavailableError, HandshakeError: As :meth:`Connector.connect`.
        """
        connection = self.links.current.get(peer_id)
        if connection is not None and not (anew and not self.knows_us(connection)):
            return connection
        if peer_id == self._endpoint.peer_id:
            raise UnknownPeerError("that is this node itself")
        where = self._addresses_of(peer_id) if addresses is None else addresses
        if connection is not None:
            where = tuple(dict.fromkeys((Multiaddr.from_ip(*connection.remote_address), *where)))
        return await self._connector.connect(peer_id, where, patient=patient)

    def knows_us(self, connection: Connection) -> bool:
        """The peer of a connection knows us by our present identity."""
        return connection.local_id == self._endpoint.peer_id

    def proved(self, connection: Connection) -> None:
        """The peer of ``connection`` was sent the proof of our present identity, and takes it."""
        connection.local_id = self._endpoint.peer_id

    def adopt(self) -> None:
        """The endpoint has gone over to another identity. Connections stay, and show the former one.

        Where the DHT needs a peer that knows us by the present one, it dials it anew unless :meth:`proved`
        was told; the connection of before ends once nothing runs on it.
        """
        self.links.local = self._endpoint.peer_id
        self._wake.set()

    def rename(self, connection: Connection, peer_id: PeerId) -> None:
        """The peer of ``connection`` has proved, on it, that it goes by another identity from now on.

        Calls and streams go on. Another connection under the old name keeps it: whoever has the old key may
        have made that one, so that each is renamed by its own proof. Does nothing if the connection is over.
        """
        former, current = connection.peer_id, self.links.current
        if former == peer_id or connection.close_reason is not None:
            return
        was_current = current.get(former) is connection
        is_first = peer_id not in current
        self.links.rename(connection, peer_id, self._clock.monotonic())
        self._rpc.renamed(connection, former)
        self.store.forget(former)
        self._introducer.forget(former)
        self.renamed(connection, former)
        self.switched(current[peer_id])
        if was_current and (heir := current.get(former)) is not None:
            self.switched(heir)
        self._connector.arrived(connection, former)
        if is_first:
            # Ours goes there, and its own of today comes back.
            self._endpoint.loop.call_soon(self._begin_introduction, connection)
            if (saved := self.store.get(peer_id)) is not None:
                self.met(saved.contact, connection)
        else:
            self._wake.set()
            self._spawn(self._confirm(peer_id))

    async def close(self) -> None:
        """End all dials and introductions."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connector.close()

    def _on_connection(self, connection: Connection) -> None:
        self._connector.arrived(connection)
        if self.links.add(connection, self._clock.monotonic()):
            self._connected(connection)
            if (saved := self.store.get(connection.peer_id)) is not None:
                self.met(saved.contact, connection)
        else:
            self._wake.set()  # One of the two is to be retired.
            self._spawn(self._confirm(connection.peer_id))
            if self.links.current[connection.peer_id] is connection:
                self.switched(connection)
        if connection.outbound:
            self._endpoint.loop.call_later(INTRODUCTION_DELAY_S, self._begin_introduction, connection)

    def _on_closed(self, connection: Connection, reason: CloseReason) -> None:
        was_current = self.links.current.get(connection.peer_id) is connection
        if self.links.remove(connection):
            self._introducer.forget(connection.peer_id)
            self._lost(connection, reason)
            if self._wanted:
                self._wake.set()
        elif was_current:
            self.switched(self.links.current[connection.peer_id])
            self._spawn(self._confirm(connection.peer_id))

    async def _confirm(self, peer_id: PeerId) -> None:
        """Close the connection in use if it carries nothing: it may be that of a process which is gone."""
        connection = self.links.current.get(peer_id)
        if connection is None or self._closing:
            return
        try:
            await self._rpc.call(connection, PING, b"", CONFIRM_TIMEOUT_S)
        except CallTimeoutError:
            connection.close(
                CloseCode.DUPLICATE, "it carries nothing, and another connection of this pair does"
            )
        except KontinuumError:
            return  # Whatever it was, an answer came; or the connection is over.

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._endpoint.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- introductions ---

    def _begin_introduction(self, connection: Connection) -> None:
        if connection.close_reason is None and not self._closing:
            self._spawn(
                self._introducer.introduce(connection, ask=lambda: len(self.links.current) < self._wanted)
            )

    # --- upkeep ---

    async def upkeep(self, also: Callable[[], None]) -> None:
        """Load saved peers, then keep enough of them connected, until cancelled.

        Args:
            also: Called at every look: what else the node has to keep up.
        """
        load_at = -math.inf
        while True:
            now = self._clock.monotonic()
            if not self.store.loaded and now >= load_at:
                await self._load(first=load_at < 0)
                now = self._clock.monotonic()
                load_at = now + LOAD_RETRY_S
            for link in self.links.handle_timeout(now):
                link.close(CloseCode.DUPLICATE, "another connection of this pair is kept")
            missing = self._wanted - len(self.links.current)
            if missing > 0:
                self._dial_some(missing, now)
            also()
            young = missing > 0 and now - self._started < YOUNG_S
            due = self.links.next_deadline(now)
            wait_s = min(
                UPKEEP_FIRST_S if young else UPKEEP_INTERVAL_S,
                UPKEEP_INTERVAL_S if due is None else due - now,
            )
            await self._sleep(wait_s)

    async def _load(self, *, first: bool) -> None:
        try:
            for _ in self.store.loading(self._clock.utc()):
                await asyncio.sleep(0)
        except KontinuumError as error:
            (_log.warning if first else _log.debug)(
                "the saved peers cannot be read; the node goes on without them, tries again, and saves none "
                "until then",
                reason=str(error),
            )

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(UPKEEP_PAUSE_S)
        seconds = max(0.0, seconds - UPKEEP_PAUSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    def _dial_some(self, count: int, now: float) -> None:
        # Those that are left alone must not keep the others from their turn.
        dialled = self._connector.dialled
        exclude = {*self.links.current, *dialled, *self._connector.back_off.waiting(now)}
        for saved in self.store.best(count - len(dialled), exclude=exclude):
            self._spawn(self._dial_quietly(saved.contact.peer_id, saved.contact.addresses))

    async def _dial_quietly(self, peer_id: PeerId, addresses: tuple[Multiaddr, ...]) -> None:
        try:
            await self._connector.connect(peer_id, addresses, patient=True)
        except KontinuumError as error:
            self.store.failed(peer_id)
            _log.debug("a peer could not be reached", peer=peer_id.short, reason=str(error))
