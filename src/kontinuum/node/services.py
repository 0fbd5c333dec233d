"""What a node starts, in parts: its directory and identity, its upkeep, and what its settings ask for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import UnavailableError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import KeyPair
from kontinuum.node.bootstrap import usable
from kontinuum.node.own_contact import News
from kontinuum.node.peer_store import PeerStore
from kontinuum.node.saving import keep_saved
from kontinuum.rpc.incoming import RpcOptions
from kontinuum.transport import TransportOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AsyncExitStack

    from kontinuum.base.clock import Clock
    from kontinuum.identity import Contact, Multiaddr, PeerId
    from kontinuum.identity.pow import ProofOfWork
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.node.clusters import NodeClusters
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.data_dir import DataDir
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.discovery import MdnsDiscovery
    from kontinuum.node.events import NodeEvent
    from kontinuum.node.libp2p import NodeLibp2p
    from kontinuum.node.neighbours import Neighbours
    from kontinuum.node.node import Node
    from kontinuum.node.own_contact import OwnContact
    from kontinuum.node.pointers import Pointers
    from kontinuum.node.pubsub import NodePubSub
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import CloseReason, Connection, Endpoint

_log = RoomLogger("node")


def open_directory(stack: AsyncExitStack, config: NodeConfig) -> DataDir | None:
    """Take the data directory, if the node has one, until the stack is closed.

    Raises:
        DataDirError: It cannot be used, or another node works in it.
    """
    if config.data_dir is None:
        return None
    from kontinuum.node.data_dir import DataDir  # Only nodes that keep something.

    directory = DataDir.open(config.data_dir)
    stack.callback(directory.close)
    return directory


def identity(config: NodeConfig, directory: DataDir | None) -> KeyPair:
    """The key of the data directory; without one a fresh key, which is gone when the process ends."""
    if directory is None:
        return KeyPair.generate(SystemEntropy())
    return directory.load_key(config.passphrase_source)


def in_cluster(config: NodeConfig) -> bool:
    """Whether the settings' directory is that of a node of a cluster."""
    if config.data_dir is None:
        return False
    from kontinuum.node.data_dir import DataDir  # Only nodes that keep something.

    return DataDir(config.data_dir, None).in_cluster


def open_home(config: NodeConfig, directory: DataDir | None) -> ClusterHome | None:
    """What a data directory holds of a cluster; None if its node belongs to none."""
    if directory is None or not directory.in_cluster:
        return None
    from kontinuum.node.cluster_home import ClusterHome  # Only nodes of clusters.

    return ClusterHome.open(directory.cluster, config)


def is_place(text: str) -> bool:
    """Whether a text names a place of our cluster, ``/1``, and not a libp2p address."""
    return bool(text.strip("/")) and text.replace("/", "").isdigit()


def peer_store(config: NodeConfig, network: bytes, directory: DataDir | None) -> PeerStore:
    """The peers that the node knows, on the disk if it has one."""
    return PeerStore(
        None if directory is None else directory.peers,
        network_id=network,
        pow_bits=config.pow_bits,
        peers_max=config.peers_saved_max,
    )


def start_upkeep(
    stack: AsyncExitStack,
    neighbours: Neighbours,
    own: OwnContact,
    *,
    dht: NodeDht | None,
    discovery: MdnsDiscovery | None,
    libp2p: NodeLibp2p | None,
) -> None:
    """Keep peers connected and saved, and our contact true, until the stack is closed."""

    def keep_up() -> None:
        if (news := own.look()) is News.NONE:
            return
        if discovery is not None:
            discovery.refresh()
        if dht is not None:
            dht.contact_changed(own.contact, moved=news is News.MOVED)
        if libp2p is not None and news is News.MOVED:
            libp2p.moved()

    tasks = {"upkeep": neighbours.upkeep(keep_up), "saving": keep_saved(neighbours.store)}
    for name, work in tasks.items():
        stack.push_async_callback(_cancelled, asyncio.create_task(work, name=f"kontinuum {name}"))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def start_metrics(stack: AsyncExitStack, node: Node, unready: Callable[[], str]) -> None:
    """Serve ``/metrics``, ``/healthz`` and ``/readyz`` where the settings say, if they do.

    Raises:
        ListenError: The address cannot be had. Whoever asked for metrics must not be without them unawares.
    """
    if node.config.metrics_address is None:
        return
    from kontinuum.node.metrics import metrics_server
    from kontinuum.node.watching import snapshot

    server = metrics_server(node.config.metrics_address, lambda: snapshot(node), unready)
    await stack.enter_async_context(server)


async def start_discovery(
    stack: AsyncExitStack,
    config: NodeConfig,
    network: bytes,
    own_contact: Callable[[], Contact],
    found: Callable[[Contact], None],
) -> MdnsDiscovery | None:
    """Look for peers on the local network if the settings say so; without multicast the node still runs."""
    if not config.mdns:
        return None
    from kontinuum.node.discovery import MdnsDiscovery

    discovery = MdnsDiscovery(own_contact, found, network_id=network, pow_bits=config.pow_bits)
    try:
        return await stack.enter_async_context(discovery)
    except UnavailableError as error:
        _log.warning("no peers are looked for on the local network", reason=str(error))
        return None


async def start_dht(
    stack: AsyncExitStack,
    config: NodeConfig,
    *,
    key_pair: KeyPair,
    network: bytes,
    clock: Clock,
    rpc: RpcService,
    neighbours: Neighbours,
    own: Contact,
    directory: DataDir | None,
) -> NodeDht | None:
    """Take part in the DHT if the settings say so."""
    if config.dht == "off":
        return None
    from kontinuum.node.dht import NodeDht

    disk = None
    if directory is not None:
        from kontinuum.node.dht_disk import DhtDisk  # Only nodes that keep something.

        disk = DhtDisk(directory.dht)
    dht = NodeDht(
        key_pair,
        config,
        network=network,
        clock=clock,
        rpc=rpc,
        neighbours=neighbours,
        disk=disk,
    )
    stack.push_async_callback(dht.close)
    await dht.start(own, usable(config))
    return dht


def start_clusters(
    stack: AsyncExitStack,
    home: ClusterHome | None,
    *,
    node: Node,
    clock: Clock,
    rpc: RpcService,
    neighbours: Neighbours,
    pointers: Pointers,
    reach: Callable[[PeerId], Awaitable[Connection]],
    prove: Callable[[KeyPair], Awaitable[ProofOfWork]],
    adopt: Callable[[KeyPair, ProofOfWork], Awaitable[None]],
    tell: Callable[[NodeEvent], None],
) -> NodeClusters | None:
    """Speak with the other nodes of our cluster, and those of clusters that it trusts, if it has one."""
    if home is None:
        return None
    from kontinuum.node.clusters import NodeClusters

    clusters = NodeClusters(
        home,
        node=node,
        clock=clock,
        rpc=rpc,
        neighbours=neighbours,
        pointers=pointers,
        reach=reach,
        prove=prove,
        adopt=adopt,
        tell=tell,
    )
    stack.push_async_callback(clusters.close)
    clusters.start()
    return clusters


def start_pubsub(
    stack: AsyncExitStack,
    config: NodeConfig,
    *,
    key_pair: KeyPair,
    clock: Clock,
    rpc: RpcService,
    neighbours: Neighbours,
    reach: Callable[[PeerId], Awaitable[object]],
    tell: Callable[[NodeEvent], None],
    directory: DataDir | None,
) -> NodePubSub | None:
    """Take part in topics if the settings say so."""
    if not config.pubsub:
        return None
    from kontinuum.node.pubsub import NodePubSub

    seqnos = None
    if directory is not None:
        from kontinuum.node.seqno_file import SeqnoFile  # Only nodes that keep something.

        seqnos = SeqnoFile(directory.seqno)
    pubsub = NodePubSub(
        key_pair,
        config,
        clock=clock,
        rpc=rpc,
        neighbours=neighbours,
        reach=reach,
        tell=tell,
        seqnos=seqnos,
    )
    stack.push_async_callback(pubsub.close)
    pubsub.start()
    return pubsub


def start_libp2p(
    stack: AsyncExitStack,
    config: NodeConfig,
    *,
    key_pair: KeyPair,
    clock: Clock,
    endpoint: Endpoint,
    rpc: RpcService,
    neighbours: Neighbours,
    addresses: Callable[[], Sequence[Multiaddr]],
    pubsub: NodePubSub | None,
    connected: Callable[[Connection], None],
    lost: Callable[[Connection, CloseReason], None],
) -> NodeLibp2p | None:
    """Speak libp2p as well if the settings say so."""
    if not config.libp2p:
        return None
    from kontinuum.node.libp2p import NodeLibp2p

    libp2p = NodeLibp2p(
        key_pair,
        config,
        clock=clock,
        endpoint=endpoint,
        rpc=rpc,
        native=neighbours.links.current,
        addresses=addresses,
        pubsub=pubsub,
        connected=connected,
        lost=lost,
    )
    stack.push_async_callback(libp2p.close)
    libp2p.start()
    return libp2p


def warn_of_doubts(config: NodeConfig) -> None:
    """Say what is allowed and still deserves a look, such as a key log."""
    for finding in config.doubts():
        _log.warning(finding.message, setting=finding.key)


def rpc_options(config: NodeConfig) -> RpcOptions:
    """What the settings say of calls."""
    return RpcOptions(
        handlers_max=config.handlers_max,
        handlers_per_peer_max=config.handlers_per_peer_max,
        call_timeout_max_s=config.call_timeout_max_s,
    )


def transport_options(config: NodeConfig) -> TransportOptions:
    """What the settings say of connections."""
    return TransportOptions(
        libp2p=config.libp2p,
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
