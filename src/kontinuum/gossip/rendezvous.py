"""When peers of a topic are looked for, and what becomes of those that are found.

The router says which topics it is in and of which it knows too few peers; the directory, or whatever the
shell has, answers with candidates.

Source:   our own; libp2p specs, gossipsub v1.0, "Ambient Peer Discovery", leaves it to others.
Bounds:   FINDS_MAX searches begin in a heartbeat; those of one topic lie FIND_MIN_S to FIND_MAX_S apart.
Trust:    candidates are hostile input; whoever connects pins their identity.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.gossip.events import Advertise, FindPeers, Withdraw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.gossip.events import Candidates
    from kontinuum.gossip.exchange import PeerExchange
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.topics import Topic

FIND_MIN_S = 1.0
"""Seconds from the first search for a topic's peers to the second. Our choice: who starts together finds each
other within seconds. It doubles each time."""

FIND_MAX_S = 60.0
"""Longest time between two searches. Our choice."""

FINDS_MAX = 16
"""Searches begun in one heartbeat; other topics have their turn later. Our choice: each is a DHT lookup."""


class _Search:
    __slots__ = ("interval_s", "next_at")

    def __init__(self, now: float) -> None:
        self.next_at = now
        self.interval_s = FIND_MIN_S


class Rendezvous:
    """Looks for peers of topics."""

    def __init__(self, parts: Parts, exchange: PeerExchange) -> None:
        self._parts = parts
        self._exchange = exchange
        self._searches: dict[str, _Search] = {}
        self._begun = 0
        """Searches begun in this heartbeat."""

    def joined(self, topic: Topic, now: float) -> None:
        """We are in a topic."""
        self._parts.out.append(Advertise(topic.name))
        self.needed(topic, now)

    def left(self, topic: Topic) -> None:
        """We are not in it any more."""
        self._parts.out.append(Withdraw(topic.name))

    def needed(self, topic: Topic, now: float) -> None:
        """We publish to a topic or are in it: look for its peers at once if there are too few."""
        if topic.name not in self._searches and self._lacks(topic):
            self._searches[topic.name] = _Search(now)
            self._find_due([topic], now)

    def found(self, event: Candidates) -> None:
        """The rendezvous names peers."""
        topic = self._parts.topics.by_name.get(event.topic)
        if topic is not None and topic.is_ours and self._lacks(topic):
            chosen = self._parts.rng.sample(event.peers, 2 * self._parts.params.D)
            self._exchange.connect(event.topic, chosen)

    def heartbeat(self, ours: Iterable[Topic], now: float) -> None:
        """Look again for peers of those topics that still have too few.

        Args:
            ours: The topics that we are in or publish to.
            now: The time.
        """
        self._begun = 0
        lacking = [topic for topic in ours if self._lacks(topic)]
        known = self._searches
        self._searches = {topic.name: known.get(topic.name) or _Search(now) for topic in lacking}
        self._find_due(lacking, now)

    def _find_due(self, topics: Iterable[Topic], now: float) -> None:
        """Begin the searches that are due, those that have waited longest first."""
        due = [topic for topic in topics if self._searches[topic.name].next_at <= now]
        due.sort(key=lambda topic: self._searches[topic.name].next_at)
        for topic in due[: FINDS_MAX - self._begun]:
            self._begun += 1
            search = self._searches[topic.name]
            search.next_at = now + search.interval_s
            search.interval_s = min(2 * search.interval_s, FIND_MAX_S)
            self._parts.out.append(FindPeers(topic.name))

    def _lacks(self, topic: Topic) -> bool:
        """Peers whose score is negative do not count: some of them could keep us from finding others."""
        missing = self._parts.params.D_low
        for peer in topic.peers:
            if missing <= 0:
                break
            missing -= self._parts.score(peer) >= 0
        return missing > 0
