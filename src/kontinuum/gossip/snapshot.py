"""The state of a router at one moment, for people and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kontinuum.gossip.events import Protocol
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.topics import Topic
    from kontinuum.identity import PeerId


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """A connected peer."""

    peer: PeerId
    protocol: Protocol
    outbound: bool
    """We dialled."""
    address: str | None
    score: float
    is_direct: bool
    topics: int
    """How many it is in."""
    meshes: tuple[str, ...]
    """The topics in whose mesh we have it."""
    queued: int
    """Things that wait to be sent to it."""
    queued_bytes: int
    stalled_s: float
    """Seconds for which its stream has taken nothing of that; 0 if it does."""


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """A topic that we are in, or publish to."""

    name: str
    joined: bool
    peers: int
    """Connected peers that are in it."""
    mesh: tuple[PeerId, ...]
    fanout: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it."""

    peers: tuple[PeerSnapshot, ...]
    topics: tuple[TopicSnapshot, ...]
    topics_known: int
    """With those that only others are in."""
    seen: int
    """Message ids that are known."""
    cached: int
    """Messages that can be asked for."""
    cached_bytes: int
    pending: int
    """Messages that wait for a validator."""
    backoffs: int
    promises: int
    counters: Mapping[str, int]


def take_snapshot(parts: Parts, ours: Iterable[Topic], pending: int, now: float) -> Snapshot:
    """What is to be seen now of a router with these topics, and so many messages to be validated."""
    return Snapshot(
        peers=tuple(_peer(parts, peer, now) for peer in parts.peers.values()),
        topics=tuple(map(_topic, ours)),
        topics_known=len(parts.topics.by_name),
        seen=len(parts.seen),
        cached=len(parts.mcache),
        cached_bytes=parts.mcache.bytes,
        pending=pending,
        backoffs=len(parts.backoff),
        promises=len(parts.promises),
        counters=parts.counters.as_dict(),
    )


def _peer(parts: Parts, peer: Peer, now: float) -> PeerSnapshot:
    box = peer.outbox
    return PeerSnapshot(
        peer=peer.peer_id,
        protocol=peer.protocol,
        outbound=peer.outbound,
        address=peer.address,
        score=parts.score(peer),
        is_direct=peer.is_direct,
        topics=len(peer.topics),
        meshes=tuple(topic.name for topic in peer.topics.values() if peer in (topic.mesh or ())),
        queued=len(box),
        queued_bytes=box.bytes,
        stalled_s=0.0 if box.stalled_since is None else now - box.stalled_since,
    )


def _topic(topic: Topic) -> TopicSnapshot:
    return TopicSnapshot(
        name=topic.name,
        joined=topic.mesh is not None,
        peers=len(topic.peers),
        mesh=tuple(peer.peer_id for peer in topic.mesh or ()),
        fanout=tuple(peer.peer_id for peer in topic.fanout or ()),
    )
