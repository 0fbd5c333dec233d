"""One run of a scenario of clusters: builds the clusters, lets them live, and looks on.

Everything that happens follows from the scenario and the seed.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from kontinuum.clusters import events as ev
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.trust import How
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.bodies import Scope
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.orders import Order
from kontinuum.sim.chance import material, stream
from kontinuum.sim.clusters.host import ClusterHost
from kontinuum.sim.clusters.measuring import Measuring
from kontinuum.sim.clusters.thief import Thief
from kontinuum.sim.clusters.world import ClusterWorld
from kontinuum.sim.identities import time_of_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.clusters.members import Member
    from kontinuum.identity import PeerId
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.statements import Statement
    from kontinuum.sim.clusters.scenario import ClusterScenario

INTERVALS = 40
"""Parts of a run after each of which progress is told. Our choice."""

ANSWER_S = 5.0
"""Seconds from a theft until the root begins to answer thefts. Our choice: the thief has rekeyed by then."""


class Home:
    """A cluster's owner: the root, and the chain as he has it at home."""

    def __init__(self, seed: bytes, nodes: int) -> None:
        self.root = RootSeed(seed).cluster()
        self.chain = found_chain(self.root)
        pen = Author(self.chain, self.root)
        self.born = [pen.delegate(time_of_day(0.0), label=f"node {n}") for n in range(nodes)]


class Simulation:
    """One run of a scenario.

    Args:
        scenario: What happens.
        seed: From which all chance follows.
        tell: Given each event as text (host, line).
    """

    def __init__(
        self, scenario: ClusterScenario, seed: int, *, tell: Callable[[int, str], object] | None = None
    ) -> None:
        self.scenario, self.seed = scenario, seed
        self.world = ClusterWorld(scenario, seed, tell=tell)
        self.measuring = Measuring(self)
        self.false_recognitions = 0
        self.honest: list[ClusterHost] = []
        self.thieves: list[Thief] = []
        self._rng = stream(seed, "choices")
        self._out_of_use: dict[PeerId, StatementId] = {}
        self.homes: list[Home] = []
        for number in range(scenario.nodes // scenario.per_cluster):
            home = Home(material(seed, "root", number), scenario.per_cluster)
            self.homes.append(home)
            for born in home.born:
                known = tuple(home.chain)
                host = ClusterHost(self, number, home.chain.genesis, born.branch, born.epoch, known)
                self.honest.append(host)
        self._plan()

    def run(self, progress: Callable[[float], object] | None = None) -> None:
        """Let everything happen."""
        end_s = self.scenario.end_s + self.scenario.rest_s
        for interval in range(1, INTERVALS + 1):
            self.world.run(end_s * interval / INTERVALS)
            if progress is not None:
                progress(interval / INTERVALS)

    # --- what hosts ask and tell ---

    def holder(self, key: PeerId) -> ClusterHost | None:
        """The honest host with this key, as the directory of the network names it."""
        if self._holders.get(key) is None or self._holders[key].peer_id != key:
            self._holders = {host.peer_id: host for host in self.honest}
        return self._holders.get(key)

    _holders: dict[PeerId, ClusterHost] = {}  # noqa: RUF012  replaced, never changed

    def saved(self, host: ClusterHost, statements: tuple[Statement, ...]) -> None:
        """A host keeps statements."""
        if not host.hostile:
            for statement in statements:
                self.measuring.learned(host, statement.id)

    def recognised(self, host: ClusterHost, member: Member) -> None:
        """A host takes the peer of a connection for a node."""
        statement = self._out_of_use.get(member.key)
        chain = host.book.chain(member.cluster)
        if not host.hostile and statement is not None and chain is not None and statement in chain:
            self.false_recognitions += 1

    def stolen(self, thief: Thief) -> None:
        """A thief has moved on; nothing follows but what the root does later."""
        thief.counts["rekeys"] += 1

    # --- partitions ---

    def healed_after(self, at: float) -> float:
        """When the partition of a time ended; the time itself if there was none."""
        return next(
            (split.end_s for split in self.scenario.partition if split.start_s <= at < split.end_s), at
        )

    def _split(self, share: float) -> None:
        per = self.scenario.per_cluster
        count = max(1, round(share * per))
        island: list[ClusterHost] = []
        for first in range(0, len(self.honest), per):
            island += self._rng.sample(self.honest[first : first + per], count)
        self.world.split(island)

    # --- what will happen ---

    def _plan(self) -> None:
        scenario, world = self.scenario, self.world
        for host in self.honest:
            world.at(self._rng.uniform(0.0, 1.0), host.boot)
        for one, other in self._pairs():
            world.at(3.0 + self._rng.uniform(0.0, scenario.settle_s / 3), partial(self._meet, one, other))
        world.at(scenario.settle_s, self.measuring.begin_quiet)
        world.at(scenario.begin_s, self.measuring.end_quiet)
        victims = self._rng.sample(range(len(self.homes)), len(self.homes))
        chosen = [self._rng.choice(self._of(number)) for number in victims]
        stolen = 0
        for group in scenario.hostile:
            for _ in range(group.count):
                steal = partial(self._steal, chosen[stolen], group.kind, group.dials)
                world.at(scenario.begin_s, steal)
                stolen += 1
        count = stolen + scenario.acts.revocations
        self._spread(count, lambda n: self._revoke(chosen[n]), ANSWER_S)
        others = [host for host in self.honest if host not in chosen[:count]] or self.honest
        acts = scenario.acts
        self._spread(acts.rekeys, lambda _: self._rekey(self._rng.choice(others)))
        self._spread(acts.orders, lambda _: self._order(self._rng.choice(others)))
        self._spread(acts.crashes, lambda _: self._crash(self._rng.choice(others)))
        for split in scenario.partition:
            world.at(split.start_s, partial(self._split, split.share))
            world.at(split.end_s, world.heal)

    def _spread(self, count: int, act: Callable[[int], None], after_s: float = 1.0) -> None:
        for number in range(count):
            span = self.scenario.duration_s - after_s
            self.world.at(self.scenario.begin_s + after_s + span * number / count, partial(act, number))

    def _of(self, cluster: int) -> list[ClusterHost]:
        per = self.scenario.per_cluster
        return self.honest[cluster * per : (cluster + 1) * per]

    def _pairs(self) -> list[tuple[int, int]]:
        clusters = len(self.homes)
        pairs: dict[tuple[int, int], None] = {}
        wanted = min(self.scenario.trusts * clusters // 2, clusters * (clusters - 1) // 2)
        while len(pairs) < wanted:
            one, other = sorted(self._rng.sample(range(clusters), 2))
            pairs[one, other] = None
        return list(pairs)

    def _meet(self, one: int, other: int) -> None:
        """A node of each meets one of the other."""
        for here, there in ((one, other), (other, one)):
            host, chain = self._rng.choice(self._of(here)), self.homes[there].chain
            at = time_of_day(self.world.now)
            entry = host.book.trust_entry(chain.genesis, f"cluster-{there}", How.MEET, host.key, at)
            host.event(ev.TrustSaid((entry,)))
            host.event(ev.Said(chain.cluster, tuple(chain)))

    # --- what owners do ---

    def _say(self, cluster: int, act: Callable[[Author], object], but: ClusterHost) -> ClusterHost | None:
        """The root's words are typed in on some running node, on the owner's side of a partition."""
        tellers = [host for host in self._of(cluster) if host.online and not host.island and host is not but]
        if not tellers:
            return None
        home, teller = self.homes[cluster], self._rng.choice(tellers)
        home.chain.merge(teller.own)
        act(Author(home.chain, home.root))
        return teller

    def _told(self, cluster: int, teller: ClusterHost) -> None:
        chain = self.homes[cluster].chain
        new = tuple(statement for statement in chain if statement.id not in teller.own)
        teller.event(ev.Said(chain.cluster, new))

    def _revoke(self, victim: ClusterHost) -> None:
        made: list[Statement] = []
        path, at = victim.branch.path, time_of_day(self.world.now)
        teller = self._say(
            victim.cluster, lambda pen: made.append(pen.revoke(path, Scope.BRANCH, at)), victim
        )
        if teller is None:
            self.world.at(self.world.now + 1.0, partial(self._revoke, victim))
            return
        thieves = [
            thief for thief in self.thieves if (thief.cluster, thief.branch.path) == (victim.cluster, path)
        ]
        thief_keys = [key for thief in thieves for key in thief.keys]
        keys = tuple(dict.fromkeys([victim.peer_id, *thief_keys]))
        self._out_of_use |= dict.fromkeys(keys, made[0].id)
        self._trust_again(victim, teller)
        self.measuring.revoked(teller, made[0].id, keys)
        self._told(victim.cluster, teller)
        self.world.at(self.world.now + self.scenario.acts.recover_s, partial(self._recover, victim))

    def _trust_again(self, victim: ClusterHost, teller: ClusterHost) -> None:
        """What the victim said falls with its keys: another node says it first, if he met them."""
        met, at = {home.chain.cluster for home in self.homes}, time_of_day(self.world.now)
        for each in teller.book.trusted():
            if each.by == victim.branch.path.place and each.cluster in met:
                entry = teller.book.trust_entry(each.genesis, each.name, How.GIVEN, teller.key, at)
                teller.event(ev.TrustSaid((entry,)))

    def _recover(self, victim: ClusterHost) -> None:
        if victim.island:  # What the owner has in his hands does not cross a partition.
            self.world.at(self.world.now + 1.0, partial(self._recover, victim))
            return
        child, at = victim.branch.path.place.indexes[-1], time_of_day(self.world.now)
        given = []
        teller = self._say(victim.cluster, lambda pen: given.append(pen.recover(child, at)), victim)
        if teller is None:
            self.world.at(self.world.now + 1.0, partial(self._recover, victim))
            return
        self._told(victim.cluster, teller)
        victim.replace(given[0].branch, given[0].epoch, tuple(self.homes[victim.cluster].chain))

    def _rekey(self, host: ClusterHost) -> None:
        if host.online:
            host.rekey()

    def _order(self, host: ClusterHost) -> None:
        orders: list[Order] = []
        sequence, at = int(self.world.now * 1000), time_of_day(self.world.now)
        home = self.homes[host.cluster]
        teller = self._say(
            host.cluster,
            lambda _: orders.append(
                Order.issue(home.chain, home.root, host.branch.path, sequence=sequence, at=at)
            ),
            host,
        )
        if teller is not None:
            teller.event(ev.OrderGiven(orders[0]))

    def _crash(self, host: ClusterHost) -> None:
        if host.online:
            host.crash()
            self.world.at(self.world.now + self.scenario.acts.down_s, host.boot)

    def _steal(self, victim: ClusterHost, kind: str, dials: int) -> None:
        evil = found_chain(RootSeed(material(self.seed, "evil", len(self.thieves))).cluster()).genesis
        thief = Thief(self, victim, kind, dials, evil)
        self.thieves.append(thief)
        thief.begin()

    # --- how it ends ---

    def state(self) -> dict[str, float]:
        """How far the honest nodes are from what they should know and have."""
        found: Counter[str] = Counter(
            dict.fromkeys(("unequal", "unrecognised", "unconnected", "stolen_recognised", "evil_trusted"), 0)
        )
        stolen = [key for thief in self.thieves for key in (*thief.keys, thief.peer_id)]
        evil = {thief.evil.cluster for thief in self.thieves}
        for host in self.honest:
            first = self._of(host.cluster)[0]
            found["unequal"] += host.book.own != first.book.own
            found["unequal"] += {each.cluster for each in host.book.trusted()} != {
                each.cluster for each in first.book.trusted()
            }
            found["evil_trusted"] += any(each.cluster in evil for each in host.book.trusted())
            found["stolen_recognised"] += sum(
                host.book.judge(key).judgement is Judgement.MEMBER for key in stolen
            )
            linked = {link.keys[1 - link.side(number)] for number, link in host.links.items()}
            for other in self.honest:
                if other is host:
                    continue
                is_known = other.genesis.cluster in host.book.clusters()
                if is_known and host.book.judge(other.peer_id).judgement is not Judgement.MEMBER:
                    found["unrecognised"] += 1
                if other.cluster == host.cluster and other.peer_id not in linked:
                    found["unconnected"] += 1
            for trusted in host.book.trusted():
                theirs = next((h for h in self.honest if h.genesis.cluster == trusted.cluster), None)
                if theirs is not None:
                    found["unequal"] += host.book.chain(trusted.cluster) != theirs.book.own
        return {name: float(count) for name, count in found.items()}

    def thief_counts(self) -> Counter[str]:
        """What thieves did."""
        total: Counter[str] = Counter()
        for thief in self.thieves:
            total.update({f"thief_{name}": n for name, n in thief.counts.items()})
        return total
