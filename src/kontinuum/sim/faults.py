"""What goes wrong by plan: churn, faults of many nodes at once, partitions.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kontinuum.dht.events import NetworkChanged, SelfChanged
from kontinuum.sim.chance import stream
from kontinuum.sim.churn import Churn

if TYPE_CHECKING:
    from kontinuum.sim.dht_host import DhtHost
    from kontinuum.sim.scenario import Fault
    from kontinuum.sim.simulation import Simulation

AWAY_MIN_S = 5.0
"""Shortest absence: a process needs that long to come back. Our choice."""


class Faults:
    """Lets things go wrong in one run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._rng = stream(simulation.seed, "faults")
        self._settings = simulation.scenario.churn
        self._churn = Churn(self._settings, stream(simulation.seed, "churn"))

    def plan(self) -> None:
        """Put everything into the world's time."""
        world, simulation = self._world, self._simulation
        if self._churn.active:
            for host in simulation.residents:
                if not self._stays(host):
                    world.at(world.now + self._churn.remaining_s(), partial(self._leave, host))
            for host in simulation.absent:
                world.at(world.now + max(self._churn.still_away_s(), AWAY_MIN_S), partial(self._come, host))
        for partition in simulation.scenario.partition:
            names = partition.regions
            world.at(partition.start_s, partial(world.network.cut, names))
            world.at(partition.end_s, partial(world.network.heal, names))
        for fault in simulation.scenario.fault:
            for host in simulation.residents:
                if self._rng.uniform(0.0, 1.0) < fault.share:
                    time = fault.start_s + self._rng.uniform(0.0, fault.within_s)
                    world.at(time, partial(self._strike, host, fault))

    def _stays(self, host: DhtHost) -> bool:
        stable = self._rng.uniform(0.0, 1.0) < self._settings.stable_share
        return stable or host in self._simulation.seeds

    def _leave(self, host: DhtHost) -> None:
        if host.online:
            self._simulation.stop(host, silently=self._rng.uniform(0.0, 1.0) < self._settings.crash_share)
            back = self._world.now + max(self._churn.away_s(), AWAY_MIN_S)
            self._world.at(back, partial(self._come, host))

    def _come(self, host: DhtHost) -> None:
        if not host.online:
            self._simulation.boot(host)
            self._world.at(self._world.now + self._churn.session_s(), partial(self._leave, host))

    def _strike(self, host: DhtHost, fault: Fault) -> None:
        if not host.online:
            return
        match fault.kind:
            case "crash" | "restart":
                self._simulation.stop(host, silently=True)
                if fault.kind == "restart":
                    self._world.at(self._world.now + fault.down_s, partial(self._restart, host))
            case "leave":
                self._simulation.stop(host, silently=False)
            case "move":
                self._move(host)
            case _:
                host.skew_s += fault.skew_s

    def _restart(self, host: DhtHost) -> None:
        if not host.online:
            self._simulation.boot(host)

    def _move(self, host: DhtHost) -> None:
        """Another address: connections break, the contact is issued anew."""
        simulation = self._simulation
        for link in host.links.values():
            link[0] = float("-inf")
        host.links = {}
        host.region, host.ip = simulation.addresses.honest()
        simulation.renew(host)
        host.event(SelfChanged(host.peer.contact))
        host.event(NetworkChanged())
