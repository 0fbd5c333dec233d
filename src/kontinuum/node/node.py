"""A node: the facade that builds, joins and supervises the rooms.

Everything that a program needs stands on :class:`Node`; the rooms below can be used alone as well.
Bounds: those of the settings (``NodeConfig``) and of the rooms.
Trust:  peers prove their identity in the handshake; what they may do is the handlers' business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kontinuum.base.clock import SystemClock
from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.errors import KontinuumError, MisuseError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import Contact, KeyPair, Multiaddr, PeerId
from kontinuum.identity.pow import network_id
from kontinuum.node.addresses import own_addresses
from kontinuum.node.bootstrap import usable
from kontinuum.node.events import NodeEvent, PathChanged, PeerConnected, PeerLost, Watcher, Watchers
from kontinuum.node.introductions import PING, PING_BYTES_MAX
from kontinuum.node.neighbours import Neighbours, PeerInfo, PeerLike
from kontinuum.node.peer_store import PeerStore
from kontinuum.node.proof import proof_of
from kontinuum.node.saving import keep_saved, save_at_end
from kontinuum.node.services import start_discovery, start_metrics, warn_of_doubts
from kontinuum.rpc.errors import CallTimeoutError, InvalidTimeoutError
from kontinuum.rpc.incoming import RpcOptions
from kontinuum.rpc.service import RpcService
from kontinuum.transport import CloseCode, CloseReason, Connection, Endpoint, TransportOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.node.config import NodeConfig
    from kontinuum.node.data_dir import DataDir
    from kontinuum.transport import MessageStream, Stream

H = TypeVar("H", bound="Callable[..., Any]")

CONTACT_RENEW_S = 6 * 3600.0
"""Age in seconds at which our contact is issued anew; others take it for a day. Our choice: a quarter."""

NOT_RUNNING = "the node does not run; use: async with Node(...) as node"
NO_CONNECTION_IN_TIME = "no connection could be made in time"

_PATH_CHANGES = ("established", "abandoned", "available", "backup", "observed")
"""Names of path changes, by the engine's numbers."""

_log = RoomLogger("node")


@dataclass(frozen=True, slots=True)
class Figures:
    """Counters of a node since it started."""

    uptime_s: float
    """Seconds since the start."""
    inbound: int
    """Peers that connected to us."""
    outbound: int
    """Peers that we connected to."""
    evicted: int
    """Idle connections closed to make room, by us or by the peer."""
    calls: dict[tuple[str, str], int]
    """Calls by direction (``outgoing``, ``incoming``) and outcome."""
    handlers: int
    """Handlers at work."""
    known_peers: int
    """Peers whose contact is saved."""


class Node:
    """One peer of the network: ``async with Node(config) as node``.

    Args:
        config: The settings. Without them the node listens on a free port of 127.0.0.1, in a network
            named ``local`` that asks for no proof of work, and keeps nothing.
        key_pair: The identity. Without it, that of the data directory; without that, a new one.
        on_mining: Called with the hashes tried and expected while the proof of work of a new identity is
            mined.
    """

    def __init__(
        self,
        config: NodeConfig | None = None,
        *,
        key_pair: KeyPair | None = None,
        on_mining: Callable[[int, int], None] | None = None,
    ) -> None:
        if config is None:
            from kontinuum.node.config import NodeConfig

            config = NodeConfig(network="local", pow_bits=0, listen="127.0.0.1:0")
        self.config = config
        self.clock = SystemClock()
        self._key_pair = key_pair
        self._on_mining = on_mining
        self._rpc = RpcService(
            RpcOptions(
                handlers_max=config.handlers_max,
                handlers_per_peer_max=config.handlers_per_peer_max,
                call_timeout_max_s=config.call_timeout_max_s,
            )
        )
        self._rpc.add_handler(PING, lambda _peer, data: data[:PING_BYTES_MAX])
        self._watchers = Watchers()
        self._counts: Counter[str] = Counter()
        self._stack = contextlib.AsyncExitStack()
        self._started_at: float | None = None
        self._closing = False
        self._endpoint: Endpoint | None = None
        self._neighbours: Neighbours
        self._contact: Contact
        self._connected: dict[PeerId, Connection] = {}

    # --- who we are ---

    @property
    def endpoint(self) -> Endpoint:
        """The transport of this node.

        Raises:
            MisuseError: The node does not run.
        """
        if self._endpoint is None:
            raise MisuseError(NOT_RUNNING)
        return self._endpoint

    @property
    def peer_id(self) -> PeerId:
        """Our identity."""
        return self.endpoint.peer_id

    @property
    def contact(self) -> Contact:
        """Our signed contact, to be given to others."""
        if self._endpoint is None:
            raise MisuseError(NOT_RUNNING)
        return self._contact

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where others can reach us."""
        return self.contact.addresses

    # --- life ---

    async def __aenter__(self) -> Self:
        if self._started_at is not None:
            raise MisuseError("a node runs once; make another one")
        self._started_at = self.clock.monotonic()
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _start(self) -> None:
        config, stack = self.config, self._stack
        directory = None if config.data_dir is None else self._open_directory()
        if self._key_pair is not None:
            key_pair = self._key_pair
        elif directory is not None:
            key_pair = directory.load_key(config.passphrase_source)
        else:
            key_pair = KeyPair.generate(SystemEntropy())
        network = network_id(config.network)
        proof = await proof_of(
            key_pair.peer_id,
            network,
            config.pow_bits,
            path=None if directory is None else directory.key.with_name("proof.cbor"),
            on_progress=self._on_mining,
        )
        self._rpc.start()
        endpoint = Endpoint(key_pair, config.listen_address, self._rpc, _transport_options(config))
        stack.push_async_callback(endpoint.close)
        stack.push_async_callback(self._rpc.close)
        advertised = tuple(Multiaddr.parse(text) for text in config.advertise)
        addresses = advertised or own_addresses(endpoint.local_address)

        def issue_contact() -> None:
            at = self.clock.utc()
            # Milliseconds since 1970 grow over restarts, as long as the clock does.
            sequence = int(at.timestamp() * 1000)
            self._contact = Contact.issue(key_pair, addresses, sequence=sequence, issued_at=at, proof=proof)

        issue_contact()
        store = PeerStore(
            None if directory is None else directory.peers,
            network_id=network,
            pow_bits=config.pow_bits,
            peers_max=config.peers_saved_max,
        )
        self._neighbours = Neighbours(
            endpoint,
            self._rpc,
            store,
            clock=self.clock,
            rng=Rng(int.from_bytes(SystemEntropy().token(8))),
            network=network,
            pow_bits=config.pow_bits,
            wanted=config.peers_wanted,
            dial_timeout_s=config.dial_timeout_s,
            own_contact=lambda: self._contact,
            connected=self._on_connected,
            lost=self._on_lost,
        )
        stack.push_async_callback(self._neighbours.close)
        stack.callback(save_at_end, store)
        self._rpc.on_path = self._on_path
        self._connected = self._neighbours.links.current
        self._endpoint = endpoint
        for contact in usable(config):
            self._neighbours.add_contact(contact, pinned=True)
        warn_of_doubts(config)
        await start_metrics(stack, self, self._unready)
        discovery = await start_discovery(stack, config, network, lambda: self._contact, self._on_found)

        def keep_up() -> None:
            if (self.clock.utc() - self._contact.issued_at).total_seconds() > CONTACT_RENEW_S:
                issue_contact()
                if discovery is not None:
                    discovery.refresh()

        tasks = {"upkeep": self._neighbours.upkeep(keep_up), "saving": keep_saved(store)}
        for name, work in tasks.items():
            stack.push_async_callback(_cancelled, asyncio.create_task(work, name=f"kontinuum {name}"))
        _log.info("the node runs", peer=self.peer_id.short, addresses=[str(address) for address in addresses])

    def _open_directory(self) -> DataDir:
        from kontinuum.node.data_dir import DataDir  # Only nodes that keep something.

        if self.config.data_dir is None:
            raise AssertionError("asked without a directory")
        directory = DataDir.open(self.config.data_dir)
        self._stack.callback(directory.close)
        return directory

    async def close(self) -> None:
        """Stop handlers, tell the peers, save what is to be kept. A second call does nothing."""
        self._closing = True
        self._watchers.end()
        await self._stack.aclose()

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
            UnknownPeerError: The text names no peer, or the peer is this node.
        """
        self._require_running()
        peer_id = self._neighbours.identify(peer)
        addresses = None if address is None else (Multiaddr.from_ip(*address),)
        await self._neighbours.connection(peer_id, addresses)
        return self._neighbours.info(peer_id)

    async def disconnect(self, peer: PeerLike) -> None:
        """End the connection to ``peer``, if there is one; calls on it fail on both sides."""
        if (connection := self.connection(peer)) is not None:
            connection.close(CloseCode.NONE, "disconnected")
            await connection.wait_closed()

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
        """The seconds that one small call takes."""
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

    def peers(self) -> list[PeerInfo]:
        """The peers that we know, the connected ones first."""
        self._require_running()
        neighbours = self._neighbours
        saved = (saved.contact.peer_id for saved in neighbours.store)
        known = dict.fromkeys([*neighbours.links.current, *saved])
        return [neighbours.info(peer_id) for peer_id in known]

    def connection(self, peer: PeerLike) -> Connection | None:
        """The connection in use with ``peer``, if there is one."""
        self._require_running()
        return self._neighbours.links.current.get(self._neighbours.identify(peer))

    def add_contact(self, contact: Contact | str) -> bool:
        """Remember where a peer is.

        Returns:
            Whether it was news: an older or equal contact changes nothing.

        Raises:
            ContactError: It is expired, from the future, of another network, or without enough work.
            MalformedError: The text is no contact.
        """
        self._require_running()
        return self._neighbours.add_contact(
            Contact.from_text(contact) if isinstance(contact, str) else contact
        )

    def events(self) -> Watcher:
        """What happens from now on, as an asynchronous iterator; it ends when the node stops.

        Drop it when it is no longer wanted, or use it in ``async with``.
        """
        return Watcher(self._watchers)

    def figures(self) -> Figures:
        """Counters of this node since it started; also after its end."""
        if self._endpoint is None:
            raise MisuseError(NOT_RUNNING)
        return Figures(
            uptime_s=self.clock.monotonic() - (self._started_at or 0.0),
            inbound=self._counts["inbound"],
            outbound=self._counts["outbound"],
            evicted=self._counts["evicted"],
            calls=self._rpc.counts,
            handlers=self._rpc.handlers_at_work,
            known_peers=len(self._neighbours.store),
        )

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

    def _require_running(self) -> None:
        if self._endpoint is None:
            raise MisuseError(NOT_RUNNING)
        if self._closing:
            raise MisuseError("the node has been closed; a node runs once, make another one")

    async def _connection(self, peer: PeerLike) -> Connection:
        self._require_running()
        peer_id = self._neighbours.identify(peer)
        return await self._neighbours.connection(peer_id, patient=True)

    def _unready(self) -> str:
        return "the node is stopping" if self._closing else ""

    def _tell(self, event: NodeEvent) -> None:
        self._watchers.put(event)

    def _on_connected(self, connection: Connection) -> None:
        self._counts["outbound" if connection.outbound else "inbound"] += 1
        self._tell(PeerConnected(connection.peer_id, connection.remote_address, connection.outbound))

    def _on_lost(self, connection: Connection, reason: CloseReason) -> None:
        if reason.code == CloseCode.EVICTED:
            self._counts["evicted"] += 1
        self._tell(PeerLost(connection.peer_id, reason))

    def _on_path(
        self, connection: Connection, path: int, change: int, address: tuple[str, int] | None
    ) -> None:
        self._tell(PathChanged(connection.peer_id, path, _PATH_CHANGES[change], address))

    def _on_found(self, contact: Contact) -> None:
        with contextlib.suppress(KontinuumError):
            self._neighbours.add_contact(contact)


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
        active_wait_s=config.active_wait_s,
        qlog_dir=config.qlog_dir,
        keylog_path=config.keylog_path,
    )
