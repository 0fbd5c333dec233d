"""One k-bucket: peers at about the same distance from us, the least recently seen first.

Source:   Maymounkov and Mazières, "Kademlia", IPTPS 2002, sections 2.2 and 4.1 (replacement cache).
Differs:  a peer that failed to answer is set apart at once (``doubtful``), so that it is neither asked nor
          named while others are there; the paper flags it where it stands.
Bounds:   WAITING_MAX peers in the replacement cache. How many are in the bucket, its table decides.
Trust:    peers were verified and have answered before they come here.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kontinuum.dht.rtt_hint import hint_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId
    from kontinuum.messages.kad import KadPeer

WAITING_MAX = 10
"""Peers in a bucket's replacement cache, as go-ethereum's ``maxReplacements``. One more: the one that came
first goes."""

RTT_GAIN = 0.125
"""Weight of the newest round trip in the smoothed one. RFC 6298, section 2.3."""

NEVER = float("-inf")
"""The time of what has not happened."""


class Entry:
    """What a table knows of one of its peers beyond its contact."""

    __slots__ = ("_named", "failed_at", "failures", "peer", "prefix", "rtt_s", "seen_at", "since")

    def __init__(self, peer: Peer, prefix: str | None, now: float) -> None:
        self.peer = peer
        self.prefix = prefix
        """The network that its caps count for; ``None`` if it is not capped."""
        self.since = now
        """When it came into the table."""
        self.seen_at = now
        """When it last answered."""
        self.rtt_s: float | None = None
        """Its round trip, smoothed; ``None`` if it was not measured."""
        self.failures = 0
        """Requests in a row that it did not answer."""
        self.failed_at = NEVER
        """When the last of them had failed."""
        self._named = peer.wire

    def named(self) -> KadPeer:
        """How replies name it, with a hint of its round trip: the same object until something changes."""
        hint, wire = hint_us(self.rtt_s), self.peer.wire
        if self._named.rtt_us != hint or self._named.contact is not wire.contact:
            self._named = replace(wire, rtt_us=hint) if hint else wire
        return self._named

    def measured(self, rtt_s: float) -> None:
        """Take a round trip into the smoothed one."""
        self.rtt_s = rtt_s if self.rtt_s is None else self.rtt_s + RTT_GAIN * (rtt_s - self.rtt_s)


class KBucket:
    """The peers of one bucket. Each is in one place only: ``peers``, ``doubtful`` or ``waiting``."""

    __slots__ = ("checked_at", "doubtful", "peers", "waiting")

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        """Those that answered when last asked, the least recently seen first."""
        self.doubtful: list[Peer] = []
        """Those that did not, the one that failed first in front."""
        self.waiting: list[tuple[Peer, str | None]] = []
        """The replacement cache with the networks that caps count for: the newest last."""
        self.checked_at = NEVER
        """When the table last wanted a peer of this bucket pinged because a newcomer waits."""

    def __len__(self) -> int:
        return len(self.peers) + len(self.doubtful)

    def __iter__(self) -> Iterator[Peer]:
        yield from self.doubtful
        yield from self.peers

    @property
    def oldest(self) -> Peer:
        """The peer to ping when a newcomer wants its place. The bucket is not empty."""
        return self.doubtful[0] if self.doubtful else self.peers[0]

    def answered(self, peer: Peer, newer: Peer) -> None:
        """Make a peer of the bucket the most recently seen one; ``newer``: its newest contact, or itself."""
        if not (newer is peer and self.peers and self.peers[-1] is peer):
            self.remove(peer)
            self.peers.append(newer)

    def doubt(self, peer: Peer) -> None:
        """Set a peer of the bucket apart."""
        if peer not in self.doubtful:
            self.peers.remove(peer)
            self.doubtful.append(peer)

    def remove(self, peer: Peer) -> None:
        """Forget a peer of the bucket."""
        (self.doubtful if peer in self.doubtful else self.peers).remove(peer)

    def wait(self, peer: Peer, prefix: str | None) -> None:
        """Put a newcomer into the replacement cache; of a capped network there is one at most."""
        self.waiting = [
            (other, network)
            for other, network in self.waiting
            if other.peer_id != peer.peer_id and (prefix is None or network != prefix)
        ][1 - WAITING_MAX :]
        self.waiting.append((peer, prefix))

    def forget_waiting(self, peer_id: PeerId) -> None:
        """Drop a peer from the replacement cache, if it is there."""
        self.waiting = [waiting for waiting in self.waiting if waiting[0].peer_id != peer_id]

    def take_waiting(self, fits: Callable[[str | None], bool]) -> Peer | None:
        """Take the newest peer out of the replacement cache whose network has a place left."""
        for place in reversed(range(len(self.waiting))):
            peer, prefix = self.waiting[place]
            if fits(prefix):
                del self.waiting[place]
                return peer
        return None
