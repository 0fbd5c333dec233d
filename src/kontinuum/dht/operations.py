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
from kontinuum.dht.responder import PLACE_BYTES
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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

HOLDERS_MIN = 3
"""Peers that must keep a record before it counts as published, unless there are fewer. Our choice."""

Want = tuple["Peer", KadMessage]
"""Send this peer that message."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What operations need to know about the node they run in."""

    k: int
    validators: Validators
    density: Callable[[KadKey, Sequence[Peer]], int | None]
    """Whether the peers closest to a target are too dense to be true, and up to which distance to go then."""
    near: Callable[[int], int | None]
    """The distance within which so many peers are the closest to a key, if the network's size is known."""
    validate: bool
    newest: bool
    """The newest of several counts, not the first."""
    sender: bytes
    """Our contact, which requests carry; empty for a client, which nobody shall ask."""


class Arrived:
    """An answer to a request of ours, its contacts verified."""

    __slots__ = ("closer", "ip", "message", "peer", "rtts_s")

    def __init__(
        self,
        peer: Peer,
        ip: str | None,
        message: KadMessage,
        closer: Sequence[Peer],
        rtts_s: Mapping[bytes, float] | None = None,
    ) -> None:
        self.peer = peer
        self.ip = ip
        """Where it came from, if that is known."""
        self.message = message
        self.closer = closer
        """The peers that it names."""
        self.rtts_s = rtts_s
        """What round trips to them are to be expected, by their wire ids (``rtt_hint``)."""


class Operation:
    """One search and what it is for; subclasses say what to ask, what to keep of answers, what comes next.

    Args:
        search: The lookup, not started.
        message: What each peer is asked.
        around: The node it runs in.
        deadline: When it is over at the latest, monotonic seconds.
    """

    __slots__ = (
        "_around",
        "_deadline",
        "_extended",
        "_message",
        "_searching",
        "_told_to",
        "_waiting",
        "outcome",
        "search",
        "whole",
    )

    def __init__(self, search: Search, message: KadMessage, around: Surroundings, deadline: float) -> None:
        self.search = search
        self.outcome: Outcome | None = None
        self.whole = False
        """The search came to its end by itself."""
        self._message = message
        self._around = around
        self._deadline = deadline
        self._extended = False
        self._searching = True
        self._told_to: dict[PeerId, bool] = {}
        """Who was told something, once, after the search or beside it; whether it is still to answer."""
        self._waiting = 0
        """How many of them are."""

    def start(self, now: float) -> list[Want]:
        """Whom to ask first."""
        return self._go_on(self.search.start(now))

    def answered(self, arrived: Arrived, now: float, at: datetime) -> list[Want]:
        """A peer answered. ``now`` is for the search, ``at`` for the validity of records."""
        if self.outcome is not None:
            return []
        peer_id = arrived.peer.peer_id
        told = self._ends_what_was_told(peer_id, searched=arrived.message.type is MessageType.FIND_NODE)
        asked: Sequence[Peer] = ()
        if not told:
            if not self._searching:
                return []
            asked = self.search.answered(peer_id, arrived.closer, now, arrived.ip, rtts_s=arrived.rtts_s)
        if self._take(arrived, at):
            self.search.finish()
            return self._told()
        if self._searching:
            return self._aside(arrived.peer) + self._go_on(asked)
        return [] if self._waiting else self._told()

    def failed(self, peer: Peer, now: float) -> list[Want]:
        """``peer`` did not answer."""
        if self.outcome is not None:
            return []
        told = self._ends_what_was_told(peer.peer_id, searched=True)
        if self._searching:
            return [] if told else self._go_on(self.search.failed(peer.peer_id, now))
        return [] if self._waiting else self._told()

    def handle_timeout(self, now: float) -> list[Want]:
        """Take the time."""
        if self.outcome is not None:
            return []
        if now >= self._deadline:
            self._end(complete=False)
            return []
        return self._go_on(self.search.handle_timeout(now)) if self._searching else []

    def next_deadline(self) -> float:
        """When to be called again."""
        due = self.search.next_deadline() if self._searching else None
        return self._deadline if due is None else min(due, self._deadline)

    def _ends_what_was_told(self, peer_id: PeerId, *, searched: bool) -> bool:
        """Whether it is to what a peer was told that it answers, or fails to; it is waited for no more then.

        During the search it may owe us two answers; ``searched``: this one could be that to the search. Each
        is counted once, whatever a peer answers to what.
        """
        if not self._told_to.get(peer_id):
            return False
        if searched and self._searching and self.search.awaits(peer_id):
            return False
        self._told_to[peer_id] = False
        self._waiting -= 1
        return True

    def _go_on(self, asked: Sequence[Peer]) -> list[Want]:
        if self.search.done and not asked:
            if not self._extended and (radius := self._radius()) is not None:
                self._extended = True
                asked = self.search.extend(radius)
            if self.search.done and not asked:
                self.whole = True
                self._searching = False
                return self._searched()
        message = self._message
        if self._extended:
            # Whoever knows the crowd would name nobody else if it were asked for the target itself.
            place = self.search.place.to_bytes(PLACE_BYTES)
            message = KadMessage(MessageType.FIND_NODE, key=place, sender=self._around.sender)
        return [(peer, message) for peer in asked]

    def _tell(self, peers: Sequence[Peer], message: KadMessage) -> list[Want]:
        """After the search: send each of them ``message``; :meth:`_told` follows."""
        wants = [self._tell_one(peer, message) for peer in peers]
        return wants if self._waiting else self._told()

    def _tell_one(self, peer: Peer, message: KadMessage) -> Want:
        self._told_to[peer.peer_id] = True
        self._waiting += 1
        return peer, message

    def _aside(self, _peer: Peer) -> list[Want]:
        """A peer has answered the search: is there something else to ask it meanwhile?"""
        return []

    def _ask_aside(self, peer: Peer) -> list[Want]:
        """In an extended search: ask who is near the target what the search is for, before its end.

        It takes seconds to find all who are in the region, and the first few may hold the record.
        """
        if not self._extended or not self.search.is_within(peer) or self._has_asked(peer):
            return []
        return [self._tell_one(peer, self._message)]

    def _has_asked(self, peer: Peer) -> bool:
        """It was asked what the search is for."""
        return peer.peer_id in self._told_to

    def _holders(self) -> list[Peer]:
        """Who should hold a record of the target."""
        search = self.search
        return search.outermost(HOLDERS_MAX) if self._extended else search.closest(self._around.k)

    def _is_near(self, peer: Peer) -> bool:
        """It is one of the closest to the target, as far as one can know: those on the way do not count.

        Otherwise a few liars whom the search meets first would end it before any holder was asked.
        """
        radius = self._around.near(self._around.k)
        if radius is not None:
            return peer.key ^ self.search.target <= radius
        return self.search.is_near(peer.peer_id)

    def _radius(self) -> int | None:
        """How far to search on, if what was found is too dense to be true."""
        return self._around.density(self.search.target, self.search.closest(self._around.k))

    def _take(self, _arrived: Arrived, _at: datetime) -> bool:
        """Keep what the answer brought; says whether that is enough."""
        return False

    def _searched(self) -> list[Want]:
        """The search is over: what comes next?"""
        return self._told()

    def _told(self) -> list[Want]:
        """All is done."""
        self._end(complete=True)
        return []

    def _end(self, *, complete: bool) -> None:
        """Set the outcome."""
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
