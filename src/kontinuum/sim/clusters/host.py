"""One node of a cluster: its machine, what its shell does with the effects, and what lies on its disk.

A crash loses the machine and all connections; what ``Save``, ``SaveTrust`` and ``SaveOrders`` named is there
when it starts again, with the secrets. As a node does it, a host looks twice a second for fellows that are
missing and dials them; besides it keeps sessions with some nodes of clusters that its own trusts.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.clusters import events as ev
from kontinuum.clusters.book import Book
from kontinuum.clusters.machine import ClusterMachine
from kontinuum.clusters.messages import Statements, Summary, decode
from kontinuum.clusters.trust import TrustList
from kontinuum.keys.author import Author
from kontinuum.keys.chain import Chain
from kontinuum.keys.orders import Obedience
from kontinuum.sim.chance import stream
from kontinuum.sim.identities import time_of_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kontinuum.clusters.trust import TrustEntry
    from kontinuum.identity import PeerId
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.keys.genesis import ClusterId, Genesis
    from kontinuum.keys.orders import Order
    from kontinuum.keys.statements import Statement
    from kontinuum.sim.clusters.simulation import Simulation
    from kontinuum.sim.clusters.world import Link

FELLOWS_MAX = 8
"""Fellows that a node keeps sessions with. As ``kontinuum.node.fellows``."""

LOOK_S = 0.5
"""Seconds between two looks for those that are missing. As ``kontinuum.node.fellows``."""


class ClusterHost:
    """A node, running or not.

    Args:
        simulation: The run.
        cluster: The number of its cluster.
        genesis: Where that cluster's chain begins.
        branch: The secret of its branch.
        epoch: The key that it runs with.
        known: What it was given of its own chain.
    """

    hostile = False

    def __init__(  # noqa: PLR0917 -- what makes a node
        self,
        simulation: Simulation,
        cluster: int,
        genesis: Genesis,
        branch: BranchSecret,
        epoch: EpochSecret,
        known: Iterable[Statement],
    ) -> None:
        self.simulation, self.world = simulation, simulation.world
        self.index = len(self.world.hosts)
        self.world.hosts.append(self)
        self.cluster, self.genesis, self.branch, self.epoch = cluster, genesis, branch, epoch
        self.key = epoch.signing()
        self.disk: dict[ClusterId, tuple[Genesis, dict[StatementId, Statement]]] = {
            genesis.cluster: (genesis, {statement.id: statement for statement in known})
        }
        self.disk_trust: tuple[TrustEntry, ...] = ()
        self.disk_orders: tuple[Mapping[StatementId, int], tuple[Order, ...]] = ({}, ())
        self.online = False
        self.incarnation = 0
        self.booted_at = 0.0
        self.island = 0
        self.links: dict[int, Link] = {}
        self.topics: tuple[str, ...] = ()
        self.counts: Counter[str] = Counter()
        self.dialling: set[int] = set()
        self._dirty = True
        self._wanted: list[PeerId] = []
        self._wakes_at: float | None = None

    @property
    def peer_id(self) -> PeerId:
        """Its key on the wire."""
        return self.key.peer_id

    @property
    def own(self) -> Chain:
        """Its own cluster's chain, as it knows it."""
        chain = self.book.own
        assert chain is not None  # noqa: S101  every host has a cluster
        return chain

    # --- life ---

    def boot(self) -> None:
        """Start, from the disk."""
        chains = {}
        for cluster, (genesis, statements) in self.disk.items():
            chains[cluster] = Chain(genesis)
            chains[cluster].merge(statements.values())
        own = chains.pop(self.genesis.cluster)
        self.book = Book(own, self.branch.path, TrustList(self.disk_trust), chains.values())
        self.incarnation += 1
        self.online, self.booted_at = True, self.world.now
        self._wakes_at, self._dirty = None, True
        latest, orders = self.disk_orders
        self.machine = ClusterMachine(
            self.book,
            self.peer_id,
            rng=stream(self.simulation.seed, f"machine {self.index}", self.incarnation),
            obedience=Obedience(self.branch.path, latest),
            orders=orders,
        )
        self.event(ev.Started())
        self._look(self.incarnation)

    def crash(self) -> None:
        """Be gone, without a word."""
        if self.online:
            self.counts.update(self.machine.counts)
            self.online = False
            self.links, self.topics, self.dialling = {}, (), set()
            self.world.crash(self)

    def replace(self, branch: BranchSecret, epoch: EpochSecret, known: Iterable[Statement]) -> None:
        """Begin again with what an ancestor hands over: the old secrets are in other hands."""
        self.crash()
        self.branch, self.epoch, self.key = branch, epoch, epoch.signing()
        self.disk[self.genesis.cluster][1].update({statement.id: statement for statement in known})
        self.boot()

    # --- whom to talk to ---

    def _look(self, life: int) -> None:
        if not self.online or self.incarnation != life:
            return
        self.world.at(self.world.now + LOOK_S, partial(self._look, life))
        if self._dirty:
            self._dirty = False
            self._wanted = self.wanted()
        connected = {link.keys[1 - link.side(number)] for number, link in self.links.items()}
        for key in self._wanted:
            if key not in connected:
                self.dial(key)

    def wanted(self) -> list[PeerId]:
        """Whom to keep a session with."""
        fellows = [member.key for member in self.book.fellows()[:FELLOWS_MAX]]
        others = [member.key for each in self.book.trusted() for member in self.book.members(each.cluster)]
        choice = stream(self.simulation.seed, f"foreign {self.index}")
        return fellows + choice.sample(others, min(self.simulation.scenario.foreign, len(others)))

    def dial(self, key: PeerId) -> None:
        """Dial whoever has a key, unless somebody is about to."""
        other = self.simulation.holder(key)
        if other is None or other is self or other.index in self.dialling:
            return
        if self.index in other.dialling and self.world.reach(self, other):
            return
        self.dialling.add(other.index)
        self.world.dial(self, other, partial(self.dialling.discard, other.index))

    # --- connections ---

    def connected(self, link: Link, side: int) -> None:
        """There is a connection."""
        if not self.online:
            return
        number = link.numbers[side]
        self.links[number] = link
        outbound = side == 0
        self.event(ev.Opened(number, link.keys[1 - side], link.keys[side], outbound, link.exporter))

    def closed(self, link: Link, side: int) -> None:
        """It is over."""
        number = link.numbers[side]
        if self.links.pop(number, None) is not None:
            self.event(ev.Closed(number))

    # --- the machine ---

    def event(self, event: ev.Event) -> None:
        """Something happens."""
        number = getattr(event, "connection", None)
        if self.online and (number is None or number in self.links or isinstance(event, ev.Closed)):
            self.world.note(self, f"{type(event).__name__} {number or ''}")
            self._perform(self.machine.handle(event, self.world.now), number)

    def _wake(self, life: int, due: float) -> None:
        if self.online and self.incarnation == life and self._wakes_at == due:
            self._wakes_at = None
            self.world.note(self, "timeout")
            self._perform(self.machine.handle_timeout(self.world.now), None)

    def _perform(self, effects: list[ev.Effect], source: int | None) -> None:
        is_news = any(isinstance(effect, ev.Save) for effect in effects)
        for effect in effects:
            self._do(effect, source, is_news=is_news)
        due = self.machine.next_deadline()
        if due is not None and due != self._wakes_at:
            self._wakes_at = due
            self.world.at(due, partial(self._wake, self.incarnation, due))

    def _do(  # noqa: C901, PLR0912 -- one case for each effect
        self, effect: ev.Effect, source: int | None, *, is_news: bool
    ) -> None:
        world, defences = self.world, self.simulation.scenario.defences
        match effect:
            case ev.Send(number, data):
                link = self.links.get(number)
                if link is not None and not (self._is_left_out(data, is_news and number != source)):
                    self.counts["messages"] += 1
                    self.counts["bytes"] += len(data)
                    world.send(link, link.side(number), data)
            case ev.OpenStream(number):
                world.open_stream(self.links[number], self.links[number].side(number))
            case ev.Refuse(number):
                if number in self.links:
                    world.end_stream(self.links[number], self.links[number].side(number))
            case ev.Cut(number):
                self.counts["cuts"] += 1
                link = self.links.get(number)
                if link is not None and defences.cut:
                    world.close(link, link.side(number))
            case ev.Announce(topic, data):
                if defences.topics:
                    self.counts["announced"] += 1
                    world.publish(self, topic, data)
            case ev.Follow(topics):
                self.topics = topics
            case ev.Renamed(number, _, new):
                self.links[number].keys[1 - self.links[number].side(number)] = new
            case ev.Recognised(_, member):
                self.simulation.recognised(self, member)
            case ev.Save(cluster, statements):
                self._save(cluster, statements)
            case ev.SaveTrust():
                self.disk_trust = tuple(self.book.trust)
                self._dirty = True
            case ev.SaveOrders(latest, pending):
                self.disk_orders = (dict(latest), pending)
            case ev.Ordered():
                self.counts["ordered"] += 1
                self.rekey()
            case ev.NotSaid():
                self.counts["not_said"] += 1
            case _:
                pass

    def _is_left_out(self, data: bytes, is_push: bool) -> bool:
        defences = self.simulation.scenario.defences
        if defences.push and defences.summary:
            return False
        message = decode(data)
        if isinstance(message, Summary):
            return not defences.summary
        return is_push and isinstance(message, Statements) and not defences.push

    def _save(self, cluster: ClusterId, statements: tuple[Statement, ...]) -> None:
        chain = self.book.chain(cluster)
        if chain is not None:
            _, kept = self.disk.setdefault(cluster, (chain.genesis, {}))
            kept.update({statement.id: statement for statement in statements})
        self._dirty = True
        self.simulation.saved(self, statements)

    # --- its owner ---

    def rekey(self) -> None:
        """Move on to the next epoch, alone."""
        chain = self.own.copy()
        try:
            moved = Author(chain, self.branch).rekey(time_of_day(self.world.now))
        except KontinuumError:
            self.counts["rekeys_refused"] += 1
            return
        old, self.epoch, self.key = self.peer_id, moved.secret, moved.secret.signing()
        self.event(ev.Moved((moved.statement,), self.key, old))
