"""What a run of topics is looked at for: who got what, when, and at what cost.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from kontinuum.sim.gossip.names import TOPIC
from kontinuum.sim.gossip.result import GossipResult, GossipSeries
from kontinuum.sim.result import quantile, thinned

if TYPE_CHECKING:
    from kontinuum.gossip.events import Message
    from kontinuum.sim.gossip.host import RouterHost
    from kontinuum.sim.gossip.simulation import Simulation

GRACE_S = 10.0
"""Seconds that a node must have been there before a message counts as missed. Our choice: time to connect,
and for a mesh to form."""


class Measuring:
    """Looks on at one run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._published: list[tuple[float, int]] = []
        """When, and by which host."""
        self._delays: list[dict[int, float]] = []
        """Of each message: seconds by the number of the host that got it."""
        self._counters: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        """Counters at the begin of the measured time."""
        self._first = 0
        """First message of the measured time."""
        self._bytes_before = 0
        self._at_s = array("d")
        self._mesh_mean = array("d")
        self._hostile_share = array("d")
        self._online: list[int] = []

    # --- while it runs ---

    def published(self, host: RouterHost) -> int:
        """A message is about to be published; returns its number."""
        self._published.append((self._simulation.world.now, host.index))
        self._delays.append({})
        return len(self._published) - 1

    def delivered(self, host: RouterHost, message: Message) -> None:
        """A router hands a message to its program."""
        number = int.from_bytes(message.data[:8])
        at, author = self._published[number]
        if host.index != author:
            self._delays[number].setdefault(host.index, self._simulation.world.now - at)

    def begin(self) -> None:
        """The measured time begins."""
        self._first = len(self._published)
        self._before = self._now()
        self._bytes_before = self._bytes()

    def collect(self, host: RouterHost) -> None:
        """Add up the counters of a router that ends."""
        if host.router is not None:
            self._counters.update(host.router.counters())

    def sample(self) -> None:
        """One point of the figures over time."""
        simulation = self._simulation
        world = simulation.world
        meshes = [host.router.mesh_peers(TOPIC) for host in simulation.honest if host.router is not None]
        peers = sum(map(len, meshes))
        bad = sum(world.by_id[peer].hostile for mesh in meshes for peer in mesh)
        self._at_s.append(world.now)
        self._mesh_mean.append(peers / max(1, len(meshes)))
        self._hostile_share.append(bad / max(1, peers))
        self._online.append(len(meshes))

    # --- at the end ---

    def result(self, *, wall_s: float, peak_rss_bytes: int) -> GossipResult:
        """Everything that was seen."""
        simulation = self._simulation
        scenario, world = simulation.scenario, simulation.world
        rows = [self._judge(number) for number in range(self._first, len(self._published))]
        wanted = sum(row[0] for row in rows)
        got = sum(len(row[1]) for row in rows)
        delays = sorted(delay for row in rows for delay in row[1])
        counters = self._now()
        measured = counters - self._before
        data_bytes = scenario.workload.message_bytes * sum(
            len(delays) for delays in self._delays[self._first :]
        )
        return GossipResult(
            scenario=scenario.name,
            description=scenario.description,
            kind="gossip",
            digest=world.digest,
            seed=simulation.seed,
            nodes=scenario.nodes,
            hostile=len(simulation.hostile),
            defences={"scoring": scenario.gossip.scoring, "idontwant": scenario.gossip.idontwant},
            published=len(rows),
            delivery_ratio=got / wanted if wanted else 1.0,
            worst_delivery_ratio=min((len(row[1]) / row[0] for row in rows if row[0]), default=1.0),
            latency_p50_s=quantile(delays, 0.5),
            latency_p99_s=quantile(delays, 0.99),
            duplicates_per_delivery=measured["duplicates"]
            / max(1, measured["delivered"] - measured["published"]),
            bytes_sent_per_byte_delivered=(self._bytes() - self._bytes_before) / max(1, data_bytes),
            wall_s=wall_s,
            peak_rss_bytes=peak_rss_bytes,
            simulated_s=world.now,
            events=world.events,
            messages=world.messages,
            latencies_s=thinned(delays),
            series=self._series(rows),
            counters=dict(sorted((+counters).items())),
            attack=self._attack(),
            settings=asdict(scenario),
        )

    def _judge(self, number: int) -> tuple[int, list[float], float]:
        """Of one message: who should have got it, when those did who got it in time, and when it was made."""
        at, author = self._published[number]
        deadline_s = self._simulation.scenario.workload.deadline_s
        delays, wanted, got = self._delays[number], 0, []
        reached = self._simulation.reachable(at, author)
        for host in self._simulation.honest:
            if host.index == author or not reached(host):
                continue
            if any(begin + GRACE_S <= at and at + deadline_s <= end for begin, end in host.lives) or (
                host.lives and host.lives[0][0] <= 1.0 and at + deadline_s <= host.lives[0][1]
            ):
                wanted += 1
                delay = delays.get(host.index)
                if delay is not None and delay <= deadline_s:
                    got.append(delay)
        return wanted, got, at

    def _series(self, rows: list[tuple[int, list[float], float]]) -> GossipSeries:
        ratios, p99 = [], []
        begin = self._simulation.scenario.settle_s
        for end in self._at_s:
            within = [row for row in rows if begin <= row[2] < end]
            wanted = sum(row[0] for row in within)
            delays = sorted(delay for row in within for delay in row[1])
            ratios.append(len(delays) / wanted if wanted else 1.0)
            p99.append(quantile(delays, 0.99))
            begin = end
        return GossipSeries(
            at_s=[round(at, 6) for at in self._at_s],
            delivery_ratio=ratios,
            latency_p99_s=p99,
            mesh_mean=list(self._mesh_mean),
            hostile_mesh_share=list(self._hostile_share),
            online=self._online,
        )

    def _attack(self) -> dict[str, float]:
        simulation = self._simulation
        if not simulation.hostile:
            return {}
        hosts = [host for host in simulation.honest if host.router is not None]
        scores = sorted(
            host.router.score(other.peer_id)
            for host in hosts
            if host.router is not None
            for index in host.ways
            if (other := simulation.world.hosts[index]).hostile
        )
        return {
            "mesh_share": self._hostile_share[-1],
            "links_per_node": sum(simulation.world.hosts[i].hostile for h in hosts for i in h.ways)
            / len(hosts),
            "score_median": quantile(scores, 0.5),
            "graylisted_ratio": sum(score < simulation.thresholds.graylist_threshold for score in scores)
            / max(1, len(scores)),
        }

    def _now(self) -> Counter[str]:
        counters = Counter(self._counters)
        for host in self._simulation.honest:
            if host.router is not None:
                counters.update(host.router.counters())
        return counters

    def _bytes(self) -> int:
        return sum(host.bytes_sent for host in self._simulation.honest)
