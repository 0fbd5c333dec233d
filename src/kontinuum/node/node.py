"""A node: the facade that builds, joins and supervises the rooms.

Everything that a program needs stands on :class:`Node`; the rooms below can be used alone as well.
Bounds: those of the settings (``NodeConfig``) and of the rooms.
Trust:  peers prove their identity in the handshake; what they may do is the handlers' business.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog

from kontinuum.base.clock import SystemClock
from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.errors import KontinuumError, MisuseError
from kontinuum.identity import Contact, KeyPair, Multiaddr, PeerId
from kontinuum.identity.pow import network_id
from kontinuum.node.addresses import own_addresses
from kontinuum.node.connector import Connector
from kontinuum.node.errors import UnknownPeerError
from kontinuum.node.events import NodeEvent, PathChanged, PeerConnected, PeerLost, Watcher
from kontinuum.node.introductions import (
    CONTACTS,
    CONTACTS_PER_REPLY_MAX,
    HELLO,
    PING,
    PING_BYTES_MAX,
    decode_contacts,
    encode_contacts,
)
from kontinuum.node.peer_store import PeerStore
from kontinuum.node.proof import proof_of
from kontinuum.rpc.links import Links
from kontinuum.rpc.service import RpcOptions, RpcService
from kontinuum.transport import CloseCode, CloseReason, Connection, Endpoint, TransportOptions
from kontinuum.transport.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from kontinuum.identity.pow import ProofOfWork
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.data_dir import DataDir
    from kontinuum.node.discovery import MdnsDiscovery
    from kontinuum.transport import MessageStream, Stream

    PeerLike = PeerId | Contact | str

H = TypeVar("H", bound="Callable[..., Any]")

UPKEEP_INTERVAL_S = 5.0
"""Seconds between two looks at whether peers are missing, contacts age or files must be saved. Our choice."""

UPKEEP_FIRST_S = 0.25
"""Seconds between such looks while a young node has found nobody, or fewer peers than it wants. Our choice."""

YOUNG_S = 10.0
"""Seconds for which a node counts as young."""

CONTACT_RENEW_S = 6 * 3600.0
"""Age at which our contact is issued anew; others take it for a day. Our choice: a quarter of that."""

ALIASES_MAX = 4096
"""Texts whose identity is remembered, so that calls by text are as fast as by identity; then all are forgotten."""

PEERS_TOLD_S = 5.0
"""Seconds that a peer may take to introduce itself."""

_CHANGES = ("established", "abandoned", "available", "backup", "observed")
"""Names of path changes, by the engine's numbers."""

_CALL_COUNTS = {
    "call ok": ("outgoing", "ok"),
    "call failed": ("outgoing", "failed"),
    "call timed out": ("outgoing", "timed_out"),
    "answer ok": ("incoming", "ok"),
    "answer failed": ("incoming", "failed"),
    "answer unwanted": ("incoming", "unwanted"),
}
"""Direction and outcome, by the names under which the calls are counted."""

_log = structlog.get_logger("node")


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a node knows about a peer."""

    peer_id: PeerId
    connected: bool
    address: str | None
    """``host:port`` of the connection, or the first address of its contact."""
    path: str | None
    """``direct`` while connected; relays come later."""
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


@dataclass(frozen=True, slots=True)
class Figures:
    """Counters of a node since it started."""

    uptime_s: float
    """Seconds since the start."""
    inbound: int
    """Connections that peers made."""
    outbound: int
    """Connections that we made."""
    evicted: int
    """Idle connections closed to make room, by us or by the peer."""
    calls: dict[tuple[str, str], int]
    """Calls by direction (``outgoing``, ``incoming``) and outcome."""
    handlers: int
    """Handlers at work."""
    known_peers: int
    """Peers whose contact is saved."""


class Node:
    """One peer of the network. ``async with Node(config) as node: ...``

    Args:
        config: The settings. Without them the node listens on a free port of 127.0.0.1, in a network named
            ``local`` that asks for no proof of work, and keeps nothing.
        key_pair: The identity. Without it, that of the data directory; without that, a new one.
        on_mining: Called with the hashes tried and expected while a proof of work is mined at the first start.
    """

    def __init__(
        self,
        config: NodeConfig | None = None,
        *,
        key_pair: KeyPair | None = None,
        on_mining: Callable[[int, int], None] | None = None,
    ) -> None:
        if config is None:
            from kontinuum.node.config import NodeConfig  # noqa: PLC0415 -- pydantic takes 0.2 s to import

            config = NodeConfig(network="local", pow_bits=0, listen="127.0.0.1:0")
        self.config = config
        self.clock = SystemClock()
        self._rng = Rng(int.from_bytes(SystemEntropy().token(8)))
        self._key_pair = key_pair
        self._on_mining = on_mining
        self._rpc = RpcService(
            RpcOptions(
                handlers_max=config.handlers_max,
                handlers_per_peer_max=config.handlers_per_peer_max,
                call_timeout_max_s=config.call_timeout_max_s,
            )
        )
        self._network = network_id(config.network)
        self._watchers: set[Watcher] = set()
        self._aliases: dict[str, PeerId] = {}
        self._counts = {"inbound": 0, "outbound": 0, "evicted": 0}
        self._stack = contextlib.AsyncExitStack()
        self._wake = asyncio.Event()
        self._introduced: set[asyncio.Task[None]] = set()
        self._running = False
        self._started = self.clock.monotonic()
        self._endpoint: Endpoint | None = None
        self._links: Links[Connection]
        self._connector: Connector
        self._store: PeerStore
        self._proof: ProofOfWork
        self._contact: Contact
        self._rpc.add_handler(HELLO, self._answer_hello)
        self._rpc.add_handler(CONTACTS, self._answer_contacts)
        self._rpc.add_handler(PING, lambda _peer, data: data[:PING_BYTES_MAX])

    # --- who we are ---

    @property
    def endpoint(self) -> Endpoint:
        """The transport of this node.

        Raises:
            MisuseError: The node does not run.
        """
        if self._endpoint is None:
            raise MisuseError("the node does not run; use: async with Node(...) as node")
        return self._endpoint

    @property
    def peer_id(self) -> PeerId:
        """Our identity."""
        return self.endpoint.peer_id

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where others can reach us."""
        return self.contact.addresses

    @property
    def contact(self) -> Contact:
        """Our signed contact, to be given to others."""
        self.endpoint  # noqa: B018 -- raises when the node does not run
        return self._contact

    # --- life ---

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _start(self) -> None:
        if self._running:
            raise MisuseError("a node starts once; make another one")
        self._running = True
        config = self.config
        directory = None if config.data_dir is None else self._open_directory()
        if self._key_pair is None:
            self._key_pair = (
                KeyPair.generate(SystemEntropy()) if directory is None else directory.load_key(config.passphrase_source)
            )
        proof_path = None if directory is None else directory.key.with_name("proof.cbor")
        peer_id = self._key_pair.peer_id
        self._proof = await proof_of(
            peer_id, self._network, config.pow_bits, path=proof_path, on_progress=self._on_mining
        )
        self._store = PeerStore(
            None if directory is None else directory.peers,
            network_id=self._network,
            pow_bits=config.pow_bits,
            peers_max=config.peers_saved_max,
        )
        self._rpc.start()
        endpoint = Endpoint(self._key_pair, config.listen_address, self._rpc, _transport_options(config))
        self._stack.push_async_callback(endpoint.close)
        self._stack.push_async_callback(self._rpc.close)
        self._links = Links(peer_id)
        self._connector = Connector(endpoint, self._rng, timeout_s=config.dial_timeout_s)
        self._stack.push_async_callback(self._connector.close)
        self._rpc.connection_opened = self._on_connection
        self._rpc.connection_closed = self._on_closed
        self._rpc.on_path = self._on_path
        self._endpoint = endpoint
        self._issue_contact()
        for text in config.bootstrap:
            self.add_contact(text)
        await self._start_services()
        upkeep = asyncio.create_task(self._upkeep(), name="kontinuum upkeep")
        self._stack.push_async_callback(_cancelled, upkeep)
        _log.info("the node runs", peer=peer_id.short, addresses=[str(address) for address in self.addresses])

    def _open_directory(self) -> DataDir:
        from kontinuum.node.data_dir import DataDir  # noqa: PLC0415 -- only nodes that keep something

        if self.config.data_dir is None:
            raise AssertionError("asked without a directory")
        directory = DataDir.open(self.config.data_dir)
        self._stack.callback(directory.close)
        return directory

    async def _start_services(self) -> None:
        if self.config.metrics_address is not None:
            from kontinuum.node.metrics import metrics_server  # noqa: PLC0415 -- prometheus-client is slow to import
            from kontinuum.node.watching import snapshot  # noqa: PLC0415

            server = metrics_server(
                self.config.metrics_address, snapshot=lambda: snapshot(self), unready=self._unready
            )
            await self._stack.enter_async_context(server)
        if self.config.mdns:
            from kontinuum.node.discovery import MdnsDiscovery  # noqa: PLC0415 -- zeroconf is slow to import

            discovery: MdnsDiscovery = MdnsDiscovery(lambda: self.contact, self._on_found)
            await self._stack.enter_async_context(discovery)

    async def close(self) -> None:
        """Stop handlers, tell the peers, save what is to be kept. A second call does nothing."""
        self._running = False
        for watcher in list(self._watchers):
            watcher.end()
        for task in list(self._introduced):
            task.cancel()
        await self._stack.aclose()
        if self._endpoint is not None:
            self._save()

    # --- peers ---

    async def connect(self, peer: PeerLike, *, address: tuple[str, int] | None = None) -> PeerInfo:
        """Make sure that there is a connection to ``peer``.

        Args:
            peer: Its identity in either text form, its contact, or a contact's text.
            address: An IP address and port to try instead of those of its contact.

        Raises:
            NoAddressError: Nothing is known about where it is.
            ConnectError: It cannot be reached; the leaf says why.
            HandshakeError: Whoever answers there is not that peer, or no node of this kind.
            UnknownPeerError: The text names no peer.
        """
        peer_id = self._identify(peer)
        if self._links.current.get(peer_id) is None:
            if address is None:
                await self._connector.connect(peer_id, self._addresses_of(peer_id))
            else:
                await self._connector.connect(peer_id, [Multiaddr.from_ip(*address)])
        return self._info(peer_id)

    async def disconnect(self, peer: PeerLike) -> None:
        """End the connection to ``peer``, if there is one; calls on it fail on both sides."""
        connection = self._links.current.get(self._identify(peer))
        if connection is not None:
            connection.close(CloseCode.NONE, "disconnected")
            await connection.wait_closed()

    async def call(self, peer: PeerLike, protocol: str, data: bytes = b"", *, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 -- it travels with the request
        """Ask ``peer`` and wait for its answer; connects first if need be. Cancelling stops the handler there.

        Args:
            peer: Its identity in either text form, its contact, or a contact's text.
            protocol: The handler's name.
            data: The request, up to 1 MiB; more goes through a stream.
            timeout: Seconds; the setting ``call_timeout_s`` if not given.

        Raises:
            CallTimeoutError: No answer in time.
            UnknownProtocolError: The peer has no such handler.
            RemoteError: The handler failed, or refused.
            BusyError: The peer is busy.
            CallTooLargeError: ``data`` is too long.
            ConnectionLostError: The connection ended before the answer came.
            UnavailableError, HandshakeError: As :meth:`connect`; a peer that just failed is left alone for a while.
        """
        connection = self._links.current.get(peer) if type(peer) is PeerId else None
        if connection is None:
            connection = await self._connection(peer)
        return await self._rpc.call(
            connection, protocol, data, self.config.call_timeout_s if timeout is None else timeout
        )

    async def ping(self, peer: PeerLike) -> float:
        """The seconds that one small call takes."""
        connection = await self._connection(peer)
        started = self.clock.monotonic()
        await self._rpc.call(connection, PING, b"", self.config.call_timeout_s)
        return self.clock.monotonic() - started

    async def open_stream(self, peer: PeerLike, protocol: str, *, bidirectional: bool = True) -> Stream:
        """Open a stream of bytes to the stream handler of ``protocol``. Raises as :meth:`call`."""
        return await (await self._connection(peer)).open_stream(protocol, bidirectional=bidirectional)

    async def open_messages(self, peer: PeerLike, protocol: str, *, bidirectional: bool = True) -> MessageStream:
        """Open a stream of messages to the message handler of ``protocol``. Raises as :meth:`call`."""
        return await (await self._connection(peer)).open_messages(protocol, bidirectional=bidirectional)

    def peers(self) -> list[PeerInfo]:
        """The peers that we know, the connected ones first."""
        known = dict.fromkeys([*self._links.current, *(saved.contact.peer_id for saved in self._store)])
        return [self._info(peer_id) for peer_id in known]

    def figures(self) -> Figures:
        """Counters of this node since it started."""
        calls = {
            (direction, outcome): count
            for key, count in self._rpc.counts.items()
            for direction, outcome in [_CALL_COUNTS[key]]
        }
        return Figures(
            uptime_s=self.clock.monotonic() - self._started,
            inbound=self._counts["inbound"],
            outbound=self._counts["outbound"],
            evicted=self._counts["evicted"],
            calls=calls,
            handlers=self._rpc.handlers_at_work,
            known_peers=len(self._store),
        )

    def connection(self, peer: PeerLike) -> Connection | None:
        """The connection in use with ``peer``, if there is one."""
        return self._links.current.get(self._identify(peer))

    def add_contact(self, contact: Contact | str) -> bool:
        """Remember where a peer is.

        Returns:
            Whether it was news: an older or equal contact changes nothing.

        Raises:
            ContactError: It is expired, from the future, of another network, or without enough work.
            MalformedError: The text is no contact.
        """
        if isinstance(contact, str):
            contact = Contact.from_text(contact)
        at = self.clock.utc()
        contact.verify(at, self._network, self.config.pow_bits)
        if contact.peer_id == self.peer_id:
            return False
        news = self._store.add(contact, at)
        if news:
            self._connector.back_off.forget(contact.peer_id)
            self._wake.set()
        return news

    def events(self) -> Watcher:
        """What happens from now on, as an asynchronous iterator; it ends when the node stops."""
        return Watcher(self._watchers)

    # --- handlers ---

    def handler(self, protocol: str) -> Callable[[H], H]:
        """Answer calls of ``protocol``: ``async def f(peer: PeerId, data: bytes) -> bytes``.

        A plain function runs inline, faster, and must not block. What it raises stays here; the caller learns
        that it failed, or what a ``CallError`` says.
        """

        def register(function: H) -> H:
            self._rpc.add_handler(protocol, function)
            return function

        return register

    def stream_handler(self, protocol: str) -> Callable[[H], H]:
        """Serve streams of ``protocol``: ``async def f(stream: Stream) -> None``."""

        def register(function: H) -> H:
            self._rpc.add_stream_handler(protocol, function, messages=False)
            return function

        return register

    def message_handler(self, protocol: str) -> Callable[[H], H]:
        """Serve streams of messages of ``protocol``: ``async def f(stream: MessageStream) -> None``."""

        def register(function: H) -> H:
            self._rpc.add_stream_handler(protocol, function, messages=True)
            return function

        return register

    # --- inside ---

    def _identify(self, peer: PeerLike) -> PeerId:
        if isinstance(peer, PeerId):
            return peer
        if isinstance(peer, Contact):
            self.add_contact(peer)
            return peer.peer_id
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

    async def _connection(self, peer: PeerLike) -> Connection:
        peer_id = self._identify(peer)
        connection = self._links.current.get(peer_id)
        if connection is None:
            if peer_id == self.peer_id:
                raise UnknownPeerError("that is this node itself")
            connection = await self._connector.connect(peer_id, self._addresses_of(peer_id), patient=True)
        return connection

    def _addresses_of(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        if peer_id == self.peer_id:
            raise UnknownPeerError("that is this node itself")
        saved = self._store.get(peer_id)
        return () if saved is None else saved.contact.addresses

    def _info(self, peer_id: PeerId) -> PeerInfo:
        saved = self._store.get(peer_id)
        contact = None if saved is None else saved.contact
        connection = self._links.current.get(peer_id)
        if connection is None:
            address = str(contact.addresses[0]) if contact is not None and contact.addresses else None
            return PeerInfo(peer_id, False, address, None, None, None, False, None, contact)  # noqa: FBT003
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
            connected_s=self.clock.monotonic() - connection.opened_at,
            contact=contact,
        )

    def _issue_contact(self) -> None:
        at = self.clock.utc()
        if self._key_pair is None:
            raise AssertionError("issued before the key was there")
        advertised = tuple(Multiaddr.parse(text) for text in self.config.advertise)
        self._contact = Contact.issue(
            self._key_pair,
            advertised or own_addresses(self.endpoint.local_address),
            sequence=_sequence(at),
            issued_at=at,
            proof=self._proof,
        )

    def _unready(self) -> str:
        return "" if self._running else "the node is stopping"

    def _tell(self, event: NodeEvent) -> None:
        for watcher in self._watchers:
            watcher.put(event)

    def _on_connection(self, connection: Connection) -> None:
        self._counts["outbound" if connection.outbound else "inbound"] += 1
        if self._links.add(connection, self.clock.monotonic()):
            self._connector.back_off.forget(connection.peer_id)
            self._tell(PeerConnected(connection.peer_id, connection.remote_address, connection.outbound))
        if connection.outbound:
            task = asyncio.get_running_loop().create_task(self._introduce(connection))
            self._introduced.add(task)
            task.add_done_callback(self._introduced.discard)

    def _on_closed(self, connection: Connection, reason: CloseReason) -> None:
        if reason.code == CloseCode.EVICTED:
            self._counts["evicted"] += 1
        if self._links.remove(connection):
            self._tell(PeerLost(connection.peer_id, reason))
            self._wake.set()

    def _on_path(self, connection: Connection, path: int, change: int, address: tuple[str, int] | None) -> None:
        self._tell(PathChanged(connection.peer_id, path, _CHANGES[change], address))

    def _on_found(self, contact: Contact) -> None:
        with contextlib.suppress(KontinuumError):
            self.add_contact(contact)

    async def _introduce(self, connection: Connection) -> None:
        """Exchange contacts with a peer that we dialled, and ask whom else it knows."""
        try:
            reply = await self._rpc.call(connection, HELLO, self._contact.encode(), PEERS_TOLD_S)
            self._learn([Contact.decode(reply)])
            if len(self._links.current) < self.config.peers_wanted:
                reply = await self._rpc.call(connection, CONTACTS, b"", PEERS_TOLD_S)
                self._learn(decode_contacts(reply))
        except KontinuumError as error:
            _log.debug("a peer did not introduce itself", peer=connection.peer_id.short, reason=str(error))
        else:
            self._store.succeeded(connection.peer_id, self.clock.utc())

    def _learn(self, contacts: list[Contact]) -> None:
        for contact in contacts:
            try:
                self.add_contact(contact)
            except KontinuumError as error:
                _log.debug("a contact is of no use", peer=contact.peer_id.short, reason=str(error))

    def _answer_hello(self, _peer: PeerId, data: bytes) -> bytes:
        with contextlib.suppress(KontinuumError):
            self.add_contact(Contact.decode(data))
        return self._contact.encode()

    def _answer_contacts(self, peer: PeerId, _data: bytes) -> bytes:
        known = self._store.best(4 * CONTACTS_PER_REPLY_MAX, exclude={peer})
        chosen = self._rng.sample(known, CONTACTS_PER_REPLY_MAX)
        at = self.clock.utc()
        return encode_contacts(saved.contact for saved in chosen if _is_fresh(saved.contact, at))

    # --- upkeep ---

    async def _upkeep(self) -> None:
        """Load saved peers, then keep enough of them connected, the contact fresh and the files saved."""
        started = self.clock.monotonic()
        if self._store.path is not None:
            for _ in self._store.loading(self.clock.utc()):
                await asyncio.sleep(0)
        while True:
            now = self.clock.monotonic()
            for link in self._links.handle_timeout(now):
                link.close(CloseCode.DUPLICATE, "another connection of this pair is kept")
            missing = self.config.peers_wanted - len(self._links.current)
            if missing > 0:
                self._dial_some(missing, now)
            if (self.clock.utc() - self._contact.issued_at).total_seconds() > CONTACT_RENEW_S:
                self._issue_contact()
            self._save()
            young = missing > 0 and now - started < YOUNG_S
            due = self._links.next_deadline(now)
            wait_s = min(
                UPKEEP_FIRST_S if young else UPKEEP_INTERVAL_S, UPKEEP_INTERVAL_S if due is None else due - now
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, 0.05)):
                    await self._wake.wait()
            self._wake.clear()

    def _dial_some(self, count: int, now: float) -> None:
        connector = self._connector
        for saved in self._store.best(count, exclude=self._links.current):
            peer_id = saved.contact.peer_id
            if connector.is_dialling(peer_id) or connector.back_off.wait_s(peer_id, now):
                continue
            task = asyncio.get_running_loop().create_task(self._dial_quietly(peer_id, saved.contact.addresses))
            self._introduced.add(task)
            task.add_done_callback(self._introduced.discard)

    async def _dial_quietly(self, peer_id: PeerId, addresses: tuple[Multiaddr, ...]) -> None:
        try:
            await self._connector.connect(peer_id, addresses, patient=True)
        except KontinuumError as error:
            self._store.failed(peer_id)
            _log.debug("a peer could not be reached", peer=peer_id.short, reason=str(error))

    def _save(self) -> None:
        try:
            self._store.save()
        except KontinuumError as error:
            # A full disk must not stop a node: what it knows stays in memory, and the next upkeep tries again.
            _log.warning("the known peers could not be saved", reason=str(error))


def _sequence(at: datetime) -> int:
    """A sequence number that grows over restarts, as long as the clock does: milliseconds since 1970."""
    return int(at.timestamp() * 1000)


def _is_fresh(contact: Contact, at: datetime) -> bool:
    return (at - contact.issued_at).total_seconds() < 2 * CONTACT_RENEW_S


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _transport_options(config: NodeConfig) -> TransportOptions:
    return TransportOptions(
        streams_max=config.max_streams,
        idle_timeout_s=config.idle_timeout_s,
        keep_alive_s=config.keep_alive_s,
        connections_max=config.max_connections,
        half_open_max=config.half_open_max,
        handshakes_per_ip_per_s=config.handshakes_per_ip_per_s,
        handshakes_per_ip_burst=config.handshakes_per_ip_burst,
        post_quantum=config.post_quantum,
        congestion=config.congestion,
        qlog_dir=config.qlog_dir,
        keylog_path=config.keylog_path,
    )
