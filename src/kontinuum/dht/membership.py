"""Who enters the routing table: verified peers that answered us, and nobody else.

A peer that contacts us, or that somebody introduces, is asked to answer a ping first. One that answers any
request of ours has answered. Where a bucket is full, its least recently seen peer is asked whether it still
lives; only if not, the newcomer takes its place.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.2; Baumgart and Mies, "S/Kademlia", ICPADS
        2007, section 4.3 (who is actively and who is only incidentally heard of).
Bounds:   PINGS_MAX pings in flight, PINGS_PER_PREFIX_MAX of them into one /24 or /48; RENOUNCED_MAX; the
          table's own.
Trust:    peers are verified by Admission before they come here; addresses are where packets came from.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.prefixes import cap_prefix
from kontinuum.dht.routing_table import Full, Inserted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kontinuum.dht.peer import Peer
    from kontinuum.dht.routing_table import RoutingTable
    from kontinuum.identity import PeerId

PINGS_MAX = 64
"""Pings in flight to find out who answers. Our choice: beyond it newcomers are forgotten; they come again."""

PINGS_PER_PREFIX_MAX = 4
"""Of these, into one /24 or /48, so that a network of dead peers cannot take all places. Our choice."""

SILENCE_PEERS = 8
"""Different peers of the table that fail, with no answer of anybody between, before we take our own line for
dead. Our choice: half of a network may die, and still one of eight answers."""

RECHECK_EVERY_S = 20.0
"""Seconds between two looks for peers that failed when last asked. Our choice: the dead are gone after three
of them, so that records find new holders within two minutes."""


RENOUNCED_MAX = 1024
"""Identities that their owners have given up and that are not let in again: an answer of before may still
come. Our choice; beyond it the oldest is forgotten, and would fail when it is asked."""


class Membership:
    """Decides whom to ping and who enters the table. Methods return the peers to ping.

    Args:
        table: The routing table.
        ping_first: A newcomer answers before it enters; off in simulations only.
        joined: Told of each peer that entered.
        left: Told of each that was given up.
    """

    def __init__(
        self,
        table: RoutingTable,
        *,
        ping_first: bool,
        joined: Callable[[Peer, float], None],
        left: Callable[[Peer, float], None],
    ) -> None:
        self._table = table
        self._ping_first = ping_first
        self._joined = joined
        self._left = left
        self._pings: dict[PeerId, str | None] = {}
        """Peers that are pinged, and the network that each counts to."""
        self._recheck_at: float | None = None
        self._failed: dict[PeerId, None] = {}
        """Peers of the table that failed since somebody answered last."""
        self._met: dict[PeerId, str | None] | None = None
        """While we look around: who has answered in lookups, and from where."""
        self._per_prefix: dict[str, int] = {}
        self._renounced: dict[PeerId, None] = {}

    @property
    def silence(self) -> bool:
        """Nobody answers: several peers of the table failed one after the other, or all there are."""
        return len(self._failed) >= max(1, min(SILENCE_PEERS, len(self._table)))

    def look_around(self) -> None:
        """From now until :meth:`settle` only those come in who stand at the end of a lookup of ours.

        Whoever waits for a newcomer, or leads its first lookups astray, would have filled its table before
        anybody honest is in it; at the end of a lookup there is nobody who is not nearest to its target.
        """
        self._met = {}

    def settle(self) -> None:
        """We have looked around."""
        self._met = None

    def found(self, peers: Iterable[Peer], now: float) -> list[Peer]:
        """These stood at the end of a lookup by which we look around."""
        met = self._met or {}
        return [
            ping
            for peer in peers
            if peer.serves and peer.peer_id in met
            for ping in self._offer(peer, met[peer.peer_id], now)
        ]

    def consider(self, peer: Peer, ip: str | None, now: float) -> list[Peer]:
        """``peer`` came by itself: may it come in?"""
        if self._met is not None or not peer.serves or not self._table.wants(peer, ip, unasked=True):
            return []
        if not self._ping_first or peer.peer_id in self._table:
            return self._offer(peer, ip, now)
        return self._ping(peer, ip)

    def answered(
        self, peer: Peer, ip: str | None, now: float, rtt_s: float, *, searched: bool = False
    ) -> list[Peer]:
        """``peer`` answered a request of ours; ``searched``: in a lookup, to which others had led us."""
        self._pinged(peer.peer_id)
        self._failed.clear()
        pings: list[Peer] = []
        entry = self._table.get(peer.peer_id)
        if entry is None and searched and self._met is not None:
            self._met[peer.peer_id] = ip
        elif peer.serves and (entry is None or entry.peer is not peer):
            pings = self._offer(peer, ip, now)
        self._table.seen(peer.peer_id, now, rtt_s)
        return pings

    def failed(self, peer: Peer, now: float) -> list[Peer]:
        """``peer`` did not answer a request of ours."""
        self._pinged(peer.peer_id)
        known = peer.peer_id in self._table
        if known:
            self._failed[peer.peer_id] = None
            if self.silence:
                return []  # They may all live, and our own line be dead.
        if known and self._recheck_at is None:
            self._recheck_at = now + RECHECK_EVERY_S
        candidate = self._table.failed(peer.peer_id, now)
        if known and peer.peer_id not in self._table:
            self._left(peer, now)
        return [] if candidate is None else self._ping(candidate, candidate.ip)

    def renounced(self, peer_id: PeerId, now: float) -> None:
        """Nobody goes by that identity any more."""
        self._renounced[peer_id] = None
        if len(self._renounced) > RENOUNCED_MAX:
            del self._renounced[next(iter(self._renounced))]
        self._failed.pop(peer_id, None)
        entry = self._table.get(peer_id)
        self._table.remove(peer_id)
        if entry is not None:
            self._left(entry.peer, now)

    def recheck(self, now: float) -> list[Peer]:
        """Peers of the table that failed when last asked: do they live? Nothing else would ever ask them."""
        if self._recheck_at is None or now < self._recheck_at:
            return []
        doubtful = self._table.doubtful()
        self._recheck_at = now + RECHECK_EVERY_S if doubtful else None
        return [pinged for peer in doubtful for pinged in self._ping(peer, peer.ip)]

    def next_deadline(self) -> float | None:
        """When to call :meth:`recheck`; ``None`` while nobody is in doubt."""
        return self._recheck_at

    def _offer(self, peer: Peer, ip: str | None, now: float) -> list[Peer]:
        if peer.peer_id in self._renounced:
            return []
        match self._table.offer(peer, ip, now):
            case Inserted():
                self._joined(peer, now)
            case Full(oldest):
                return self._ping(oldest, oldest.ip)
            case _:
                pass
        return []

    def _ping(self, peer: Peer, ip: str | None) -> list[Peer]:
        if peer.peer_id in self._pings or len(self._pings) >= PINGS_MAX:
            return []
        prefix = None if ip is None else cap_prefix(ip)
        if prefix is not None:
            if self._per_prefix.get(prefix, 0) >= PINGS_PER_PREFIX_MAX:
                return []
            self._per_prefix[prefix] = self._per_prefix.get(prefix, 0) + 1
        self._pings[peer.peer_id] = prefix
        return [peer]

    def _pinged(self, peer_id: PeerId) -> None:
        prefix = self._pings.pop(peer_id, None)
        if prefix is not None:
            self._per_prefix[prefix] -= 1
            if not self._per_prefix[prefix]:
                del self._per_prefix[prefix]
