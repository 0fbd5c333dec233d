"""What all operations of a node share: a small machine around one search.

It says whom to send what, takes the answers, and sets its ``outcome`` when it is over. What is asked, kept of
answers and done afterwards say the kinds of operations (``operations``).

Differs:  a neighbourhood that is too dense to be true is searched and stored to beyond k (``density``), and
          who is found there is asked at once what the search is for.
Bounds:   one search; each peer is told something once besides; HOLDERS_MAX holders.
Trust:    answers are hostile input; peers were checked by the parent. Whatever a peer answers to what, each
          of its answers counts once, so that an operation ends.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.dht.responder import PLACE_BYTES
from kontinuum.messages.kad import KadMessage, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from kontinuum.dht.events import Outcome
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records import Validators
    from kontinuum.dht.search import Search
    from kontinuum.identity import PeerId

HOLDERS_MAX = 64
"""Peers that a record is stored at when its neighbourhood is crowded beyond belief. Our choice: with a
hundred ids ground next to a key, the honest peers behind them still get it."""

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
