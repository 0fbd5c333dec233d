"""Publish and subscribe of a node, as its program uses it: ``node.pubsub``.

Joins the room ``gossip`` with the node's connections, its key and the DHT.
Bounds: those of the room, and the settings ``pubsub_*``.
Trust:  a message that comes out was signed by its author; what it says is the author's affair.
"""

from __future__ import annotations

from ipaddress import ip_network
from time import thread_time, time_ns
from typing import TYPE_CHECKING

from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.log import RoomLogger
from kontinuum.gossip.events import DisconnectReason, PeerJoined
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.router import Router
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds
from kontinuum.gossip.service import GossipService
from kontinuum.gossip.signing import signer, verify
from kontinuum.gossip.streams import Streams
from kontinuum.gossip.subscription import Drop, Subscription
from kontinuum.identity import PeerId
from kontinuum.node.events import TopicJoined, TopicLeft
from kontinuum.node.rendezvous import Rendezvous

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from kontinuum.base.clock import Clock
    from kontinuum.gossip import events as ev
    from kontinuum.gossip.signing import SignedBytes
    from kontinuum.gossip.validation import Validator
    from kontinuum.identity import KeyPair
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.events import NodeEvent
    from kontinuum.node.libp2p import NodeLibp2p
    from kontinuum.node.neighbours import Neighbours
    from kontinuum.node.seqno_file import SeqnoFile
    from kontinuum.rpc.service import RpcService

_log = RoomLogger("gossip")


class NodePubSub:
    """Topics of one node. Made and started by the node.

    Args:
        key_pair: Who we are; signs our messages.
        config: The node's settings.
        clock: Both clocks.
        rpc: Where the peers' streams arrive.
        neighbours: The node's connections and known peers.
        reach: Connects to a peer; raises a KontinuumError.
        tell: Told of peers that come to topics of ours, and leave them.
        seqnos: Remembers over a restart which sequence numbers were used, if anything is to be remembered.
    """

    def __init__(
        self,
        key_pair: KeyPair,
        config: NodeConfig,
        *,
        clock: Clock,
        rpc: RpcService,
        neighbours: Neighbours,
        reach: Callable[[PeerId], Awaitable[object]],
        tell: Callable[[NodeEvent], None],
        seqnos: SeqnoFile | None = None,
    ) -> None:
        self.verify_s = 0.0
        """Seconds of processor time that the verification of signatures has taken."""
        self.verified = 0
        """Signatures that were looked at."""
        self.libp2p: NodeLibp2p | None = None
        """How peers of other make are reached, if they are."""
        self._config = config
        self._neighbours = neighbours
        self._tell = tell
        self._seqnos = seqnos
        used_ns = 0 if seqnos is None else seqnos.load(time_ns())
        self._began = clock.monotonic()
        self._began_ns = max(time_ns(), used_ns + 1)
        self._clock = clock
        self.thresholds = PeerScoreThresholds()
        """From which score on a peer gets and gives what."""
        self.scores = PeerScore(
            PeerScoreParams(
                ip_colocation_factor_allow_list=tuple(
                    ip_network(network) for network in config.pubsub_shared_networks
                )
            )
        )
        """What each peer is worth. Only to be looked at: the machine feeds it."""
        seed = int.from_bytes(SystemEntropy().token(8))
        self.machine = Router(
            key_pair.peer_id,
            GossipParams(
                message_bytes_max=config.pubsub_message_bytes_max,
                queue_bytes_max=config.pubsub_queue_bytes_max,
                do_px=config.pubsub_px,
                direct_peers=tuple(PeerId.parse(peer) for peer in config.pubsub_direct),
            ),
            scores=self.scores,
            thresholds=self.thresholds,
            rng=Rng(seed),
            sign=signer(key_pair),
            verify=self._verify,
            unix_ns=self._unix_ns,
            open_record=self._open_record if config.libp2p else None,
            record_of=self._record_of,
        )
        self._rendezvous = Rendezvous(
            key_pair.peer_id,
            neighbours,
            Rng(seed + 1),
            reach=reach,
            found=lambda candidates: self.service.feed(candidates),  # noqa: PLW0108 -- it is made below
        )
        self.service = GossipService(
            key_pair.peer_id,
            self.machine,
            rendezvous=self._rendezvous.handle,
            unwanted=self._on_unwanted,
            joined=self._on_joined,
        )
        self.streams = Streams(self.service, rpc)

    # --- life ---

    def start(self) -> None:
        """Speak to those who are connected, and to all who come."""
        self.service.start()
        self._neighbours.switched = self.streams.use
        for connection in list(self._neighbours.links.current.values()):
            self.streams.use(connection)

    def adopt(self, key_pair: KeyPair) -> None:
        """What we publish from now on is signed by another key. Subscriptions, meshes and streams go on."""
        self.service.adopt(key_pair.peer_id, signer(key_pair))
        self._rendezvous.local = key_pair.peer_id

    def use_dht(self, dht: NodeDht) -> None:
        """Subscribers find each other through the DHT from now on."""
        self._rendezvous.dht = dht
        dht.joined = self._rendezvous.on_joined

    async def close(self) -> None:
        """Leave all topics; subscriptions end."""
        await self._rendezvous.close()
        await self.service.close()
        self.streams.close()
        if self._seqnos is not None:
            self._seqnos.save(self._unix_ns(self._clock.monotonic()))

    # --- topics ---

    def subscribe(
        self,
        topic: str,
        *,
        messages_max: int | None = None,
        bytes_max: int | None = None,
        drop: Drop | str = Drop.OLDEST,
        own: bool = True,
    ) -> Subscription:
        """See ``Node.subscribe``."""
        config = self._config
        return Subscription(
            topic,
            join=self.service.subscribe,
            leave=self.service.unsubscribe,
            messages_max=config.pubsub_buffer_messages if messages_max is None else messages_max,
            bytes_max=config.pubsub_buffer_bytes if bytes_max is None else bytes_max,
            drop=Drop.parse(drop),
            own=own,
        )

    async def publish(self, topic: str, data: bytes) -> int:
        """See ``Node.publish``."""
        (peers,) = await self.service.publish([(topic, bytes(data))])
        return peers

    async def publish_many(self, messages: Iterable[tuple[str, bytes]]) -> list[int]:
        """See ``Node.publish_many``."""
        return await self.service.publish([(topic, bytes(data)) for topic, data in messages])

    def topic_peers(self, topic: str) -> list[PeerId]:
        """Connected peers that are in ``topic``, whether or not we are."""
        return self.machine.topic_peers(topic)

    def mesh_peers(self, topic: str) -> list[PeerId]:
        """Those with whom its messages are exchanged at once; the others are told what there is."""
        return self.machine.mesh_peers(topic)

    def add_validator(self, topic: str, validator: Validator) -> None:
        """See ``Node.add_validator``."""
        self.service.add_validator(topic, validator)

    def remove_validator(self, topic: str, validator: Validator) -> None:
        """See ``Node.remove_validator``."""
        self.service.remove_validator(topic, validator)

    # --- inside ---

    def _verify(self, signed: Sequence[SignedBytes]) -> list[bool]:
        started = thread_time()
        valid = verify(signed)
        self.verify_s += thread_time() - started
        self.verified += len(signed)
        return valid

    def _unix_ns(self, now: float) -> int:
        """The time of day for sequence numbers: it never goes back, whatever happens to the clock."""
        return self._began_ns + int((now - self._began) * 1e9)

    def _on_joined(self, effect: ev.PeerJoined | ev.PeerLeft) -> None:
        kind = TopicJoined if isinstance(effect, PeerJoined) else TopicLeft
        self._tell(kind(effect.topic, effect.peer))

    def _open_record(self, peer_id: PeerId, record: bytes) -> bool:
        return self.libp2p is not None and self.libp2p.learn(peer_id, record)

    def _record_of(self, peer_id: PeerId) -> bytes:
        return b"" if self.libp2p is None else self.libp2p.record_of(peer_id)

    def _on_unwanted(self, effect: ev.Disconnect) -> None:
        if effect.reason is DisconnectReason.STALLED:
            _log.info(
                "a peer does not read what it is sent; nothing is sent to it any more", peer=effect.peer.short
            )
            self.streams.forsake(effect.peer)
            if self.libp2p is not None:
                self.libp2p.forsake(effect.peer)
