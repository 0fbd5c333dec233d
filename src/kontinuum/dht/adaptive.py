"""How k follows churn, and alpha congestion.

**k** is how many peers know and keep the same things. It is chosen so that all of them being gone at once is
as unlikely as at rest: with a share d of our table's peers found dead, k = rest * ln(REST_DEAD) / ln(d).
So 1 % dead gives 10, 10 % give 20, 22 % give 30. It is raised quickly and lowered slowly, since a k that is
too large costs some requests, and one that is too small costs records; below its rest slower still.

**alpha** is how many requests a path of a lookup keeps in flight. It is lowered at once under congestion:
when our own queue is long, or when timeouts come together, more of them than answers in one interval. It is
raised while single peers fail and the others answer: then waiting for the dead ones is what costs time.

Failures while nobody answered say nothing about the peers, only about our own line: they move neither.

Source:   the bounds are those of the project's seed; the rules are our choice (docs/dht.md).
Bounds:   K_MIN to K_MAX, ALPHA_MIN to ALPHA_MAX; one step of either per interval; MEMORY_REQUESTS remembered.
Trust:    only peers of our table count as dead: whom replies name, others choose, and could choose dead ones.
          They can at worst lower alpha to its bound.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from kontinuum.dht.config import ALPHA, ALPHA_MAX, ALPHA_MIN, K_MAX, K_MIN, K

INTERVAL_S = 10.0
"""Seconds of requests that are judged together. Our choice: twice the time in which a request has failed, so
that a timeout and the answers to what was sent with it mostly fall into one interval."""

REST_DEAD = 0.1
"""Share of the table's peers found dead at which k is at rest. Our choice: about one in ten of a table's
peers is gone before its bucket is refreshed, in networks whose peers stay for some hours."""

MEMORY_REQUESTS = 200.0
"""Requests that the share is made of, older ones fading. Our choice: as many as a table has peers."""

K_UP_INTERVAL_S = 60.0
"""Seconds between two steps of k upwards. Our choice: from rest to the top in ten minutes."""

K_DOWN_INTERVAL_S = 600.0
"""Seconds between two steps of k down to its rest. Our choice."""

K_BELOW_REST_INTERVAL_S = 3600.0
"""Seconds between two steps of k below its rest. Our choice: a network proves calm in hours."""

ALPHA_INTERVAL_S = 30.0
"""Seconds between two steps of alpha without congestion, and after it. Our choice: three intervals."""

TOGETHER_MIN = 4
"""Timeouts in an interval that can mean congestion. Our choice: one more than alpha at rest, so that no
single path of a lookup is enough."""

RTT_GAIN = 0.125
"""Weight of the newest round trip in the smoothed one. RFC 6298, section 2.3."""

QUEUE_LONG = 64
"""Requests of our own that wait to be sent or served from which on we are congested. Our choice."""

ALPHA_MORE_AT = 0.15
"""Share of peers found dead from which on alpha is one above its rest. Our choice."""

ALPHA_MOST_AT = 0.3
"""Share of peers found dead from which on alpha is two above its rest. Our choice."""


@dataclass(frozen=True, slots=True)
class AdaptationFigures:
    """Why k and alpha are what they are, for metrics."""

    k: int
    alpha: int
    dead_share: float
    """Share of requests to peers of the table that found them dead."""
    k_wanted: float
    """What k would be for that share, were it not bounded and slow."""
    rtt_s: float
    """Round trip of answers, smoothed; 0 before the first."""
    queue: int
    """What was last told of our queue."""
    congested_intervals: int
    """Intervals that were congested, since the start."""
    silent_intervals: int
    """Intervals in which nobody answered, since the start."""


class Adaptation:
    """Chooses k and alpha from how our requests end.

    Args:
        k: What k is at rest, and at the start.
        alpha: What alpha is at rest, and at the start.
        adaptive: If not, both stay as they are, and :meth:`why` only tells what would be.
    """

    __slots__ = (
        "_adaptive",
        "_alpha_moved_at",
        "_alpha_rest",
        "_answered",
        "_answered_known",
        "_congested",
        "_dead",
        "_dead_share",
        "_interval_end",
        "_k_moved_at",
        "_k_rest",
        "_queue",
        "_queue_peak",
        "_rtt_s",
        "_silent",
        "_timed_out",
        "_unreachable",
        "alpha",
        "k",
    )

    def __init__(self, k: int = K, alpha: int = ALPHA, *, adaptive: bool = True) -> None:
        self.k = k
        """Peers in a bucket, and at the end of a lookup."""
        self.alpha = alpha
        """Requests that a path of a lookup keeps in flight."""
        self._adaptive = adaptive
        self._k_rest, self._alpha_rest = k, alpha
        self._dead_share = REST_DEAD
        self._answered = self._answered_known = self._timed_out = self._unreachable = self._dead = 0
        self._queue = self._queue_peak = 0
        self._congested = self._silent = 0
        self._rtt_s = 0.0
        self._interval_end: float | None = None
        self._k_moved_at = self._alpha_moved_at = 0.0

    def answered(self, now: float, rtt_s: float, *, known: bool = True) -> None:
        """A peer answered; ``known``: it was in our table when it was asked."""
        self._settle(now)
        self._rtt_s += RTT_GAIN * (rtt_s - self._rtt_s) if self._rtt_s else rtt_s
        self._answered += 1
        self._answered_known += known

    def timed_out(self, now: float, *, known: bool = True) -> None:
        """A peer did not answer in time."""
        self._settle(now)
        self._timed_out += 1
        self._dead += known

    def unreachable(self, now: float, *, known: bool = True) -> None:
        """No connection could be made to a peer."""
        self._settle(now)
        self._unreachable += 1
        self._dead += known

    def queued(self, count: int) -> None:
        """So many requests of our own wait to be sent or served."""
        self._queue = count
        self._queue_peak = max(self._queue_peak, count)

    def why(self) -> AdaptationFigures:
        """What k and alpha follow from."""
        return AdaptationFigures(
            k=self.k,
            alpha=self.alpha,
            dead_share=self._dead_share,
            k_wanted=self._k_wanted,
            rtt_s=self._rtt_s,
            queue=self._queue,
            congested_intervals=self._congested,
            silent_intervals=self._silent,
        )

    @property
    def _k_wanted(self) -> float:
        """Bounded a little beyond k's own bounds, where the logarithm has none."""
        share = min(max(self._dead_share, 0.001), 0.5)
        return self._k_rest * log(REST_DEAD) / log(share)

    def _settle(self, now: float) -> None:
        """Judge the interval that is over, if one is, and begin the next."""
        if self._interval_end is None:
            self._k_moved_at = self._alpha_moved_at = now
        elif now < self._interval_end:
            return
        else:
            self._judge(now)
        self._answered = self._answered_known = self._timed_out = self._unreachable = self._dead = 0
        self._queue_peak = self._queue
        self._interval_end = now + INTERVAL_S

    def _judge(self, now: float) -> None:
        together = self._timed_out >= TOGETHER_MIN and self._timed_out > self._answered
        silent = not self._answered and self._timed_out + self._unreachable >= TOGETHER_MIN
        if together or self._queue_peak >= QUEUE_LONG:
            self._congested += 1
            if self._adaptive:
                self.alpha = max(ALPHA_MIN, self.alpha - 1)
                self._alpha_moved_at = now
        elif silent:
            self._silent += 1
        else:
            requests = self._dead + self._answered_known
            self._dead_share += (self._dead - requests * self._dead_share) / (MEMORY_REQUESTS + requests)
            if self._adaptive:
                self._move_alpha(now)
                self._move_k(now)

    def _move_alpha(self, now: float) -> None:
        more = (self._dead_share >= ALPHA_MORE_AT) + (self._dead_share >= ALPHA_MOST_AT)
        wanted = min(ALPHA_MAX, self._alpha_rest + more)
        if wanted != self.alpha and now >= self._alpha_moved_at + ALPHA_INTERVAL_S:
            self.alpha += 1 if wanted > self.alpha else -1
            self._alpha_moved_at = now

    def _move_k(self, now: float) -> None:
        """Move by one towards what is wanted; a difference of less than one does not count."""
        wanted = self._k_wanted
        if wanted >= self.k + 1:
            step, interval_s = 1, K_UP_INTERVAL_S
        elif wanted <= self.k - 1:
            step = -1
            interval_s = K_DOWN_INTERVAL_S if self.k > self._k_rest else K_BELOW_REST_INTERVAL_S
        else:
            return
        if now >= self._k_moved_at + interval_s:
            self.k = min(K_MAX, max(K_MIN, self.k + step))
            self._k_moved_at = now
