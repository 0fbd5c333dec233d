"""What a node does for its own program: find peers, store and fetch records, provide and find providers.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3; Baumgart and Mies, "S/Kademlia", ICPADS
        2007, section 4.4 (disjoint paths); libp2p specs, kad-dht/README.md, "Entity correction" (repair).
Differs:  a record counts once ``quorum`` peers gave a valid one, on at least two paths where there are two.
Bounds:   those of ``operation``.
Trust:    answers are hostile input: peers were checked by the parent, records are validated here.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.dht.events import Found, Peers, Refusal, Stored
from kontinuum.dht.operation import Operation
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from kontinuum.dht.operation import Arrived, Surroundings, Want
    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records import Valid
    from kontinuum.dht.search import Search
    from kontinuum.identity import PeerId

HOLDERS_MIN = 3
"""Peers that must keep a record before it counts as published, unless there are fewer. Our choice."""


class FindOperation(Operation):
    """The peers closest to a target."""

    __slots__ = ("_count",)

    def __init__(
        self, search: Search, message: KadMessage, around: Surroundings, deadline: float, count: int
    ) -> None:
        super().__init__(search, message, around, deadline)
        self._count = count

    def _radius(self) -> int | None:
        return None  # Whoever asks for the closest gets the closest.

    def _end(self, *, complete: bool) -> None:
        search = self.search
        self.outcome = Peers(tuple(search.closest(self._count)), search.hops, search.requests, complete)


class GetOperation(Operation):
    """The newest valid record of a key; peers that hold none or an older one get it on the way."""

    __slots__ = ("_answers", "_best", "_key", "_paths", "_quorum", "_rejected", "_stale")

    def __init__(
        self,
        search: Search,
        around: Surroundings,
        deadline: float,
        *,
        key: bytes,
        quorum: int,
        paths: int,
        local: tuple[bytes, Valid | None] | None,
    ) -> None:
        message = KadMessage(MessageType.GET_VALUE, key=key, sender=around.sender)
        super().__init__(search, message, around, deadline)
        self._key = key
        self._quorum = quorum
        self._paths = min(paths, 2)
        self._best = local
        self._answers: dict[PeerId, tuple[Peer, Valid | None]] = {}
        """Who gave a valid record."""
        self._stale: dict[PeerId, None] = {}
        """Who gave none."""
        self._rejected = 0

    def _take(self, arrived: Arrived, at: datetime) -> bool:
        record, peer_id = arrived.message.record, arrived.peer.peer_id
        if arrived.message.type is not MessageType.GET_VALUE:
            return False
        if record is None or record.key != self._key:
            self._stale[peer_id] = None
            return False
        valid: Valid | None = None
        if self._around.validate:
            try:
                valid = self._around.validators.validate(self._key, record.value, at)
            except PeerError:
                self._rejected += 1
                self._stale[peer_id] = None
                return False
        self._answers[peer_id] = arrived.peer, valid
        best = None if self._best is None else self._best[1]
        if self._best is None or (valid is not None and best is not None and valid.rank > best.rank):
            self._best = (record.value, valid)
        if not self._around.newest or valid is None or not valid.mutable:
            return True
        near = [peer for peer, _ in self._answers.values() if self._is_near(peer)]
        paths = {self.search.trace(peer.peer_id)[1] for peer in near}
        return len(near) >= self._quorum and len(paths) >= self._paths

    def _aside(self, peer: Peer) -> list[Want]:
        return self._ask_aside(peer)

    def _searched(self) -> list[Want]:
        if not self._extended:
            return self._told()
        return self._tell([peer for peer in self._holders() if not self._has_asked(peer)], self._message)

    def _has_asked(self, peer: Peer) -> bool:
        return peer.peer_id in self._stale or peer.peer_id in self._answers or super()._has_asked(peer)

    def _told(self) -> list[Want]:
        self._end(complete=True)
        value, best = self._best or (b"", None)
        if best is None:
            return []
        older = {peer_id for peer_id, (_, valid) in self._answers.items() if valid and valid.rank < best.rank}
        older |= self._stale.keys()
        repair = KadMessage(MessageType.PUT_VALUE, key=self._key, record=KadRecord(self._key, value))
        # Whoever is farther away than all who have it need not have it.
        target = self.search.target
        farthest = max((peer.key ^ target for peer, _ in self._answers.values()), default=-1)
        holders = [peer for peer in self._holders() if self.whole or peer.key ^ target <= farthest]
        return [(peer, repair) for peer in holders if peer.peer_id in older]

    def _radius(self) -> int | None:
        return None if self._answers else super()._radius()

    def _end(self, *, complete: bool) -> None:
        value, search = None if self._best is None else self._best[0], self.search
        answers = len(self._answers)
        self.outcome = Found(value, answers, self._rejected, search.hops, search.requests, complete)


class PutOperation(Operation):
    """Find the peers closest to a key, then send each of them ``store``."""

    __slots__ = ("_refused", "_store", "kept")

    def __init__(
        self, search: Search, around: Surroundings, deadline: float, *, find: KadMessage, store: KadMessage
    ) -> None:
        super().__init__(search, find, around, deadline)
        self._store = store
        self.kept: list[PeerId] = []
        """Who keeps it."""
        self._refused: list[tuple[PeerId, Refusal]] = []

    @property
    def enough(self) -> bool:
        """Enough keep it for now: one could be lying, and one is soon gone."""
        return len(self.kept) >= max(1, min(HOLDERS_MIN, len(self.kept) + len(self._refused)))

    @property
    def key(self) -> bytes:
        """The key of the record, or of what is provided."""
        return self._store.key

    def _take(self, arrived: Arrived, _at: datetime) -> bool:
        message, peer_id = arrived.message, arrived.peer.peer_id
        if not self._searching and message.type is self._store.type:
            if message.refusal == Refusal.NONE:
                self.kept.append(peer_id)
            else:
                self._refused.append((peer_id, _refusal(message.refusal)))
        return False

    def _searched(self) -> list[Want]:
        return self._tell(self._holders(), self._store)

    def _end(self, *, complete: bool) -> None:  # noqa: ARG002 -- who keeps it says how complete it is
        search = self.search
        self.outcome = Stored(tuple(self.kept), tuple(self._refused), search.hops, search.requests)


class FindProvidersOperation(Operation):
    """Peers that provide a key."""

    __slots__ = ("_asked", "_check", "_count", "_named", "_near", "_providers", "_quorum")

    def __init__(
        self,
        search: Search,
        around: Surroundings,
        deadline: float,
        *,
        key: bytes,
        count: int,
        quorum: int,
        local: Sequence[Peer],
        check: Callable[[KadMessage, datetime], Sequence[Peer]],
    ) -> None:
        super().__init__(
            search, KadMessage(MessageType.GET_PROVIDERS, key=key, sender=around.sender), around, deadline
        )
        self._count = count
        self._check = check
        self._providers = {peer.peer_id: peer for peer in local}
        self._asked: dict[PeerId, None] = {}
        self._named: dict[PeerId, int] = {}
        """How many named each of them: those whom most know come first."""
        self._near = 0
        """Peers close to the key that named some."""
        self._quorum = quorum

    def _take(self, arrived: Arrived, at: datetime) -> bool:
        if arrived.message.type is not MessageType.GET_PROVIDERS:
            return False
        self._asked[arrived.peer.peer_id] = None
        providers = self._check(arrived.message, at)
        for provider in providers:
            known = self._providers.get(provider.peer_id)
            if known is None or provider.replaces(known):
                self._providers[provider.peer_id] = provider
            self._named[provider.peer_id] = self._named.get(provider.peer_id, 0) + 1
        if providers and self._is_near(arrived.peer):
            self._near += 1
        # One who names twenty strangers must not end the search: nothing but others shows that they provide.
        return self._near >= self._quorum and len(self._providers) >= self._count

    def _aside(self, peer: Peer) -> list[Want]:
        return self._ask_aside(peer)

    def _searched(self) -> list[Want]:
        if not self._extended:
            return self._told()
        return self._tell([peer for peer in self._holders() if not self._has_asked(peer)], self._message)

    def _has_asked(self, peer: Peer) -> bool:
        return peer.peer_id in self._asked or super()._has_asked(peer)

    def _end(self, *, complete: bool) -> None:
        named = self._named
        ranked = sorted(self._providers.values(), key=lambda peer: -named.get(peer.peer_id, 0))
        providers = tuple(ranked[: self._count])
        self.outcome = Peers(providers, self.search.hops, self.search.requests, complete)


def _refusal(number: int) -> Refusal:
    """A newer peer may have reasons that we do not know."""
    try:
        return Refusal(number)
    except ValueError:
        return Refusal.INVALID
