"""What a run is looked at for: figures over time, counters, and the result.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from kontinuum.sim.result import OperationFigures, Result, Series, quantile, thinned
from kontinuum.sim.scenario import as_dict
from kontinuum.sim.workload import KINDS, LOOKUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.dht.node import Dht
    from kontinuum.sim.dht_host import DhtHost
    from kontinuum.sim.simulation import Simulation
    from kontinuum.sim.workload import Ended

SAMPLED_TABLES = 200
"""Tables that are looked at for each point of a figure over time. Our choice: two hundred tell a share to
within a few percent, ten thousand would cost more than the run."""


class Measuring:
    """Looks on at one run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._series = Series()
        self._counters: Counter[str] = Counter()
        self._messages = 0
        self._ended = 0

    def sample(self, interval_s: float) -> None:
        """Look at the network: one point of every figure over time."""
        simulation, series = self._simulation, self._series
        world = simulation.world
        online = [host for host in simulation.honest if host.machine is not None]
        ended = simulation.workload.ended[self._ended :]
        self._ended += len(ended)
        lookups = [one for one in ended if one.kind in LOOKUPS]
        series.at_s.append(round(world.now, 6))
        series.online.append(len(online))
        series.lookups.append(len(lookups))
        series.success_ratio.append(_ratio(sum(one.succeeded for one in lookups), len(lookups)))
        series.messages_per_s.append((world.messages - self._messages) / interval_s)
        self._messages = world.messages
        machines = [cast("Dht", host.machine) for host in online]
        figures = [machine.records.figures() for machine in machines]
        series.stored_records.append(sum(one.values + one.providers for one in figures))
        series.stored_bytes.append(sum(one.bytes for one in figures))
        looked_at = machines[:: max(1, len(machines) // SAMPLED_TABLES)]
        entries = hostile = 0
        for machine in looked_at:
            entries += len(machine.table)
            hostile += (
                sum(self._is_hostile(peer.peer_id) for peer in machine.table) if simulation.groups else 0
            )
        series.table_mean.append(entries / max(1, len(looked_at)))
        series.hostile_table_share.append(hostile / max(1, entries))

    def collect(self, host: DhtHost) -> None:
        """Add up the counters of a machine that ends."""
        if host.machine is None:
            return
        machine = cast("Dht", host.machine)
        counters = self._counters
        counters.update(machine.parts.counts)
        figures = machine.records.figures()
        counters["records_stored"] += figures.stored
        counters["records_repeated"] += figures.repeated
        counters["records_expired"] += figures.expired
        counters["records_evicted"] += figures.evicted
        for refusal, count in figures.refused.items():
            counters[f"records_refused_{refusal.name.lower()}"] += count
        for reason, count in machine.table.fill().refusals.items():
            counters[f"table_refused_{reason.name.lower()}"] += count

    def result(self, *, wall_s: float, peak_rss_bytes: int) -> Result:
        """Everything that was seen, at the end of the run."""
        simulation = self._simulation
        workload, scenario, world = simulation.workload, simulation.scenario, simulation.world
        lookups = _figures(one for one in workload.ended if one.kind in LOOKUPS)
        operations = {
            kind: figures
            for kind in KINDS
            if (figures := _figures(one for one in workload.ended if one.kind == kind)).count
        }
        counters = dict(sorted((self._counters + Counter(abandoned=workload.abandoned)).items()))
        return Result(
            scenario=scenario.name,
            description=scenario.description,
            digest=world.digest,
            seed=simulation.seed,
            nodes=scenario.nodes,
            hostile=sum(len(group.members) for group in simulation.groups),
            defences={name: getattr(scenario.defences, name) for name in type(scenario.defences).__slots__},
            lookups=lookups.count,
            success_ratio=lookups.success_ratio,
            hops_mean=lookups.hops_mean,
            latency_p50_s=lookups.latency_p50_s,
            latency_p99_s=lookups.latency_p99_s,
            wall_s=wall_s,
            peak_rss_bytes=peak_rss_bytes,
            simulated_s=world.now,
            events=world.events,
            messages=world.messages,
            operations=operations,
            series=self._series,
            counters=counters,
            attack=self._attack(),
            settings=as_dict(scenario),
        )

    def _is_hostile(self, peer_id: object) -> bool:
        host = self._simulation.world.host_of(peer_id)  # type: ignore[arg-type]
        return host is None or host.hostile

    def _attack(self) -> dict[str, float]:
        found: dict[str, float] = {}
        groups = self._simulation.groups
        for group in groups:
            prefix = group.settings.kind if len(groups) == 1 else f"{group.settings.kind}_{group.number}"
            for name, value in group.figures().items():
                found[f"{prefix}.{name}"] = float(value)
        if groups:
            found["table_share"] = self._series.hostile_table_share[-1]
        return found


def _figures(ended: Iterable[Ended]) -> OperationFigures:
    every = list(ended)
    good = [one for one in every if one.succeeded]
    latencies = sorted(one.latency_s for one in good)
    hops = Counter(one.hops for one in good)
    return OperationFigures(
        count=len(every),
        succeeded=len(good),
        success_ratio=_ratio(len(good), len(every)),
        hops_mean=sum(one.hops for one in good) / max(1, len(good)),
        requests_mean=sum(one.requests for one in every) / max(1, len(every)),
        latency_p50_s=quantile(latencies, 0.5),
        latency_p90_s=quantile(latencies, 0.9),
        latency_p99_s=quantile(latencies, 0.99),
        hops={str(count): hops[count] for count in sorted(hops)},
        latencies_s=thinned(latencies),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
