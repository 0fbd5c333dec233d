"""Who copied a node: a machine of its own with the stolen secrets, until the root answers and after.

Every second it dials honest nodes that it knows with the stolen key. It says trust in a cluster of its own,
sends again what it received, floods with questions, and tries to rekey: with the branch's secret that works
until the root takes the branch out of use, without it never.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.clusters import events as ev
from kontinuum.clusters.messages import Heads, encode
from kontinuum.clusters.trust import How
from kontinuum.sim.chance import stream
from kontinuum.sim.clusters.host import ClusterHost
from kontinuum.sim.identities import time_of_day

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import Genesis
    from kontinuum.sim.clusters.simulation import Simulation

STEP_S = 1.0
"""Seconds between two attempts. Our choice."""

REPLAYED_MAX = 64
"""Messages that it keeps to send them again. Our choice."""

FLOOD_MESSAGES = 200
"""Questions that it sends at once, once it is recognised and every ten seconds. Our choice."""


class Thief(ClusterHost):
    """A copy of a host. Its ``branch`` is used only if it has that secret."""

    hostile = True

    def __init__(
        self, simulation: Simulation, victim: ClusterHost, kind: str, dials: int, evil: Genesis
    ) -> None:
        super().__init__(simulation, victim.cluster, victim.genesis, victim.branch, victim.epoch, victim.own)
        self.kind, self.evil = kind, evil
        self.disk = {cluster: (genesis, dict(kept)) for cluster, (genesis, kept) in victim.disk.items()}
        self.disk_trust = victim.disk_trust
        self.keys: list[PeerId] = [victim.peer_id]
        """Every key that it has shown."""
        self._dials = dials
        self._steps = 0
        self._kept: list[bytes] = []
        self._rng = stream(simulation.seed, f"thief {self.index}")

    def begin(self) -> None:
        """Connect, and speak."""
        self.boot()
        self._say_trust()
        self._step()

    def wanted(self) -> list[PeerId]:
        """It dials by itself."""
        return []

    def rekey(self) -> None:
        """An order is for the honest node: it moves on only when it wants to."""

    def event(self, event: ev.Event) -> None:
        """Keep what comes, to send it again."""
        if isinstance(event, ev.Received) and len(self._kept) < REPLAYED_MAX:
            self._kept.append(event.data)
        super().event(event)

    def _step(self) -> None:
        self.world.at(self.world.now + STEP_S, self._step)
        self._steps += 1
        victims = [host for host in self.simulation.honest if self._may_know(host)]
        for host in self._rng.sample(victims, min(self._dials, len(victims))):
            if all(host not in link.ends for link in self.links.values()):
                self.world.dial(self, host, lambda: None)
        if self._steps == 2 and self.kind == "branch":  # before the root answers
            self._move()
        if self._steps % 10 == 3:  # now and then
            self._say_trust()
            for number in list(self.links):
                self._annoy(number)

    def _may_know(self, host: ClusterHost) -> bool:
        return host.genesis.cluster in self.disk

    def _move(self) -> None:
        super().rekey()
        self.keys.append(self.peer_id)
        self.simulation.stolen(self)

    def _say_trust(self) -> None:
        try:
            at = time_of_day(self.world.now)
            entry = self.book.trust_entry(self.evil, "evil", How.MEET, self.key, at)
        except KontinuumError:
            return
        self.counts["trust_said"] += 1
        self.event(ev.TrustSaid((entry,)))

    def _annoy(self, number: int) -> None:
        """Send again what came, and ask for everything, past the machine."""
        link = self.links[number]
        side = link.side(number)
        question = encode(Heads(self.genesis.cluster, (), is_answer=False))
        for data in [*self._kept, *[question] * FLOOD_MESSAGES]:
            self.counts["annoying"] += 1
            self.world.at(self.world.now, partial(self.world.send, link, side, data))
