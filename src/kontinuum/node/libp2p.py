"""The libp2p side of a node: peers of other make on the same socket, under the same identity.

Joins the room ``libp2p`` with the endpoint, the node's addresses and the router of ``gossip``.
Bounds: those of the room, and the node's settings for connections.
Trust:  a peer has proven its identity by libp2p's certificate. It knows nothing of networks, proofs of work
        or calls: pings and topics are all that it has of this node.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from kontinuum._native import ed25519_sign
from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.errors import KontinuumError, PeerError
from kontinuum.base.log import RoomLogger
from kontinuum.gossip.events import Protocol
from kontinuum.libp2p.addresses import PeerAddress, address_text
from kontinuum.libp2p.host import Host
from kontinuum.libp2p.peer_record import open_peer_record
from kontinuum.libp2p.service import Libp2pService
from kontinuum.node.connector import Connector
from kontinuum.node.errors import UnknownPeerError
from kontinuum.node.named_addresses import fit_to_dial
from kontinuum.node.neighbours import LIBP2P_PATH, PeerInfo
from kontinuum.transport import ALPN_LIBP2P
from kontinuum.transport.errors import CloseCode, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kontinuum.base.clock import Clock
    from kontinuum.gossip.service import GossipService
    from kontinuum.identity import KeyPair, Multiaddr, PeerId
    from kontinuum.libp2p.conversation import Shell
    from kontinuum.libp2p.pubsub import SendingStream
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.pubsub import NodePubSub
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import CloseReason, Connection, Endpoint, RawStream

NAMED_MAX = 256
"""Peers whose addresses are remembered because others named them in a PRUNE. Our choice; beyond it the oldest
is forgotten."""

_log = RoomLogger("libp2p")


class NodeLibp2p:
    """Speaks libp2p for a node. Made and started by the node.

    Args:
        key_pair: Who we are.
        config: The node's settings.
        clock: Both clocks.
        endpoint: The transport, with ``TransportOptions.libp2p``.
        rpc: Told by the endpoint; what concerns libp2p connections is handed on to us.
        native: The connections of our own protocol in use, by peer.
        addresses: Where others can reach us, now.
        pubsub: Topics, if the node has them.
        connected: Told when a peer that had no libp2p connection has one.
        lost: Told when a peer has none any more.
    """

    def __init__(
        self,
        key_pair: KeyPair,
        config: NodeConfig,
        *,
        clock: Clock,
        endpoint: Endpoint,
        rpc: RpcService,
        native: Mapping[PeerId, Connection],
        addresses: Callable[[], Sequence[Multiaddr]],
        pubsub: NodePubSub | None,
        connected: Callable[[Connection], None],
        lost: Callable[[Connection, CloseReason], None],
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._named: dict[PeerId, tuple[int, tuple[Multiaddr, ...]]] = {}
        """Where peers are that others named, by their own signed word."""
        self._rpc = rpc
        self._native = native
        self._addresses = addresses
        self._connected = connected
        self._lost = lost
        rng = Rng(int.from_bytes(SystemEntropy().token(8)))
        self._connector = Connector(endpoint, rng, timeout_s=config.dial_timeout_s, alpn=ALPN_LIBP2P)
        self.topics = None if pubsub is None else _Topics(pubsub.service)
        if pubsub is not None:
            pubsub.libp2p = self

        def make_host(shell: Shell, heard: Callable[[Connection], None]) -> Host:
            return Host(
                key_pair.peer_id,
                shell,
                sign=lambda data: ed25519_sign(key_pair.seed, data),
                entropy=SystemEntropy(),
                addresses=addresses,
                # Grows over restarts, as long as the clock does; others only compare.
                sequence=lambda: int(clock.utc().timestamp() * 1e6),
                agent=_agent(),
                router=self.topics,
                heard=heard,
            )

        self._service = Libp2pService(make_host)

    # --- life ---

    def start(self) -> None:
        """Take over the connections that speak libp2p, and what comes on them."""
        rpc, service = self._rpc, self._service
        opened, closed = rpc.connection_opened, rpc.connection_closed

        def on_opened(connection: Connection) -> None:
            if connection.alpn == ALPN_LIBP2P:
                self._on_connection(connection)
            else:
                opened(connection)

        def on_closed(connection: Connection, reason: CloseReason) -> None:
            if connection.alpn == ALPN_LIBP2P:
                self._on_closed(connection, reason)
            else:
                closed(connection, reason)

        def on_raw_stream(connection: Connection, stream: RawStream) -> None:
            service.on_raw_stream(connection, stream)

        rpc.connection_opened, rpc.connection_closed = on_opened, on_closed
        rpc.on_raw_stream = on_raw_stream

    async def close(self) -> None:
        """Open nothing any more."""
        await self._connector.close()
        await self._service.close()

    # --- for the node ---

    @property
    def addresses(self) -> tuple[str, ...]:
        """What libp2p programs dial to reach this node."""
        return tuple(address_text(address, self._endpoint.peer_id) for address in self._addresses())

    async def connect(self, address: str) -> PeerInfo:
        """Make sure that there is a libp2p connection to the peer of ``address``.

        Raises:
            AddressMisuseError: The address cannot be dialled; the message says why.
            UnknownPeerError: It is this node's own.
            ConnectError: The peer cannot be reached.
            HandshakeError: Another peer answers there, or it does not prove its identity as libp2p does.
        """
        parsed = PeerAddress.parse(address)
        peer_id = parsed.peer_id
        if peer_id == self._endpoint.peer_id:
            raise UnknownPeerError("that is this node itself")
        connection = self._service.host.connections.current(peer_id)
        if connection is None:
            connection = await self._connector.connect(peer_id, parsed.addresses)
        await self._service.settled(connection)
        return self.info(peer_id)

    async def disconnect(self, peer_id: PeerId) -> None:
        """End all libp2p connections with a peer."""
        for connection in self._service.host.connections.of(peer_id):
            connection.close(CloseCode.NONE, "disconnected")
            await connection.wait_closed()

    async def ping(self, peer_id: PeerId) -> float:
        """The seconds of a round trip. Raises as :meth:`Libp2pService.ping`."""
        return await self._service.ping(peer_id)

    def serves(self, peer_id: PeerId) -> bool:
        """The peer is connected by libp2p, and not by our own protocol."""
        return peer_id not in self._native and self._service.host.connections.current(peer_id) is not None

    def peers(self) -> list[PeerId]:
        """Who is connected by libp2p."""
        return self._service.host.connections.peers()

    def info(self, peer_id: PeerId) -> PeerInfo:
        """What is known about a peer that is connected by libp2p."""
        connection = self._service.host.connections.current(peer_id)
        if connection is None:
            return PeerInfo(peer_id, False, None, None, None, None, False, None, None)  # noqa: FBT003
        try:
            rtt_s = connection.stats().rtt_s
        except ConnectionLostError:
            rtt_s = None
        host, port = connection.remote_address
        return PeerInfo(
            peer_id,
            connected=True,
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            path=LIBP2P_PATH,
            rtt_s=rtt_s,
            key_exchange=connection.key_exchange,
            outbound=connection.outbound,
            connected_s=self._clock.monotonic() - connection.opened_at,
            contact=None,
        )

    # --- for the topics ---

    def learn(self, peer_id: PeerId, record: bytes) -> bool:
        """Remember what a peer's signed record says, if it is one and that peer's, and no older one."""
        try:
            opened = open_peer_record(record)
        except PeerError:
            return False
        if opened.peer_id != peer_id:
            return False
        known = self._named.pop(peer_id, None)
        if known is None or known[0] <= opened.sequence:
            known = (opened.sequence, fit_to_dial(opened.addresses, self._addresses()))
        self._named[peer_id] = known
        if len(self._named) > NAMED_MAX:
            del self._named[next(iter(self._named))]
        return True

    def record_of(self, peer_id: PeerId) -> bytes:
        """The signed record of a connected peer; empty if it gave none."""
        return self._service.host.record_of(peer_id)

    async def meet(self, peer_id: PeerId) -> bool:
        """Connect to a peer that others named. Returns whether it is connected; raises nothing else."""
        if self.serves(peer_id):
            return True
        _, addresses = self._named.get(peer_id, (0, ()))
        if not addresses:
            return False
        try:
            await self._service.settled(await self._connector.connect(peer_id, addresses, patient=True))
        except KontinuumError as error:
            _log.debug("a peer that others named cannot be reached", peer=peer_id.short, reason=str(error))
            return False
        return True

    def moved(self) -> None:
        """Our addresses have changed: tell the peers."""
        self._service.host.push()

    def adopt(self, key_pair: KeyPair) -> None:
        """Another identity is ours from now on: on new connections we say so."""
        self._service.host.adopt(key_pair.peer_id, lambda data: ed25519_sign(key_pair.seed, data))

    def forsake(self, peer_id: PeerId) -> None:
        """The peer does not read its topics: send it nothing for a while."""
        if (pubsub := self._service.host.pubsub) is not None:
            pubsub.forsake(peer_id)

    def native_lost(self, peer_id: PeerId) -> None:
        """A peer has no connection of our own protocol any more: topics go by libp2p, if they can."""
        if self.topics is not None:
            self.topics.take_over(peer_id)

    # --- what the endpoint tells ---

    def _on_connection(self, connection: Connection) -> None:
        self._connector.arrived(connection)
        is_first = self._service.host.connections.current(connection.peer_id) is None
        self._service.on_connection(connection)
        if is_first:
            self._connected(connection)

    def _on_closed(self, connection: Connection, reason: CloseReason) -> None:
        peer_id, connections = connection.peer_id, self._service.host.connections
        had = connections.current(peer_id) is not None
        self._service.on_closed(connection, reason)
        if had and connections.current(peer_id) is None:
            self._lost(connection, reason)


class _Carrier:
    """Our libp2p stream to one peer, as the gossip room wants it."""

    def __init__(self, stream: SendingStream) -> None:
        self._stream = stream
        self.protocol = Protocol(stream.protocol)
        self.outbound = stream.outbound
        self.address = stream.address
        self.room_bytes = stream.room_bytes
        self.send = stream.send
        self.call_when_low = stream.call_when_low
        self.close = stream.close

    @property
    def is_open(self) -> bool:
        """Something can be sent."""
        return self._stream.is_open


class _Topics:
    """The router of topics, as the libp2p room wants it. Who speaks our own protocol is left to that."""

    def __init__(self, service: GossipService) -> None:
        self._service = service
        self._carriers: dict[PeerId, _Carrier] = {}

    def joined(self, peer_id: PeerId, stream: SendingStream) -> None:
        """A peer can be sent RPCs, the first time or on another stream."""
        former = self._carriers.get(peer_id)
        carrier = self._carriers[peer_id] = _Carrier(stream)
        if self._service.carrier(peer_id) in (None, former):
            self._service.opened(peer_id, carrier)

    def left(self, peer_id: PeerId, _stream: SendingStream) -> None:
        """It cannot any more."""
        if (carrier := self._carriers.pop(peer_id, None)) is not None:
            self._service.closed(peer_id, carrier)

    def greet(self, peer_id: PeerId) -> None:
        """It may have forgotten our topics."""
        if self._is_used(peer_id):
            self._service.greet(peer_id)

    def received(self, peer_id: PeerId, rpc: bytes, consumed: Callable[[int], None]) -> None:
        """An RPC came."""
        self._service.received(peer_id, rpc, consumed)

    def writable(self, peer_id: PeerId, _stream: SendingStream, waiting_bytes: int) -> None:
        """There is room again."""
        if (carrier := self._carriers.get(peer_id)) is not None:
            self._service.writable(peer_id, carrier, waiting_bytes)

    def take_over(self, peer_id: PeerId) -> None:
        """A peer is not reached by our own protocol any more."""
        carrier = self._carriers.get(peer_id)
        if carrier is not None and self._service.carrier(peer_id) is None:
            self._service.opened(peer_id, carrier)

    def _is_used(self, peer_id: PeerId) -> bool:
        carrier = self._carriers.get(peer_id)
        return carrier is not None and self._service.carrier(peer_id) is carrier


def _agent() -> str:
    try:
        return f"kontinuum/{version('kontinuum')}"
    except PackageNotFoundError:
        return "kontinuum"
