"""How wrong the clocks of hosts are.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.sim.chance import normal

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.sim.scenario import ClockSettings


def skew_s(settings: ClockSettings, rng: Rng) -> float:
    """Seconds that one host's time of day is ahead of the right one."""
    around = normal(rng, settings.skew_s) if settings.skew_s else 0.0
    wrong = settings.wrong_share and rng.uniform(0.0, 1.0) < settings.wrong_share
    return settings.wrong_s if wrong else around
