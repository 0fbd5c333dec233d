"""A node: the facade that builds, joins and supervises the rooms.

Everything that a program needs stands on :class:`Node`; the rooms below can be used alone as well.
Bounds: those of the settings (``NodeConfig``) and of the rooms.
Trust:  peers prove their identity in the handshake; what they may do is the handlers' business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Self

from kontinuum.base.clock import SystemClock
from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.errors import KontinuumError, MisuseError
from kontinuum.base.log import RoomLogger
from kontinuum.dht.peer import CLIENT_CAPABILITY
from kontinuum.identity import Contact, Multiaddr, PeerId
from kontinuum.identity.pow import network_id
from kontinuum.node.adoption import adopt
from kontinuum.node.bootstrap import usable
from kontinuum.node.call_methods import CallMethods
from kontinuum.node.dht_methods import DhtMethods
from kontinuum.node.events import (
    NodeEvent,
    PathChanged,
    PeerConnected,
    PeerLost,
    PeerRenamed,
    Watcher,
    Watchers,
)
from kontinuum.node.figures import Figures
from kontinuum.node.handler_methods import HandlerMethods
from kontinuum.node.introductions import PING, PING_BYTES_MAX
from kontinuum.node.neighbours import Neighbours, PeerInfo, PeerLike
from kontinuum.node.own_contact import OwnContact
from kontinuum.node.pointers import Pointers
from kontinuum.node.proof import proof_of
from kontinuum.node.pubsub_methods import PubSubMethods
from kontinuum.node.reaching import Reaching
from kontinuum.node.saving import save_at_end
from kontinuum.node.services import (
    identity,
    is_place,
    open_directory,
    open_home,
    peer_store,
    rpc_options,
    start_clusters,
    start_dht,
    start_discovery,
    start_libp2p,
    start_metrics,
    start_pubsub,
    start_upkeep,
    transport_options,
    warn_of_doubts,
)
from kontinuum.rpc.service import RpcService
from kontinuum.transport import ALPN, CloseCode, CloseReason, Connection, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kontinuum.identity import KeyPair
    from kontinuum.identity.pow import ProofOfWork
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.discovery import MdnsDiscovery

NOT_RUNNING = "the node does not run; use: async with Node(...) as node"

_PATH_CHANGES = ("established", "abandoned", "available", "backup", "observed")
"""Names of path changes, by the engine's numbers."""

_log = RoomLogger("node")


class Node(Reaching, CallMethods, DhtMethods, HandlerMethods, PubSubMethods):
    """One peer of the network: ``async with Node(config) as node``.

    Args:
        config: The settings. Without them the node listens on a free port of 127.0.0.1, in a network
            named ``local`` that asks for no proof of work, and keeps nothing.
        key_pair: The identity. Without it, that of the data directory; without that, a new one.
        home: What the data directory holds of a cluster, if it was opened already.
        on_mining: Called with the hashes tried and expected while the proof of work of a new identity is
            mined.
    """

    def __init__(
        self,
        config: NodeConfig | None = None,
        *,
        key_pair: KeyPair | None = None,
        home: ClusterHome | None = None,
        on_mining: Callable[[int, int], None] | None = None,
    ) -> None:
        if config is None:
            from kontinuum.node.config import NodeConfig

            config = NodeConfig(network="local", pow_bits=0, listen="127.0.0.1:0")
        self.config = config
        self.clock = SystemClock()
        self._key_pair = key_pair
        self._home = home
        self._on_mining = on_mining
        self._rpc = RpcService(rpc_options(config))
        self._rpc.add_handler(PING, lambda _peer, data: data[:PING_BYTES_MAX])
        self._watchers = Watchers()
        self._counts: Counter[str] = Counter()
        self._stack = contextlib.AsyncExitStack()
        self._started_at: float | None = None
        self._closing = False
        self._endpoint: Endpoint | None = None
        self._neighbours: Neighbours
        self._own: OwnContact
        self._connected: dict[PeerId, Connection] = {}
        self._discovery: MdnsDiscovery | None = None

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
        return self._own.contact

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where others can reach us."""
        return self.contact.addresses

    @property
    def libp2p_addresses(self) -> tuple[str, ...]:
        """Where libp2p programs can reach us, our identity included; empty if we do not speak it."""
        return () if self._libp2p is None else self._libp2p.addresses

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
        directory = open_directory(stack, config)
        home = self._home
        if home is None and self._key_pair is None:
            home = open_home(config, directory)
        key_pair = self._key_pair or (home.signer if home is not None else identity(config, directory))
        self._vault_home = None if directory is None else (directory.path, home or key_pair)
        network = network_id(config.network)
        proof_path = None if directory is None else directory.key.with_name("proof.cbor")
        proof = await proof_of(
            key_pair.peer_id, network, config.pow_bits, path=proof_path, on_progress=self._on_mining
        )
        self._rpc.start()
        endpoint = Endpoint(key_pair, config.listen_address, self._rpc, transport_options(config))
        stack.push_async_callback(endpoint.close)
        stack.push_async_callback(self._rpc.close)
        own = self._own = OwnContact(
            key_pair,
            proof,
            advertised=config.advertise,
            bound=endpoint.local_address,
            capabilities=() if config.dht == "server" else (CLIENT_CAPABILITY,),
            clock=self.clock,
        )
        store = peer_store(config, network, directory)
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
            own_contact=lambda: own.contact,
            connected=self._on_connected,
            lost=self._on_lost,
        )
        stack.push_async_callback(self._neighbours.close)
        stack.callback(save_at_end, store)
        self._neighbours.renamed = self._on_renamed
        self._rpc.on_path = self._on_path
        self._connected = self._neighbours.links.current
        self._endpoint = endpoint
        pointers = self._pointers = Pointers(network, self.clock, self._rpc, self._find)
        clusters = self._clusters = start_clusters(
            stack,
            home,
            node=self,
            clock=self.clock,
            rpc=self._rpc,
            neighbours=self._neighbours,
            pointers=pointers,
            reach=self._find,
            prove=partial(self._prove, proof_path),
            adopt=self.adopt,
            tell=self._tell,
        )
        pubsub = self._pubsub = start_pubsub(
            stack,
            config,
            key_pair=key_pair,
            clock=self.clock,
            rpc=self._rpc,
            neighbours=self._neighbours,
            reach=self._meet,
            tell=self._tell,
            directory=directory,
        )
        libp2p = self._libp2p = start_libp2p(
            stack,
            config,
            key_pair=key_pair,
            clock=self.clock,
            endpoint=endpoint,
            rpc=self._rpc,
            neighbours=self._neighbours,
            addresses=lambda: own.contact.addresses,
            pubsub=pubsub,
            connected=self._on_connected,
            lost=self._on_lost,
        )
        for contact in usable(config):
            self._neighbours.add_contact(contact, pinned=True)
        warn_of_doubts(config)
        dht = self._dht = await start_dht(
            stack,
            config,
            key_pair=key_pair,
            network=network,
            clock=self.clock,
            rpc=self._rpc,
            neighbours=self._neighbours,
            own=own.contact,
            directory=directory,
        )
        if pubsub is not None and dht is not None:
            pubsub.use_dht(dht)
        pointers.dht = dht
        if clusters is not None:
            clusters.listen(pubsub, dht)
        await start_metrics(stack, self, self._unready)
        discovery = self._discovery = await start_discovery(
            stack, config, network, lambda: own.contact, self._on_found
        )
        start_upkeep(stack, self._neighbours, own, dht=dht, discovery=discovery, libp2p=libp2p)
        _log.info(
            "the node runs", peer=self.peer_id.short, addresses=[str(address) for address in self.addresses]
        )

    async def adopt(self, key_pair: KeyPair, proof: ProofOfWork) -> None:
        """Go over to another identity without dropping a session (``adoption``).

        Connections of before show the former identity until it is proved to their peers that both are ours.

        Args:
            key_pair: Who we are from now on.
            proof: The work for that identity, see ``proof.proof_of``.

        Raises:
            MisuseError: The node does not run, or the proof is another identity's.
            WrongNetworkError, WeakProofError: It is of no use in our network.
            UnavailableError: A file that the settings name cannot be written. As above, nothing has changed.
        """
        self._require_running()
        if proof.peer_id != key_pair.peer_id:
            raise MisuseError("the proof of work is another identity's")
        proof.verify(network_id(self.config.network), self.config.pow_bits)
        former = self.peer_id
        if former == key_pair.peer_id:
            return
        adopt(
            key_pair,
            proof,
            endpoint=self.endpoint,
            neighbours=self._neighbours,
            own=self._own,
            pubsub=self._pubsub,
            libp2p=self._libp2p,
            dht=self._dht,
            discovery=self._discovery,
        )
        _log.info("the node goes by another identity", peer=self.peer_id.short, former=former.short)
        await asyncio.sleep(0)  # What is to be told leaves.

    async def _prove(self, path: Path | None, key_pair: KeyPair) -> ProofOfWork:
        """The work of another identity of ours."""
        network = network_id(self.config.network)
        return await proof_of(key_pair.peer_id, network, self.config.pow_bits, path=path)

    async def close(self) -> None:
        """Stop handlers, tell the peers, save what is to be kept. A second call does nothing."""
        self._closing = True
        self._watchers.end()
        await self._stack.aclose()

    # --- peers ---

    async def connect(self, peer: PeerLike, *, address: tuple[str, int] | None = None) -> PeerInfo:
        """Make sure that there is a connection to ``peer``.

        Args:
            peer: Its identity in either text form, its contact, or a contact's text; or a libp2p address,
                ``/ip4/.../udp/.../quic-v1/p2p/12D3KooW...``, where libp2p is spoken.
            address: An IP address and port to try instead of those of its contact.

        Raises:
            NoAddressError: Nothing is known about where it is.
            ConnectError: It cannot be reached; the leaf says why.
            HandshakeError: Whoever answers there is not that peer, or no node of this kind.
            UnknownPeerError: The text names no peer, or the peer is this node.
            AddressMisuseError: The libp2p address cannot be dialled.
            Libp2pOffError: It is one, and this node does not speak libp2p.
        """
        if isinstance(peer, str) and peer.lstrip().startswith("/") and not is_place(peer):
            return await self.libp2p.connect(peer)
        peer_id = self._identify(peer)
        if address is None and self._is_foreign(peer_id):
            return self._info(peer_id)
        if address is None:
            await self._reach(peer_id, patient=False)
        else:
            await self._neighbours.connection(peer_id, (Multiaddr.from_ip(*address),))
        return self._neighbours.info(peer_id)

    async def disconnect(self, peer: PeerLike) -> None:
        """End the connection to ``peer``, if there is one; calls on it fail on both sides."""
        if self._libp2p is not None:
            await self._libp2p.disconnect(self._identify(peer))
        if (connection := self.connection(peer)) is not None:
            connection.close(CloseCode.NONE, "disconnected")
            await connection.wait_closed()

    def peers(self) -> list[PeerInfo]:
        """The peers that we know, the connected ones first."""
        self._require_running()
        neighbours = self._neighbours
        saved = (saved.contact.peer_id for saved in neighbours.store)
        foreign = [] if self._libp2p is None else self._libp2p.peers()
        known = dict.fromkeys([*neighbours.links.current, *foreign, *saved])
        return [self._info(peer_id) for peer_id in known]

    def connection(self, peer: PeerLike) -> Connection | None:
        """The connection in use with ``peer``, if there is one."""
        return self._connected.get(self._identify(peer))

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

    # --- inside ---

    def _require_running(self) -> None:
        if self._endpoint is None:
            raise MisuseError(NOT_RUNNING)
        if self._closing:
            raise MisuseError("the node has been closed; a node runs once, make another one")

    def _unready(self) -> str:
        if self._closing:
            return "the node is stopping"
        return "" if self._dht is None else self._dht.trouble

    def _tell(self, event: NodeEvent) -> None:
        self._watchers.put(event)

    def _on_connected(self, connection: Connection) -> None:
        self._counts["outbound" if connection.outbound else "inbound"] += 1
        if self._pubsub is not None and connection.alpn == ALPN:
            self._pubsub.streams.use(connection)
        self._tell(PeerConnected(connection.peer_id, connection.remote_address, connection.outbound))

    def _on_lost(self, connection: Connection, reason: CloseReason) -> None:
        if reason.code == CloseCode.EVICTED:
            self._counts["evicted"] += 1
        if self._pubsub is not None and connection.alpn == ALPN:
            self._pubsub.streams.lose(connection.peer_id)
            if self._libp2p is not None:
                self._libp2p.native_lost(connection.peer_id)
        self._tell(PeerLost(connection.peer_id, reason))

    def _on_renamed(self, connection: Connection, former: PeerId) -> None:
        if self._pubsub is not None:
            self._pubsub.streams.rename(connection, former)
            if self._libp2p is not None and former not in self._connected:
                self._libp2p.native_lost(former)
        if self._dht is not None:
            self._dht.renounced(former)
        self._tell(PeerRenamed(former, connection.peer_id))

    def _on_path(
        self, connection: Connection, path: int, change: int, address: tuple[str, int] | None
    ) -> None:
        self._tell(PathChanged(connection.peer_id, path, _PATH_CHANGES[change], address))

    def _on_found(self, contact: Contact) -> None:
        with contextlib.suppress(KontinuumError):
            self._neighbours.add_contact(contact)
