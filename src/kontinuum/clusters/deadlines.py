"""Which of many things is due first.

Bounds:   an entry for each (owner, timer) that is set, and at most as many outdated ones.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import heapq
from enum import IntEnum


class Timer(IntEnum):
    """What may be due, for a connection or (owner 0) for the machine."""

    SUMMARY = 0
    """The next few sessions are told what we have."""
    NEWS = 1
    """What nobody published meanwhile goes to its topic."""
    HELLO = 2
    """The peer has said which cluster it is of, and its key is one of that cluster's."""
    REAUTH = 3
    """The peer has proven its newer key."""
    REOPEN = 4
    """The stream is tried again."""


class Deadlines:
    """Set and unset; :meth:`due` gives what is due, in the order of time, then of setting's names."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[tuple[int, Timer], float] = {}
        self._heap: list[tuple[float, int, Timer]] = []

    def set(self, owner: int, timer: Timer, at: float) -> None:
        """It is due at ``at``, and at no other time."""
        self._at[owner, timer] = at
        heapq.heappush(self._heap, (at, owner, timer))
        if len(self._heap) > 2 * len(self._at) + 16:
            self._heap = [(due, *key) for key, due in self._at.items()]
            heapq.heapify(self._heap)

    def unset(self, owner: int, timer: Timer) -> None:
        """It is not due any more."""
        self._at.pop((owner, timer), None)

    def is_set(self, owner: int, timer: Timer) -> bool:
        """Whether it will be due."""
        return (owner, timer) in self._at

    def forget(self, owner: int) -> None:
        """Nothing of this owner is due any more."""
        for timer in Timer:
            self.unset(owner, timer)

    def due(self, now: float) -> list[tuple[int, Timer]]:
        """What is due now, owner and timer; it is set no longer."""
        due: list[tuple[int, Timer]] = []
        while (at := self.next()) is not None and at <= now:
            _, owner, timer = heapq.heappop(self._heap)
            del self._at[owner, timer]
            due.append((owner, timer))
        return due

    def next(self) -> float | None:
        """When the first of them is due."""
        while self._heap:
            at, owner, timer = self._heap[0]
            if self._at.get((owner, timer)) == at:
                return at
            heapq.heappop(self._heap)
        return None
