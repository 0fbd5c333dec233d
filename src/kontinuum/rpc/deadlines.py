"""Which calls have waited too long.

A call costs two dictionary operations and no timer: the table knows the earliest deadline, and looks at
the calls only when that one has passed. Most calls end long before.
Bounds: as many entries as calls are in progress; the floor above bounds those.
Pure:   no I/O, clock or randomness.
"""

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class HasDeadline(Protocol):
    """Something that must end by ``deadline``, monotonic seconds."""

    deadline: float


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=HasDeadline)

NEVER = float("inf")
"""The deadline of what may take for ever."""


class Deadlines(Generic[K, V]):
    """What is in progress, by key. Read ``entries`` freely; change it through the methods."""

    __slots__ = ("_earliest", "entries")

    def __init__(self) -> None:
        self.entries: dict[K, V] = {}
        self._earliest = NEVER

    def add(self, key: K, value: V) -> bool:
        """Remember ``value``. True when :meth:`next_deadline` became earlier by it."""
        self.entries[key] = value
        if value.deadline < self._earliest:
            self._earliest = value.deadline
            return True
        return False

    def remove(self, key: K) -> V | None:
        """Forget ``key``; ``None`` when it is not there (any more)."""
        return self.entries.pop(key, None)

    def handle_timeout(self, now: float) -> list[tuple[K, V]]:
        """Remove and return what is overdue, in the order in which it was added."""
        if now < self._earliest:
            return []
        overdue = [(key, value) for key, value in self.entries.items() if value.deadline <= now]
        for key, _ in overdue:
            del self.entries[key]
        self._earliest = min((value.deadline for value in self.entries.values()), default=NEVER)
        return overdue

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is due. May be earlier than needed, never later."""
        return None if self._earliest == NEVER else self._earliest
