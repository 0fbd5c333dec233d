"""Which connection must go when there are too many.

Trust: a peer cannot make us drop a connection that somebody uses: only idle ones are candidates.
Pure:  no I/O, clock or randomness.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    """How a connection is used.

    Args:
        connection: Its number.
        outbound: We dialled it, so we wanted it.
        busy: Calls or streams are open on it.
        last_used: When it last carried a call or stream of either side, monotonic seconds.
    """

    connection: int
    outbound: bool
    busy: bool
    last_used: float


def least_useful(uses: Iterable[Use]) -> int | None:
    """The idle connection to close first: inbound before outbound, then the longest unused.

    Returns:
        Its number, or ``None`` when every connection is busy.
    """
    idle = (use for use in uses if not use.busy)
    victim = min(idle, key=lambda use: (use.outbound, use.last_used, use.connection), default=None)
    return None if victim is None else victim.connection
