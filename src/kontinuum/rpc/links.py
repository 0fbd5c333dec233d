"""Which connection of a pair is used, when there are several.

Two peers that dial each other at the same moment get two connections. Both sides keep the one that the peer
with the smaller identity dialled; of two that the same side dialled, the newer one. The other is retired: no
new call begins on it, what runs on it ends in peace, and then it is closed. Nothing is lost.

Bounds: as many entries as there are connections.
Pure:   no I/O, clock or randomness.
"""

from typing import Generic, Protocol, TypeVar

from kontinuum.identity import PeerId

RETIRE_GRACE_S = 2.0
"""Seconds that a retired connection stays open at least: the peer may not know yet that it is retired. Our
choice: more than a round trip to anywhere."""

RETIRE_MAX_S = 60.0
"""Seconds after which a retired connection is closed even though it is busy. Our choice: longer than a call's
default time-out; without a limit a peer could keep as many connections as it likes."""


class Link(Protocol):
    """What this machine needs to know of a connection."""

    @property
    def id(self) -> int:
        """Its number; later ones are greater."""

    @property
    def peer_id(self) -> PeerId:
        """The peer."""

    @property
    def outbound(self) -> bool:
        """We dialled it."""

    @property
    def is_busy(self) -> bool:
        """Calls or streams are open on it."""


L = TypeVar("L", bound=Link)


class Links(Generic[L]):
    """The connection in use for each peer, and the retired ones."""

    def __init__(self, local: PeerId) -> None:
        self._local = local
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
        heirs = [retired for retired, _ in self._retired.values() if retired.peer_id == link.peer_id]
        if not heirs:
            del self.current[link.peer_id]
            return True
        heir = max(heirs, key=lambda heir: heir.id)
        del self._retired[heir.id]
        self.current[link.peer_id] = heir
        return False

    def handle_timeout(self, now: float) -> list[L]:
        """The retired connections that are to be closed now."""
        due = [
            link
            for link, since in self._retired.values()
            if now >= since + RETIRE_MAX_S or (now >= since + RETIRE_GRACE_S and not link.is_busy)
        ]
        for link in due:
            del self._retired[link.id]
        # The busy ones are asked again after another grace.
        return due

    def next_deadline(self, now: float) -> float | None:
        """When to call :meth:`handle_timeout` next."""
        return min(
            (max(since + RETIRE_GRACE_S, now + RETIRE_GRACE_S / 4) for _, since in self._retired.values()),
            default=None,
        )

    def _winner(self, first: L, second: L) -> L:
        if first.outbound == second.outbound:
            return max(first, second, key=lambda link: link.id)
        by_us = first if first.outbound else second
        by_them = second if first.outbound else first
        return by_us if self._local < by_us.peer_id else by_them
