"""How the subscribers of a topic find each other: through provider records of the topic in the DHT.

Whoever is in a topic provides the topic's key and asks who else does, when it has too few peers there; peers
that it finds, or that others name, are connected to. What cannot be done while the node is still alone is
done as soon as it has joined its network.

Source: docs/protocols/topics.md, "Rendezvous". The key has the hash under which libp2p's programs advertise a
        topic (libp2p specs, discovery/; go-libp2p-pubsub discovery.go, ``floodsub:`` and the topic).
Bounds: SEARCHES_MAX searches and announcements at once, DIALS_MAX dials, CONNECTS_MAX of one answer.
Trust:  anybody may say that it is in a topic; such a peer gets a connection, and the router's score says what
        it is worth. A contact was verified by the DHT.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger
from kontinuum.dht.events import State
from kontinuum.dht.records import sha256_key
from kontinuum.gossip import events as ev

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from kontinuum.base.entropy import Rng
    from kontinuum.identity import PeerId
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.neighbours import Neighbours

FIND_COUNT = 20
"""Peers that one search looks for. Our choice: three times the mesh, as some will not answer."""

CONNECTS_MAX = 6
"""Dials for one answer to what the router wants. gossipsub v1.0, D: so many are missing at most."""

DIALS_MAX = 64
"""Dials at once, of all topics. Our choice; what the router wants beyond it is dropped, and wanted again."""

SEARCHES_MAX = 32
"""Searches and announcements at once, of all topics. Our choice: a node that joins 10,000 topics does not
flood its network; the others wait for their turn."""

_log = RoomLogger("gossip")


def topic_key(topic: str) -> bytes:
    """The key that the subscribers of ``topic`` provide."""
    return sha256_key(b"floodsub:" + topic.encode())


class Rendezvous:
    """Makes the subscribers of a topic meet. Told by the router what it lacks.

    Args:
        local: Who we are.
        neighbours: The node's connections and known peers.
        rng: Chance for choices that are no secret.
        reach: Connects to a peer; raises a KontinuumError.
        found: Told of peers that were found for a topic.
    """

    def __init__(
        self,
        local: PeerId,
        neighbours: Neighbours,
        rng: Rng,
        *,
        reach: Callable[[PeerId], Awaitable[object]],
        found: Callable[[ev.Candidates], None],
    ) -> None:
        self.dht: NodeDht | None = None
        """Set by the node once it has one."""
        self.local = local
        """Who we are; set anew when that changes."""
        self._neighbours = neighbours
        self._rng = rng
        self._reach = reach
        self._found = found
        self._places = asyncio.Semaphore(SEARCHES_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._advertised: dict[str, asyncio.Task[None]] = {}
        self._finding: dict[str, asyncio.Task[None]] = {}
        self._lacking: dict[str, None] = {}
        """Topics whose last search was in vain, because nobody was there to be asked."""
        self._unheard: dict[str, None] = {}
        """Topics that we are in and nobody has heard of it."""
        self._dialling: dict[PeerId, None] = {}

    async def close(self) -> None:
        """End all searches and dials."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def handle(self, effect: ev.Connect | ev.FindPeers | ev.Advertise | ev.Withdraw) -> None:
        """Do what the router wants."""
        match effect:
            case ev.Advertise(topic):
                self._advertised[topic] = self._spawn(self._advertise(topic))
            case ev.Withdraw(topic):
                self._withdraw(topic)
            case ev.FindPeers(topic):
                self._find(topic)
            case ev.Connect(_, candidates):
                self._connect(candidates)

    def on_joined(self) -> None:
        """The node has joined its network: what was in vain before is done now."""
        unheard, self._unheard = self._unheard, {}
        for topic in unheard:
            self._advertised[topic] = self._spawn(self._advertise(topic))
        lacking, self._lacking = self._lacking, {}
        for topic in lacking:
            self._find(topic)

    # --- announcing ---

    async def _advertise(self, topic: str) -> None:
        if self.dht is None:
            return
        async with self._places:
            try:
                await self.dht.provide(topic_key(topic))
            except KontinuumError as error:
                # The DHT says it again later, and we do once the node has joined.
                self._unheard[topic] = None
                _log.debug("a topic could not be announced", topic=topic, reason=str(error))

    def _withdraw(self, topic: str) -> None:
        self._lacking.pop(topic, None)
        self._unheard.pop(topic, None)
        if (task := self._advertised.pop(topic, None)) is not None:
            task.cancel()
            if self.dht is not None:
                self.dht.withdraw(topic_key(topic))

    # --- finding ---

    def _find(self, topic: str) -> None:
        if self.dht is not None and topic not in self._finding:
            task = self._finding[topic] = self._spawn(self._search(topic))
            task.add_done_callback(lambda _task: self._finding.pop(topic, None))

    async def _search(self, topic: str) -> None:
        if (announcing := self._advertised.get(topic)) is not None:
            # Of two that come at the same time, the one that is told later finds the other.
            await asyncio.wait([announcing])
        dht = self.dht
        if dht is None:
            return
        try:
            async with self._places:
                peers = (await dht.find_providers(topic_key(topic), count=FIND_COUNT)).peers
        except KontinuumError as error:
            _log.debug("a topic's peers could not be looked for", topic=topic, reason=str(error))
            peers = ()
        for peer in peers:
            self._remember(peer.contact)
        candidates = tuple(ev.Candidate(peer.peer_id) for peer in peers if peer.peer_id != self.local)
        if candidates:
            self._found(ev.Candidates(topic, candidates))
        elif dht.state is not State.JOINED:
            self._lacking[topic] = None

    def _remember(self, contact: Any) -> None:
        try:
            self._neighbours.add_contact(contact)
        except KontinuumError as error:
            _log.debug("a contact is of no use", peer=contact.peer_id.short, reason=str(error))

    # --- connecting ---

    def _connect(self, candidates: tuple[ev.Candidate, ...]) -> None:
        current = self._neighbours.links.current
        wanted = [
            each.peer for each in candidates if each.peer not in current and each.peer not in self._dialling
        ]
        for peer_id in self._rng.sample(wanted, min(CONNECTS_MAX, DIALS_MAX - len(self._dialling))):
            self._dialling[peer_id] = None
            self._spawn(self._dial(peer_id))

    async def _dial(self, peer_id: PeerId) -> None:
        try:
            await self._reach(peer_id)
        except KontinuumError as error:
            _log.debug("a peer of a topic cannot be reached", peer=peer_id.short, reason=str(error))
        finally:
            del self._dialling[peer_id]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
