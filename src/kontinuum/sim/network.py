"""What lies between hosts: delay, loss, overtaking, partitions.

A message takes half a round trip between the two regions, the access of both hosts, and jitter. The
transport is reliable: a lost packet comes later, after a probe time-out (RFC 9002, section 6.2), which
doubles with each further loss. A dial takes one round trip (QUIC).

Source:  ``regions``; RFC 9002, section 6.2.
Pure:    no I/O or clock; chance is a seedable Rng.
"""

import math
from typing import TYPE_CHECKING, Protocol

from kontinuum.sim.regions import REGIONS, RTT_MS

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.sim.scenario import NetworkSettings

LOSSES_MAX = 6
"""Losses of one message in a row; with more of them the request's time is over long before. Our choice."""


class Place(Protocol):
    """Where a host is."""

    region: int
    """Its number in ``regions``."""
    access_s: float
    """Seconds to the region's backbone."""


class Network:
    """Delays between hosts."""

    __slots__ = (
        "_cuts",
        "_half_rtt_s",
        "_jitter",
        "_loss",
        "_reorder",
        "_reorder_s",
        "_rng",
        "_scale",
        "duplicate",
    )

    def __init__(self, settings: "NetworkSettings", rng: "Rng") -> None:
        self._rng = rng
        self._half_rtt_s = [[ms / 2000.0 for ms in row] for row in RTT_MS]
        self._loss = settings.loss
        self._reorder = settings.loss + settings.reorder
        self._scale = 1.0 / max(1.0 - self._reorder, 1e-9)
        self._reorder_s = settings.reorder_ms / 1000.0
        self._jitter = settings.jitter
        self.duplicate = settings.duplicate
        self._cuts: list[frozenset[int]] = []

    def delay(self, sender: Place, receiver: Place) -> float:
        """Seconds that one message takes."""
        base = self._half_rtt_s[sender.region][receiver.region] + sender.access_s + receiver.access_s
        chance = self._rng.uniform(0.0, 1.0)
        if chance >= self._reorder:
            # What is left of the chance is even between 0 and 1 again: one number for three decisions.
            return base * (
                1.0 - self._jitter * math.log(1.0 - (chance - self._reorder) * self._scale * 0.999999)
            )
        if chance >= self._loss:
            return base + self._reorder_s
        return base + self._lost(base)

    def repeats(self) -> bool:
        """Whether a request is delivered once more."""
        return self._rng.uniform(0.0, 1.0) < self.duplicate

    def cut(self, names: tuple[str, ...]) -> None:
        """From now on, these regions cannot reach the others."""
        self._cuts.append(_places(names))

    def heal(self, names: tuple[str, ...]) -> None:
        """They can again."""
        self._cuts.remove(_places(names))

    def connected(self, one: Place, other: Place) -> bool:
        """No partition lies between the two."""
        return all((one.region in cut) == (other.region in cut) for cut in self._cuts)

    def _lost(self, base: float) -> float:
        """Seconds until the first packet that is not lost was sent."""
        timeout_s, waited = 4.0 * base, 0.0
        for _ in range(LOSSES_MAX):
            waited += timeout_s
            timeout_s *= 2.0
            if self._rng.uniform(0.0, 1.0) >= self._loss:
                break
        return waited


def _places(names: tuple[str, ...]) -> frozenset[int]:
    return frozenset(i for i, region in enumerate(REGIONS) if region.name in names)
