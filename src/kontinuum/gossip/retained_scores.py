"""What counts against peers that left, kept so that nobody gets rid of it by coming back.

Source:   libp2p specs, gossipsub v1.1, "Peer Scoring" (RetainScore).
Differs:  what counts against a peer is kept also if its score was positive in all, and for longer than
          RetainScore if staying connected would have taken longer: go-libp2p-pubsub forgets both.
Bounds:   RETAINED_MAX peers. Beyond it those go that have the least against them, a tenth at once: to push
          its own record out, an attacker would need so many others that are worse.
Trust:    anybody can make a record of an identity of its own, nobody one of another's.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kontinuum.gossip.peer_stats import PeerStats
    from kontinuum.identity import PeerId

RETAINED_MAX = 10_000
"""Peers that left and have something against them. Our choice: as Korium; some 5 MB."""

RETAINED_KEPT = RETAINED_MAX - RETAINED_MAX // 10
"""How many of them are left when there are too many. Our choice: sorting them then costs microseconds for
each peer that came since."""


@dataclass(slots=True)
class Retained:
    """What is kept of one peer."""

    stats: PeerStats
    score: float
    """What it comes back with, without P5 and P6; 0 if all of it is below the thresholds."""
    expires_at: float


class RetainedScores:
    """The peers that left and have something against them."""

    def __init__(self) -> None:
        self._retained: dict[PeerId, Retained] = {}
        self._next_expiry = inf
        """Nothing expires before."""

    def __len__(self) -> int:
        return len(self._retained)

    def __iter__(self) -> Iterator[tuple[PeerId, Retained]]:
        return iter(self._retained.items())

    def score(self, peer: PeerId) -> float:
        """What a peer that is not connected would come back with, without P5 and P6."""
        retained = self._retained.get(peer)
        return retained.score if retained is not None else 0.0

    def stats(self, peer: PeerId) -> PeerStats | None:
        """What is kept of a peer. To be read only."""
        retained = self._retained.get(peer)
        return None if retained is None else retained.stats

    def keep(self, peer: PeerId, stats: PeerStats, expires_at: float) -> None:
        """Keep what counts against a peer that is not kept yet."""
        self._retained[peer] = Retained(stats, stats.rescore(0.0), expires_at)
        self._next_expiry = min(self._next_expiry, expires_at)
        if len(self._retained) > RETAINED_MAX:
            worst_first = sorted(
                self._retained.items(), key=lambda item: (item[1].score, -item[1].expires_at)
            )
            self._retained = dict(worst_first[:RETAINED_KEPT])

    def take(self, peer: PeerId, now: float) -> PeerStats | None:
        """A peer is back: what is kept of it, which is no longer kept here."""
        retained = self._retained.pop(peer, None)
        if retained is None or now >= retained.expires_at:
            return None
        return retained.stats

    def expire(self, now: float) -> None:
        """Forget what has been kept for long enough."""
        if now >= self._next_expiry:
            self._retained = {
                peer: retained for peer, retained in self._retained.items() if now < retained.expires_at
            }
            self._next_expiry = min(
                (retained.expires_at for retained in self._retained.values()), default=inf
            )
