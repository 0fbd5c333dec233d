"""To whom a message of another one goes: some of the mesh at once, the rest a moment later if they lack it.

In a mesh a message crosses most links in both directions: two peers have it from others and send it to each
other at the same time. So only the first of the mesh, in turn, get it at once; the rest get it after a
moment, unless they have sent it themselves by then or said IDONTWANT. The moment follows what is observed:
twice the median of the time from a message's first copy to other copies, or to IDONTWANT, times a factor by
lot, so that two peers do not wait equally long for each other. Large messages take longer and have a moment
of their own.

Source:   libp2p specs, gossipsub v1.0, "Message Processing" (to whom); v1.1, "Explicit Peering Agreements".
Differs:  the moment is ours; the specification does not say in which order or how soon.
          docs/protocols/pubsub.md shows what it saves. ``eager_peers`` and ``eager_peers_large`` at D_high do
          as others do.
Bounds:   MOMENT_MIN_S to MOMENT_MAX_S; LATER_MAX messages wait for theirs, more go to all at once.
Trust:    a peer that sends late copies can lengthen the moment up to its bound.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from kontinuum.gossip.outbox import FORWARD_AGE_MAX_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.gossip.entry import Entry
    from kontinuum.gossip.outbox import Item
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.topics import Topic

MOMENT_FIRST_S = 0.02
"""The moment before anything was observed, in seconds. Our choice."""

MOMENT_MIN_S = 0.002
"""Shortest moment. Our choice: some trips on one machine."""

MOMENT_MAX_S = 0.2
"""Longest moment, without the factor. Our choice: a trip around half of the world."""

MOMENT_MEDIANS = 2.0
"""How many times the median a moment is. Our choice: measured, docs/protocols/pubsub.md."""

MOMENT_FACTOR_MAX = 2.0
"""The factor by lot is from 1 to this, another one in each heartbeat. Our choice."""

MEDIAN_STEP_UP, MEDIAN_STEP_DOWN = 1.04, 1 / 1.06
"""How far one observation moves the estimated median. Our choice: some 40 of them for ten times as much. Down
goes faster, since late copies are in part our own doing."""

LATER_MAX = 16_384
"""Messages of each kind that wait for their moment. Our choice: 0.2 s at 80,000 messages per second."""


class _Wave:
    """The second wave of messages of one kind."""

    def __init__(self) -> None:
        self.later: deque[tuple[float, Entry, Item, list[Peer]]] = deque()
        self.moment_s = MOMENT_FIRST_S

    def observe(self, age_s: float) -> None:
        late = age_s * MOMENT_MEDIANS > self.moment_s
        moment_s = self.moment_s * (MEDIAN_STEP_UP if late else MEDIAN_STEP_DOWN)
        self.moment_s = min(MOMENT_MAX_S, max(MOMENT_MIN_S, moment_s))


class Forwarding:
    """Sends messages of others on."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._small, self._large = _Wave(), _Wave()
        self._factor = 1.0
        self._turn = 0

    def forward(self, topic: Topic, entry: Entry, now: float) -> None:
        """Send a valid message on."""
        params = self._parts.params
        item = (now + FORWARD_AGE_MAX_S, entry.field, entry.message_id)
        mesh = self._lacking(topic.mesh or (), entry)
        is_large = len(entry.field) >= params.idontwant_threshold_bytes
        eager = params.eager_peers_large if is_large else params.eager_peers
        wave = self._large if is_large else self._small
        if len(mesh) > eager and len(wave.later) < LATER_MAX:
            start = self._turn % len(mesh)
            self._turn += 1
            mesh = mesh[start:] + mesh[:start]
            wave.later.append((now + wave.moment_s * self._factor, entry, item, mesh[eager:]))
            del mesh[eager:]
        self._send(mesh, item)
        if topic.always:
            others = self._lacking(topic.always, entry)
            self._send([peer for peer in others if self._parts.may_publish_to(peer)], item)

    def observe(self, entry: Entry, age_s: float) -> None:
        """Another peer turned out to have a message so many seconds after it was valid here."""
        is_large = len(entry.field) >= self._parts.params.idontwant_threshold_bytes
        (self._large if is_large else self._small).observe(age_s)

    def heartbeat(self) -> None:
        """Draw another factor."""
        self._factor = self._parts.rng.uniform(1.0, MOMENT_FACTOR_MAX)

    def handle_timeout(self, now: float) -> None:
        """Send what has waited for its moment to those who lack it still."""
        for wave in (self._small, self._large):
            later = wave.later
            while later and later[0][0] <= now:
                _, entry, item, peers = later.popleft()
                lacking = self._lacking(peers, entry)
                self._parts.counters.forwards_saved += len(peers) - len(lacking)
                self._send(lacking, item)

    def next_deadline(self) -> float:
        """When something has waited for long enough; infinity if nothing waits."""
        return min((wave.later[0][0] for wave in (self._small, self._large) if wave.later), default=inf)

    def _lacking(self, peers: Iterable[Peer], entry: Entry) -> list[Peer]:
        """Those who may lack a message, as far as we know."""
        message_id, source, others, author = entry.message_id, entry.source, entry.others, entry.author
        return [
            peer
            for peer in peers
            if peer is not source
            and message_id not in peer.outbox.dont_want
            and peer.peer_id != author
            and (not others or peer not in others)
        ]

    def _send(self, peers: list[Peer], item: Item) -> None:
        size, marked = len(item[1]), self._parts.marked
        for peer in peers:
            box = peer.outbox
            box.forward.append(item)
            box.bytes += size
            if box.bytes > box.bytes_max:
                box.shrink()
            if not box.is_marked:
                box.is_marked = True
                marked.append(peer)
        self._parts.counters.messages_queued += len(peers)
