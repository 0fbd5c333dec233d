"""Time, and the connections between hosts: what one end says reaches the other later, in order.

A partition holds messages back; after ``idle_s`` the connection is over at both ends. A host that crashes is
silent; its peers find out after ``idle_s``, or when it comes back. A dial sends again after 1 s (RFC 9002,
6.2.2), and begins anew after 3 s, as a node does.

Pure:   no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from kontinuum.clusters import events as ev
from kontinuum.sim.chance import material, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.sim.clusters.host import ClusterHost
    from kontinuum.sim.clusters.scenario import ClusterScenario

DIAL_TRIES_S = (0.0, 1.0)
"""When a dial sends its first packet. RFC 9002, section 6.2.2; the third time a node has given up."""

DIAL_S = 3.0
"""Seconds until a dial is given up, as ``kontinuum.node.fellows``."""

TOPIC_HOPS = (1, 2, 3)
"""Hops of a message on a topic, one of them by chance. Our choice: a mesh of some hundred nodes."""


class Link:
    """A connection. End 0 dialled."""

    __slots__ = (
        "closed_at",
        "ends",
        "exporter",
        "free_at",
        "held",
        "keys",
        "numbers",
        "on",
        "opened_at",
        "streams",
    )

    def __init__(
        self, ends: tuple[ClusterHost, ClusterHost], number: int, exporter: bytes, now: float
    ) -> None:
        self.ends = ends
        self.numbers = (number, number + 1)
        self.keys = [ends[0].peer_id, ends[1].peer_id]
        """What each end has proven last."""
        self.exporter = exporter
        self.opened_at = now
        self.closed_at: float | None = None
        self.on = [0, 0]
        """The stream that each end is on; 0 for none. What comes on another one is lost."""
        self.streams = 0
        self.free_at = [now, now]
        self.held: list[tuple[int, Callable[[], None]]] = []

    def side(self, number: int) -> int:
        """Which end calls the connection so."""
        return self.numbers.index(number)


class ClusterWorld:
    """Carries messages between hosts, and lets time go by.

    Args:
        scenario: How long things take.
        seed: From which all chance follows.
        tell: Given each event as text (host, line).
    """

    def __init__(
        self, scenario: ClusterScenario, seed: int, *, tell: Callable[[int, str], object] | None = None
    ) -> None:
        self.now = 0.0
        self.events = 0
        self.messages = 0
        self.scenario = scenario
        self.hosts: list[ClusterHost] = []
        self.links: dict[int, Link] = {}
        """Open ones, by either end's number."""
        self._seed = seed
        self._tell = tell
        self._rng = stream(seed, "network")
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._numbers = 1
        self._hash = sha256()

    def digest(self) -> str:
        """SHA-256 of everything that happened."""
        return self._hash.hexdigest()

    def note(self, host: ClusterHost, line: str) -> None:
        """Something happened to a host."""
        self.events += 1
        text = f"{self.now:.6f} {host.index} {line}\n"
        self._hash.update(text.encode())
        if self._tell is not None:
            self._tell(host.index, f"{self.now:.6f} {line}")

    # --- time ---

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Do something then."""
        self._count += 1
        heappush(self._queue, (max(time, self.now), self._count, call))

    def run(self, until_s: float) -> None:
        """Let time go by."""
        while self._queue and self._queue[0][0] <= until_s:
            self.now, _, call = heappop(self._queue)
            call()
        self.now = until_s

    def _delay(self) -> float:
        share = self.scenario.jitter
        return self._rng.uniform(1 - share, 1 + share) * self.scenario.rtt_ms / 2000.0

    # --- connections ---

    def reach(self, one: ClusterHost, other: ClusterHost) -> bool:
        """Packets go from one to the other."""
        return one.online and other.online and one.island == other.island

    def dial(self, host: ClusterHost, other: ClusterHost, done: Callable[[], None]) -> None:
        """Try to connect; ``done`` is called when that worked or was given up."""
        began, life = self.now, host.incarnation

        def attempt(tries: int) -> None:
            if host.incarnation != life or not host.online:
                return
            if self.reach(host, other):
                self.at(self.now + 2 * self._delay(), partial(connected, other.incarnation))
            elif tries + 1 < len(DIAL_TRIES_S):
                self.at(began + DIAL_TRIES_S[tries + 1], partial(attempt, tries + 1))
            else:
                self.at(began + DIAL_S, done)

        def connected(other_life: int) -> None:
            if host.incarnation == life and other.incarnation == other_life and self.reach(host, other):
                self._connect(host, other)
            done()

        attempt(0)

    def _connect(self, host: ClusterHost, other: ClusterHost) -> None:
        number = self._numbers
        self._numbers += 2
        link = Link((host, other), number, material(self._seed, "exporter", number), self.now)
        self.links |= dict.fromkeys(link.numbers, link)
        self.travel(link, 0, partial(other.connected, link, 1))  # Before anything that is said.
        host.connected(link, 0)

    def travel(self, link: Link, side: int, act: Callable[[], None]) -> None:
        """Something goes from one end to the other, behind what went before."""
        sender, receiver = link.ends[side], link.ends[1 - side]
        if sender.island != receiver.island or link.held:
            link.held.append((side, act))
            return
        link.free_at[side] = max(link.free_at[side], self.now + self._delay())

        def arrive() -> None:
            if link.closed_at is not None:
                return
            if sender.island == receiver.island:
                act()
            else:
                link.held.append((side, act))

        self.at(link.free_at[side], arrive)

    def close(self, link: Link, side: int) -> None:
        """One end closes a connection; the other hears of it, if it can."""
        self._over(link)
        other = link.ends[1 - side]
        link.ends[side].closed(link, side)
        self.at(self.now + self._delay(), partial(other.closed, link, 1 - side))

    def lose(self, link: Link) -> None:
        """A connection is over without a word: both ends find out."""
        if link.closed_at is None:
            self._over(link)
            for side in (0, 1):
                link.ends[side].closed(link, side)

    def _over(self, link: Link) -> None:
        if link.closed_at is None:
            link.closed_at = self.now
            for number in link.numbers:
                self.links.pop(number, None)

    def send(self, link: Link, side: int, data: bytes) -> None:
        """A message on the stream of one end."""
        on, receiver, number = link.on[side], link.ends[1 - side], link.numbers[1 - side]

        def arrive() -> None:
            if link.on[1 - side] == on != 0:
                self.messages += 1
                receiver.event(ev.Received(number, data))

        self.travel(link, side, arrive)

    def open_stream(self, link: Link, side: int) -> None:
        """One end opens a stream."""
        link.streams += 1
        link.on[side] = opened = link.streams
        host, other = link.ends[side], link.ends[1 - side]

        def arrive() -> None:
            link.on[1 - side] = opened
            other.event(ev.StreamReady(link.numbers[1 - side]))

        self.travel(link, side, arrive)
        self.at(self.now, partial(host.event, ev.StreamReady(link.numbers[side])))

    def end_stream(self, link: Link, side: int) -> None:
        """One end ends it."""
        ended, link.on[side] = link.on[side], 0
        other = link.ends[1 - side]

        def arrive() -> None:
            if link.on[1 - side] == ended != 0:
                link.on[1 - side] = 0
                other.event(ev.StreamEnded(link.numbers[1 - side]))

        self.travel(link, side, arrive)

    def publish(self, host: ClusterHost, topic: str, data: bytes) -> None:
        """A message on a topic reaches whoever follows it on the same side of a partition."""
        for other in self.hosts:
            if other is not host and topic in other.topics and self.reach(host, other):
                time = self.now + self._delay() * self._rng.choice(TOPIC_HOPS)
                self.at(time, partial(self._heard, host.island, other, ev.Heard(topic, data)))

    def _heard(self, island: int, host: ClusterHost, event: ev.Heard) -> None:
        if host.island == island:
            host.event(event)

    # --- partitions ---

    def split(self, island: list[ClusterHost]) -> None:
        """These cannot reach the others."""
        for host in island:
            host.island = 1
        for link in list(dict.fromkeys(self.links.values())):
            if link.ends[0].island != link.ends[1].island:
                self.at(self.now + self.scenario.idle_s, partial(self._idle, link))

    def _idle(self, link: Link) -> None:
        if link.ends[0].island != link.ends[1].island:
            self.lose(link)

    def heal(self) -> None:
        """They can again; what was held back is sent again."""
        for host in self.hosts:
            host.island = 0
        for link in list(dict.fromkeys(self.links.values())):
            held, link.held = link.held, []
            for side, act in held:
                self.travel(link, side, act)

    def crash(self, host: ClusterHost) -> None:
        """A host is gone without a word; its peers find out later."""
        for link in list(dict.fromkeys(self.links.values())):
            if host in link.ends:
                self.at(self.now + self.scenario.idle_s, partial(self.lose, link))
