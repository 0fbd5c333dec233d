"""What a node does for its own program: find peers, store and fetch records, provide and find providers.

Each operation is a small machine around one search: it says whom to send what, takes the answers, and sets
its ``outcome`` when it is over.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3; Baumgart and Mies, "S/Kademlia", ICPADS
        2007, section 4.4 (disjoint paths); libp2p specs, kad-dht/README.md, "Entity correction" (repair).
Differs:  a record counts once ``quorum`` peers gave a valid one, on at least two paths where there are two;
          a neighbourhood that is too dense to be true is searched and stored to beyond k (``density``).
Bounds:   one search; a record goes to at most HOLDERS_MAX peers.
Trust:    answers are hostile input: peers were checked by the parent, records are validated here.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.dht.events import Found, Peers, Refusal, Stored
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from kontinuum.dht.events import Outcome
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records import Valid, Validators
    from kontinuum.dht.search import Search
    from kontinuum.identity import PeerId

HOLDERS_MAX = 64
"""Peers that a record is stored at when its neighbourhood is crowded beyond belief. Our choice: with a
hundred
ids ground next to a key, the honest peers behind them still get it."""

Want = tuple["Peer", KadMessage]
"""Send this peer that message."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What operations need to know about the node they run in."""

    k: int
    validators: Validators
    density: Callable[[KadKey, Sequence[Peer]], int | None]
    """Whether the peers closest to a target are too dense to be true, and up to which distance to go then."""
    validate: bool
    newest: bool
    """The newest of several counts, not the first."""
    sender: bytes
    """Our contact, which requests carry; empty for a client, which nobody shall ask."""


class Arrived:
    """An answer to a request of ours, its contacts verified."""

    __slots__ = ("closer", "ip", "message", "peer")

    def __init__(self, peer: Peer, ip: str | None, message: KadMessage, closer: Sequence[Peer]) -> None:
        self.peer = peer
        self.ip = ip
        """Where it came from, if that is known."""
        self.message = message
        self.closer = closer
        """The peers that it names."""


class Operation:
    """One search and what it is for; subclasses say what to ask, what to keep of answers, what comes next.

    Args:
        search: The lookup, not started.
        around: The node it runs in.
        deadline: When it is over at the latest, monotonic seconds.
    """

    __slots__ = ("_around", "_deadline", "_extended", "_message", "outcome", "search", "whole")

    def __init__(self, search: Search, message: KadMessage, around: Surroundings, deadline: float) -> None:
        self.search = search
        self.outcome: Outcome | None = None
        self.whole = False
        """The search came to its end by itself."""
        self._message = message
        self._around = around
        self._deadline = deadline
        self._extended = False

    def start(self, now: float) -> list[Want]:
        """Whom to ask first."""
        return self._go_on(self.search.start(now))

    def answered(self, arrived: Arrived, now: float, at: datetime) -> list[Want]:
        """A peer answered. ``now`` is for the search, ``at`` for the validity of records."""
        if self.outcome is not None:
            return []
        peer = arrived.peer
        asked = self.search.answered(peer.peer_id, arrived.closer, now, arrived.ip)
        if self._take(peer, arrived.message, at):
            self.search.finish()
            return self._searched()
        return self._go_on(asked)

    def failed(self, peer: Peer, now: float) -> list[Want]:
        """``peer`` did not answer."""
        return [] if self.outcome is not None else self._go_on(self.search.failed(peer.peer_id, now))

    def handle_timeout(self, now: float) -> list[Want]:
        """Take the time."""
        if self.outcome is not None:
            return []
        if now >= self._deadline:
            self._give_up()
            return []
        return self._go_on(self.search.handle_timeout(now))

    def next_deadline(self) -> float:
        """When to be called again."""
        due = self.search.next_deadline()
        return self._deadline if due is None else min(due, self._deadline)

    def _go_on(self, asked: Sequence[Peer]) -> list[Want]:
        if self.search.done and not asked:
            if not self._extended and (radius := self._radius()) is not None:
                self._extended = True
                asked = self.search.extend(radius)
            if self.search.done and not asked:
                self.whole = True
                return self._searched()
        return [(peer, self._message) for peer in asked]

    def _radius(self) -> int | None:
        """How far to search on, if what was found is too dense to be true."""
        return self._around.density(self.search.target, self.search.closest(self._around.k))

    def _take(self, _peer: Peer, _message: KadMessage, _at: datetime) -> bool:
        """Keep what the answer brought; says whether that is enough."""
        return False

    def _searched(self) -> list[Want]:
        """The search is over."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """The time is over: set the outcome to what there is."""
        raise NotImplementedError


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

    def _searched(self) -> list[Want]:
        self._end(complete=True)
        return []

    def _give_up(self) -> None:
        self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        search = self.search
        self.outcome = Peers(tuple(search.closest(self._count)), search.hops, search.requests, complete)


class GetOperation(Operation):
    """The newest valid record of a key; peers that hold none or an older one get it on the way."""

    __slots__ = ("_best", "_key", "_paths", "_quorum", "_rejected", "_stale", "_valid")

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
        super().__init__(
            search, KadMessage(MessageType.GET_VALUE, key=key, sender=around.sender), around, deadline
        )
        self._key = key
        self._quorum = quorum
        self._paths = min(paths, 2)
        self._best = local
        self._valid: dict[PeerId, tuple[bytes, Valid | None]] = {}
        self._stale: list[Peer] = []
        self._rejected = 0

    def _take(self, peer: Peer, message: KadMessage, at: datetime) -> bool:
        record = message.record
        if record is None or record.key != self._key:
            self._stale.append(peer)
            return False
        valid: Valid | None = None
        if self._around.validate:
            try:
                valid = self._around.validators.validate(self._key, record.value, at)
            except PeerError:
                self._rejected += 1
                self._stale.append(peer)
                return False
        self._valid[peer.peer_id] = (record.value, valid)
        best = None if self._best is None else self._best[1]
        if self._best is None or (valid is not None and best is not None and valid.rank > best.rank):
            self._best = (record.value, valid)
        if not self._around.newest or valid is None or not valid.mutable:
            return True
        paths = {self.search.trace(peer_id)[1] for peer_id in self._valid}
        return len(self._valid) >= self._quorum and len(paths) >= self._paths

    def _searched(self) -> list[Want]:
        self._end(complete=True)
        value, best = self._best or (b"", None)
        if best is None:
            return []
        repair = KadMessage(MessageType.PUT_VALUE, key=self._key, record=KadRecord(self._key, value))
        older = {peer_id for peer_id, (_, valid) in self._valid.items() if valid and valid.rank < best.rank}
        closest = self.search.closest(self._around.k)
        stale = {peer.peer_id for peer in self._stale}
        return [(peer, repair) for peer in closest if peer.peer_id in older or peer.peer_id in stale]

    def _give_up(self) -> None:
        self._end(complete=False)

    def _radius(self) -> int | None:
        return None if self._valid else super()._radius()

    def _end(self, *, complete: bool) -> None:
        value = None if self._best is None else self._best[0]
        search = self.search
        self.outcome = Found(value, len(self._valid), self._rejected, search.hops, search.requests, complete)


class PutOperation(Operation):
    """Find the peers closest to a key, then send each of them ``store``."""

    __slots__ = ("_holders", "_refused", "_store", "_waiting")

    def __init__(
        self, search: Search, around: Surroundings, deadline: float, *, find: KadMessage, store: KadMessage
    ) -> None:
        super().__init__(search, find, around, deadline)
        self._store = store
        self._waiting: dict[PeerId, None] | None = None
        self._holders: list[PeerId] = []
        self._refused: list[tuple[PeerId, Refusal]] = []

    def answered(self, arrived: Arrived, now: float, at: datetime) -> list[Want]:
        """As Operation; answers to what was stored end it."""
        if self._waiting is None:
            return super().answered(arrived, now, at)
        peer, message = arrived.peer, arrived.message
        if message.type is self._store.type and peer.peer_id in self._waiting:
            del self._waiting[peer.peer_id]
            if message.refusal == Refusal.NONE:
                self._holders.append(peer.peer_id)
            else:
                self._refused.append((peer.peer_id, _refusal(message.refusal)))
            self._end_when_all()
        return []

    def failed(self, peer: Peer, now: float) -> list[Want]:
        """As Operation; a peer that did not take it is none of the holders."""
        if self._waiting is None:
            return super().failed(peer, now)
        if self._waiting.pop(peer.peer_id, self) is None:
            self._end_when_all()
        return []

    def handle_timeout(self, now: float) -> list[Want]:
        """As Operation; while storing, only the deadline counts."""
        if self._waiting is None or now >= self._deadline:
            return super().handle_timeout(now)
        return []

    def next_deadline(self) -> float:
        """As Operation."""
        return super().next_deadline() if self._waiting is None else self._deadline

    def _searched(self) -> list[Want]:
        around = self._around
        holders = self.search.closest(HOLDERS_MAX if self._extended else around.k)
        self._waiting = {peer.peer_id: None for peer in holders}
        self._end_when_all()
        return [(peer, self._store) for peer in holders]

    def _give_up(self) -> None:
        search = self.search
        self.outcome = Stored(tuple(self._holders), tuple(self._refused), search.hops, search.requests)

    def _end_when_all(self) -> None:
        if not self._waiting and self.outcome is None:
            self._give_up()


class FindProvidersOperation(Operation):
    """Peers that provide a key."""

    __slots__ = ("_check", "_count", "_providers")

    def __init__(
        self,
        search: Search,
        around: Surroundings,
        deadline: float,
        *,
        key: bytes,
        count: int,
        local: Sequence[Peer],
        check: Callable[[KadMessage, datetime], Sequence[Peer]],
    ) -> None:
        super().__init__(
            search, KadMessage(MessageType.GET_PROVIDERS, key=key, sender=around.sender), around, deadline
        )
        self._count = count
        self._check = check
        self._providers = {peer.peer_id: peer for peer in local}

    def _take(self, _peer: Peer, message: KadMessage, at: datetime) -> bool:
        for provider in self._check(message, at):
            known = self._providers.get(provider.peer_id)
            if known is None or provider.replaces(known):
                self._providers[provider.peer_id] = provider
        return len(self._providers) >= self._count

    def _searched(self) -> list[Want]:
        self._end(complete=True)
        return []

    def _give_up(self) -> None:
        self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        providers = tuple(self._providers.values())[: self._count]
        self.outcome = Peers(providers, self.search.hops, self.search.requests, complete)


def _refusal(number: int) -> Refusal:
    """A newer peer may have reasons that we do not know."""
    try:
        return Refusal(number)
    except ValueError:
        return Refusal.INVALID
