"""What a run of clusters is looked at for: how long a revocation takes, what a quiet network costs.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from kontinuum.sim.clusters.result import ClusterResult
from kontinuum.sim.result import quantile

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.bodies import StatementId
    from kontinuum.sim.clusters.host import ClusterHost
    from kontinuum.sim.clusters.simulation import Simulation
    from kontinuum.sim.clusters.world import Link

LATE_S = 1e6
"""What never happened counts as so many seconds. Our choice: no figure is taken for a good one."""

TIMES = ("fellows", "trusting", "healed", "cut", "cut_healed")
"""What takes time after a revocation; see ``ClusterResult.measured``."""


@dataclass(slots=True)
class Revocation:
    """A key that was taken out of use."""

    statement: StatementId
    at: float
    cluster: int
    keys: tuple[PeerId, ...]
    audience: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """Hosts that were running: their lives, and whether the place of the statement could reach them."""
    learned: dict[int, float] = field(default_factory=dict)
    links: list[tuple[Link, ClusterHost, int]] = field(default_factory=list)
    """Sessions of the keys: with which honest host, in which of its lives."""


class Measuring:
    """Looks on at one run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.revocations: dict[StatementId, Revocation] = {}
        self._quiet: Counter[str] = Counter()

    def revoked(self, teller: ClusterHost, statement: StatementId, keys: tuple[PeerId, ...]) -> None:
        """Somebody is about to say so."""
        simulation, world = self._simulation, self._simulation.world
        one = Revocation(statement, world.now, teller.cluster, keys)
        for host in simulation.honest:
            if not host.online:
                continue
            concerned = host.book.chain(teller.genesis.cluster) is not None
            if concerned and host.peer_id not in keys:
                one.audience[host.index] = (host.incarnation, host.island == teller.island)
        for link in dict.fromkeys(world.links.values()):
            for side in (0, 1):
                other = link.ends[1 - side]
                shows = link.keys[side] in keys and link.numbers[1 - side] in other.links
                if shows and other.online and not other.hostile and other.peer_id not in keys:
                    one.links.append((link, other, other.incarnation))
        self.revocations[statement] = one

    def learned(self, host: ClusterHost, statement: StatementId) -> None:
        """A host has saved a statement."""
        one = self.revocations.get(statement)
        if one is not None and one.audience.get(host.index, (0, True))[0] == host.incarnation:
            one.learned.setdefault(host.index, self._simulation.world.now)

    def begin_quiet(self) -> None:
        """From now on nothing happens."""
        self._quiet = self._sum()

    def end_quiet(self) -> None:
        """Until now."""
        self._quiet = self._sum() - self._quiet

    def _sum(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for host in self._simulation.honest:
            total.update(host.counts)
            if host.online:
                total.update(host.machine.counts)
        return total

    def result(self, *, wall_s: float, peak_rss_bytes: int) -> ClusterResult:
        """Everything that was found out."""
        simulation = self._simulation
        scenario, world = simulation.scenario, simulation.world
        times: dict[str, list[float]] = {name: [] for name in TIMES}
        for one in self.revocations.values():
            self._add_times(one, times)
        minutes = scenario.quiet_s / 60.0 * scenario.nodes
        measured = {
            "idle_messages_per_node_per_minute": self._quiet["messages"] / minutes,
            "idle_bytes_per_node_per_minute": self._quiet["bytes"] / minutes,
        }
        worst = {}
        for name, found in times.items():
            found.sort()
            measured[f"{name}_count"] = len(found)
            for share, suffix in ((0.5, "p50"), (0.99, "p99"), (1.0, "max")):
                measured[f"{name}_{suffix}_s"] = round(quantile(found, share), 6)
            worst[name] = found[-1] if found else 0.0
        state = simulation.state()
        expect = scenario.expect
        expectations = {
            "fellows know in time": worst["fellows"] < expect.online_s,
            "trusting clusters know in time": worst["trusting"] < expect.online_s,
            "sessions of revoked keys are cut in time": worst["cut"] < expect.online_s,
            "all know in time after a partition": worst["healed"] < expect.healed_s,
            "sessions are cut in time after a partition": worst["cut_healed"] < expect.healed_s,
            "no revoked key was recognised": simulation.false_recognitions == 0,
            "chains and lists of trust are equal": state["unequal"] == 0,
            "every honest node is recognised": state["unrecognised"] == 0,
            "every honest node keeps its sessions": state["unconnected"] == 0,
            "no stolen key speaks": state["stolen_recognised"] == 0,
            "nobody trusts whom a thief named": state["evil_trusted"] == 0,
        }
        return ClusterResult(
            scenario=scenario.name,
            description=scenario.description,
            kind=scenario.kind,
            digest=world.digest(),
            seed=simulation.seed,
            nodes=scenario.nodes,
            hostile=len(simulation.thieves),
            defences=asdict(scenario.defences),
            expectations=expectations,
            measured=measured,
            wall_s=wall_s,
            peak_rss_bytes=peak_rss_bytes,
            simulated_s=round(world.now, 6),
            events=world.events,
            messages=world.messages,
            counters=dict(sorted(self._sum().items())),
            attack={
                "false_recognitions": simulation.false_recognitions,
                **state,
                **{name: float(n) for name, n in sorted(simulation.thief_counts().items())},
            },
            settings=asdict(scenario),
        )

    def _add_times(self, one: Revocation, times: dict[str, list[float]]) -> None:
        simulation = self._simulation
        for index, (life, near) in one.audience.items():
            host = simulation.world.hosts[index]
            if index not in one.learned and (host.incarnation != life or not host.online):
                continue  # It was not there all the time.
            known = one.learned.get(index, LATE_S)
            begin, name = one.at, "fellows" if host.cluster == one.cluster else "trusting"
            if not near:
                begin, name = max(begin, simulation.healed_after(begin)), "healed"
            times[name].append(max(0.0, known - begin))
        for link, honest, life in one.links:
            if honest.incarnation != life or honest.index not in one.audience:
                continue  # What it had was lost, or it never knew whose key this was.
            near = one.audience[honest.index][1]
            begin, end = one.at, LATE_S if link.closed_at is None else link.closed_at
            if not near:
                begin = max(begin, simulation.healed_after(begin))
            times["cut" if near else "cut_healed"].append(max(0.0, end - begin))
