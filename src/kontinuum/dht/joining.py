"""How a node finds its way in, and says truly where it stands.

Everybody who was named or saved is asked, a few at a time; the first answer means that we are in. When all
of them are dead that is an error state, and they are asked again later; when nobody was named, the node is
alone until somebody comes.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3, "To join the network".
Bounds:   ASKED_AT_ONCE requests; CANDIDATES_MAX contacts.
Trust:    contacts of our own user may be old: the identity is pinned when dialling.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.events import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.dht.peer import Peer

ASKED_AT_ONCE = 8
"""Candidates that are asked at once. Our choice: a few dead ones do not hold up the others."""

CANDIDATES_MAX = 256
"""Named and saved contacts that are tried; further ones are ignored. Our choice: a list that people keep, and
enough of a saved table to find all the rest."""

RETRY_FIRST_S = 5.0
"""Seconds until everybody is asked again after all have failed; doubles each time. Our choice."""

RETRY_MAX_S = 300.0
"""Longest such wait. Our choice: five minutes, as for dials."""


class Joining:
    """The way in. Methods return the peers to ask next; ``state`` says where we stand."""

    def __init__(self) -> None:
        self.state = State.STARTING
        self._candidates: tuple[Peer, ...] = ()
        self._left: list[Peer] = []
        self._asked = 0
        self._retry_s = RETRY_FIRST_S
        self._retry_at: float | None = None

    def start(self, candidates: Sequence[Peer], now: float) -> list[Peer]:
        """Try these."""
        self._candidates = tuple(candidates[:CANDIDATES_MAX])
        if not self._candidates and self.state is State.STARTING:
            self.state = State.ALONE
        return self._again(now)

    def answered(self) -> None:
        """Somebody answered, whoever it is."""
        self.state = State.JOINED
        self._retry_at = None
        self._retry_s = RETRY_FIRST_S

    def ended(self, now: float) -> list[Peer]:
        """A candidate that we had asked has answered or failed."""
        self._asked -= 1
        return self._next(now)

    def lost(self, known: Sequence[Peer], now: float) -> None:
        """Nobody whom we know answers any more. ``known``: whom to try again beside those of the start."""
        if self.state is State.JOINED:
            candidates = {peer.peer_id: peer for peer in (*self._candidates, *known)}
            self._candidates = tuple(candidates.values())[:CANDIDATES_MAX]
            self.state = State.UNREACHABLE if self._candidates else State.ALONE
            self._wait(now)

    def handle_timeout(self, now: float) -> list[Peer]:
        """Take the time: ask everybody again, if it is due."""
        if self._retry_at is None or now < self._retry_at:
            return []
        return self._again(now)

    def next_deadline(self) -> float | None:
        """When to be called again."""
        return self._retry_at

    def _again(self, now: float) -> list[Peer]:
        self._retry_at = None
        self._left = list(reversed(self._candidates))
        return self._next(now)

    def _next(self, now: float) -> list[Peer]:
        count = ASKED_AT_ONCE - self._asked
        asked = [self._left.pop() for _ in range(min(count, len(self._left)))]
        self._asked += len(asked)
        if not self._asked and self._candidates and self.state is not State.JOINED:
            self.state = State.UNREACHABLE
            self._wait(now)
        return asked

    def _wait(self, now: float) -> None:
        if self._candidates:
            self._retry_at = now + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
