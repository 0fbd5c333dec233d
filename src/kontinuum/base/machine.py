"""The shape of every protocol of Kontinuum: a machine without I/O, clock or chance.

Whoever runs a machine (:func:`kontinuum.base.drive.drive` on asyncio, the simulator in virtual time) feeds it
events and the time, performs the effects in order, and wakes it at its next deadline.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

E_contra = TypeVar("E_contra", contravariant=True)
F_co = TypeVar("F_co", covariant=True)


class Machine(Protocol[E_contra, F_co]):
    """A protocol as pure state: events and the time go in, effects come out.

    Every ``now`` is monotonic seconds and never goes backwards. After ``handle_timeout(now)``,
    ``next_deadline()`` is ``None`` or later than ``now``. An early or extra ``handle_timeout`` does nothing.
    """

    def handle(self, event: E_contra, now: float) -> Iterable[F_co]:
        """Take one event; return what shall be done about it, in order."""
        ...

    def handle_timeout(self, now: float) -> Iterable[F_co]:
        """Take the time; return what is due."""
        ...

    def next_deadline(self) -> float | None:
        """When ``handle_timeout`` wants to be called, or ``None`` if only an event can change anything."""
        ...
