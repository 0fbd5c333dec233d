"""Which connection of a pair is used, when there are several.

Two peers that dial each other at the same moment get two connections. Both sides use the one that the peer
with the smaller identity dialled; of two that the same side dialled, or of two that were made at different
times, the newer one: a peer that dials again has lost the older one, by a restart for instance. The other
is retired: no new call begins on it, what runs on it ends in peace, and then it is closed.

The two sides may see two connections in a different order. So only one of them closes the retired one: the
peer with the smaller identity, or the one that dialled both. The other follows. Whatever it thought, one
connection is left, and it is the same for both.

When we go over to another identity, the connections of before show the former one. A connection that shows
the present one takes the place of such a one, which we then close as soon as nothing runs on it, however
long that takes. When a peer goes by another name, its connection moves to that name.

Bounds: RETIRED_PER_PEER_MAX retired connections for each peer; further ones are closed at once.
Pure:   no I/O, clock or randomness.
"""

from functools import reduce
from typing import Generic, Protocol, TypeVar

from kontinuum.identity import PeerId

SIMULTANEOUS_S = 10.0
"""Seconds between two connections within which both may come from dials that did not know of each other. Our
choice: as long as a dial takes at most."""

RETIRE_GRACE_S = 3.0
"""Seconds that a retired connection stays open at least: the peer may not know yet that it is retired. Our
choice: more than a round trip to anywhere, and than CONFIRM_TIMEOUT_S."""

RETIRE_MAX_S = 60.0
"""Seconds after which a retired connection is closed even though it is busy. Our choice: longer than a call's
default time-out; without a limit a peer could keep as many connections as it likes."""

FOLLOW_S = 90.0
"""Seconds that the side which does not decide leaves a retired connection alone. Our choice: longer than
RETIRE_MAX_S, so that the two sides never close one each."""

RETIRED_PER_PEER_MAX = 8
"""Retired connections with one peer. Our choice; the oldest beyond it is closed at once, by either side."""

CONFIRM_TIMEOUT_S = 2.0
"""Seconds within which the connection that is kept must carry a ping, or the other one takes its place. Our
choice: below RETIRE_GRACE_S, or both would be gone."""


class Link(Protocol):
    """What this machine needs to know of a connection."""

    @property
    def id(self) -> int:
        """Its number; later ones are greater."""

    peer_id: PeerId
    """The peer."""

    @property
    def local_id(self) -> PeerId:
        """Who we are to the peer."""

    @property
    def outbound(self) -> bool:
        """We dialled it."""

    @property
    def opened_at(self) -> float:
        """When it was made, monotonic seconds."""

    @property
    def is_busy(self) -> bool:
        """Calls or streams are open on it."""


L = TypeVar("L", bound=Link)


class Links(Generic[L]):
    """The connection in use for each peer, and the retired ones."""

    def __init__(self, local: PeerId) -> None:
        self.local = local
        """Who we are; set anew when that changes."""
        self.current: dict[PeerId, L] = {}
        """The connection in use, by peer."""
        self._retired: dict[int, tuple[L, float]] = {}

    def add(self, link: L, now: float) -> bool:
        """A connection was made. Returns whether the peer had none before."""
        other = self.current.get(link.peer_id)
        if other is None:
            self.current[link.peer_id] = link
            return True
        winner = self._winner(other, link)
        loser = other if winner is link else link
        self.current[link.peer_id] = winner
        self._retired[loser.id] = (loser, now)
        return False

    def remove(self, link: L) -> bool:
        """A connection ended. Returns whether the peer has none left; a retired one takes over."""
        self._retired.pop(link.id, None)
        if self.current.get(link.peer_id) is not link:
            return False
        heirs = self._retired_of(link.peer_id)
        if not heirs:
            del self.current[link.peer_id]
            return True
        heir = reduce(self._winner, heirs)
        del self._retired[heir.id]
        self.current[link.peer_id] = heir
        return False

    def rename(self, link: L, peer_id: PeerId, now: float) -> None:
        """The peer of one connection goes by another name from now on.

        Another connection under the old name stays there: whoever has the old key may have made it.
        """
        self.remove(link)
        link.peer_id = peer_id
        self.add(link, now)

    def handle_timeout(self, now: float) -> list[L]:
        """The retired connections that are to be closed now."""
        due = [link for link, since in self._retired.values() if self._is_due(link, now - since)]
        for peer_id in dict.fromkeys(link.peer_id for link, _ in self._retired.values()):
            kept = [link for link in self._retired_of(peer_id) if link not in due]
            due += kept[: max(0, len(kept) - RETIRED_PER_PEER_MAX)]
        for link in due:
            del self._retired[link.id]
        return due

    def next_deadline(self, now: float) -> float | None:
        """When to call :meth:`handle_timeout` next; the busy ones are looked at again after a while."""
        return min(
            (max(since + RETIRE_GRACE_S, now + RETIRE_GRACE_S / 4) for _, since in self._retired.values()),
            default=None,
        )

    def _retired_of(self, peer_id: PeerId) -> list[L]:
        return [link for link, _ in self._retired.values() if link.peer_id == peer_id]

    def _is_due(self, link: L, retired_s: float) -> bool:
        if self._is_former(link):
            return retired_s >= RETIRE_GRACE_S and not link.is_busy
        if not self._decides(link):
            return retired_s >= FOLLOW_S
        return retired_s >= RETIRE_MAX_S or (retired_s >= RETIRE_GRACE_S and not link.is_busy)

    def _is_former(self, link: L) -> bool:
        """It shows an identity that we have no more: we alone know that it is to go."""
        return link.local_id != self.local

    def _decides(self, link: L) -> bool:
        """Whether it is us who close ``link``, which is retired."""
        if self.current[link.peer_id].outbound == link.outbound:
            return link.outbound
        return self.local < link.peer_id

    def _winner(self, first: L, second: L) -> L:
        if self._is_former(first) != self._is_former(second):
            return second if self._is_former(first) else first
        apart = abs(first.opened_at - second.opened_at) > SIMULTANEOUS_S
        if apart:
            return max(first, second, key=lambda link: link.opened_at)
        if first.outbound == second.outbound:
            return max(first, second, key=lambda link: link.id)
        by_us = first if first.outbound else second
        by_them = second if first.outbound else first
        return by_us if self.local < by_us.peer_id else by_them
