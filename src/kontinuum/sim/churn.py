"""How long hosts stay and stay away.

Source:  "ipfs": Trautwein et al., "Design and Evaluation of IPFS", SIGCOMM 2022, section 5.3: 87.6 % of
         sessions are shorter than 8 hours and 2.5 % longer than 24 hours; the Weibull distribution through
         these two points has shape 0.52 and a median of 57 minutes (they report medians from 24 minutes in
         Hong Kong to more than twice that in Germany).
         "filesharing": Stutzbach and Rejaie, "Understanding Churn in Peer-to-Peer Networks", IMC 2006,
         section 5: Weibull fits session times best (BitTorrent, Red Hat: shape 0.59, scale 41 minutes).
         "exponential": no measurement; what analyses assume, median 60 minutes.
Second-hand: of both papers only the abstracts could be read while this was written (that session times are
         not exponential, that most of those online stay long while others come and go quickly, and that
         sessions of one peer are correlated); the shares of section 5.3 and the parameters of section 5 are
         from summaries. What follows from them is heavy churn of that kind, not the churn of that network.
Differs: session times of one host are drawn anew each time; the paper finds some correlation.
Pure:    no I/O or clock.
"""

import math
from typing import TYPE_CHECKING

from kontinuum.sim.chance import weibull

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.sim.scenario import ChurnSettings

_WEIBULL = {
    "ipfs": (0.518, 1.935 * 3600.0),
    "filesharing": (0.59, 41.0 * 60.0),
    "exponential": (1.0, 3600.0 / math.log(2.0)),
}
"""Shape and scale in seconds."""


class Churn:
    """Session times of one scenario."""

    def __init__(self, settings: "ChurnSettings", rng: "Rng") -> None:
        self._rng = rng
        self.active = settings.model != "none"
        self._shape, self._scale = _WEIBULL.get(settings.model, (1.0, 1.0))
        if settings.median_session_s:
            self._scale = settings.median_session_s / math.log(2.0) ** (1.0 / self._shape)
        self._away = settings.offline_share / (1.0 - settings.offline_share)
        """Time offline for each second online."""

    def session_s(self) -> float:
        """How long somebody stays who comes now."""
        return weibull(self._rng, self._scale, self._shape)

    def remaining_s(self) -> float:
        """How much longer somebody stays who is met at a random moment.

        Long sessions are met more often: their lengths are drawn in proportion to themselves, which for
        Weibull is a Gamma distribution of ``(x / scale) ** shape``; the moment is anywhere in it.
        """
        # A sum of exponentials is a Gamma variable of whole order; the order here, 1 + 1 / shape, is brought
        # to that by choosing between the two neighbours.
        order = 1.0 + 1.0 / self._shape
        whole = int(order) + (1 if self._rng.uniform(0.0, 1.0) < order - int(order) else 0)
        gamma = -sum(math.log(1.0 - self._rng.uniform(0.0, 1.0) * (1.0 - 1e-12)) for _ in range(whole))
        return self._scale * math.pow(gamma, 1.0 / self._shape) * self._rng.uniform(0.0, 1.0)

    def still_away_s(self) -> float:
        """How much longer somebody stays away who is away at a random moment."""
        return self._away * self.remaining_s()

    def away_s(self) -> float:
        """How long somebody stays away who leaves now."""
        return self._away * self.session_s()
