"""How long a lookup waits for one peer before it goes on without it.

Most answers take a round trip or two, and whoever takes far longer than that is mostly gone. So the wait
follows the time that answers take here: their mean and four mean deviations, as TCP waits before it sends
again. In one room that is the least wait, around the world nearly the longest.

Source:   RFC 6298, section 2 (mean and deviation, factor of four).
Differs:  one estimate for all peers together, with a smaller weight for each answer: they are many, and far
          from each other. It includes the time of connecting, since a lookup waits for that as well.
Bounds:   LATE_MIN_S to LATE_MAX_S.
Trust:    peers that answer quickly or slowly on purpose can move it within these bounds only, and only as far
          as they are the most of those that answer.
Pure:     no I/O, clock or randomness.
"""

LATE_MAX_S = 2.0
"""Seconds after which the end of a search does not wait for an answer any more, at the most, and as long as
little is known. Our choice: several round trips around the world and a handshake. To wait for the time-out of
each dead peer instead takes twice as long and finds nobody more (docs/dht.md)."""

LATE_MIN_S = 0.5
"""The same, at the least. Our choice: a lost packet is sent again and answered within that, in one region."""

SLOW_SHARE = 0.75
"""Part of that wait after which somebody else is asked meanwhile. Our choice (docs/dht.md): with half of
it a lookup among peers that come and go is 6 % faster, for 15 % more requests."""

DEVIATIONS = 4.0
"""Mean deviations above the mean. RFC 6298, section 2.2."""

GAIN = 1 / 64
"""Weight of the newest answer. Our choice: some two lookups are remembered."""

ANSWERS_MIN = 32
"""Answers before it is less than LATE_MAX_S. Our choice: more than one lookup."""


class Patience:
    """The times that answers took."""

    __slots__ = ("_answers", "_deviation_s", "_mean_s")

    def __init__(self) -> None:
        self._answers = 0
        self._mean_s = 0.0
        self._deviation_s = 0.0

    def answered(self, took_s: float) -> None:
        """A peer answered, so long after it was asked, connecting included."""
        took_s = min(took_s, LATE_MAX_S)
        self._answers += 1
        gain = 1 / self._answers if self._answers * GAIN < 1 else GAIN
        difference_s = took_s - self._mean_s
        self._mean_s += gain * difference_s
        self._deviation_s += gain * (abs(difference_s) - self._deviation_s)

    @property
    def late_after_s(self) -> float:
        """Seconds after which the end of a search does not wait for an answer any more."""
        if self._answers < ANSWERS_MIN:
            return LATE_MAX_S
        return min(LATE_MAX_S, max(LATE_MIN_S, self._mean_s + DEVIATIONS * self._deviation_s))

    @property
    def slow_after_s(self) -> float:
        """Seconds after which somebody else is asked meanwhile."""
        return SLOW_SHARE * self.late_after_s
