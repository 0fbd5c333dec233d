"""What is under way at a node: requests that have not ended, operations, and when these want to be woken.

Bounds: OPERATIONS_MAX operations of our program, and UPKEEP_MAX of upkeep; their searches bound the requests.
Trust:  an answer to a request that is not under way is none.
Pure:   no I/O, clock or randomness. A part of ``kontinuum.dht.node``.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from kontinuum.dht.events import Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kontinuum.dht.events import Command
    from kontinuum.dht.operation import Operation
    from kontinuum.dht.peer import Peer
    from kontinuum.messages.kad import KadMessage

OPERATIONS_MAX = 1024
"""Operations at once; further ones are refused. Our choice: each holds a search of some 100 kB at most."""

UPKEEP_MAX = 16
"""Operations of upkeep at once; what else is to be published waits. Our choice: some 150 requests at once."""


class Request:
    """One request in flight."""

    __slots__ = ("candidate", "operation", "peer", "record", "sent_at")

    def __init__(
        self, peer: Peer, operation: int | None, sent_at: float, *, candidate: bool, record: bytes
    ) -> None:
        self.peer = peer
        self.operation = operation
        """For which operation; ``None`` for pings and stores of upkeep."""
        self.sent_at = sent_at
        self.candidate = candidate
        """The peer is one of those by whom we join."""
        self.record = record
        """The key of the record that it is sent for the sake of replication; empty if none."""


class Running:
    """One operation under way."""

    __slots__ = ("command", "due", "machine", "started", "trace")

    def __init__(self, machine: Operation, command: Command | None, started: float) -> None:
        self.machine = machine
        self.command = command
        """``None`` for operations of upkeep: nobody waits for their outcome."""
        self.started = started
        self.due = inf
        """When it wants to be woken, as last entered among those that are due."""
        self.trace = command is not None and command.trace


class Underway:
    """The books of one node.

    Args:
        timeout_s: How long a request may take.
    """

    __slots__ = ("_due", "_number", "_requests", "_running", "_timeout_s", "upkeep")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._requests: dict[int, Request] = {}
        self._number = 0
        self._running: dict[int, Running] = {}
        self._due: list[tuple[float, int]] = []
        """When operations want to be woken, with entries that do not hold any more."""
        self.upkeep = 0
        """Operations of upkeep that run."""

    # --- requests ---

    def ask(
        self,
        peer: Peer,
        message: KadMessage,
        now: float,
        *,
        operation: int | None = None,
        candidate: bool = False,
        record: bytes = b"",
    ) -> Ask:
        """Note a request; the effect sends it."""
        self._number += 1
        self._requests[self._number] = Request(peer, operation, now, candidate=candidate, record=record)
        return Ask(self._number, peer, message, self._timeout_s)

    def ended(self, number: int) -> Request | None:
        """A request has ended; ``None`` if it was not under way."""
        return self._requests.pop(number, None)

    @property
    def requests(self) -> int:
        """How many are in flight."""
        return len(self._requests)

    # --- operations ---

    def __len__(self) -> int:
        """Operations, those of upkeep included."""
        return len(self._running)

    def get(self, number: int | None) -> Running | None:
        """The operation of that number, if it runs."""
        return None if number is None else self._running.get(number)

    def begin(self, number: int, machine: Operation, command: Command | None, now: float) -> None:
        """An operation begins; its number is that of none that runs."""
        self._running[number] = Running(machine, command, now)
        self.upkeep += command is None

    def cancel(self, number: int) -> None:
        """Nobody waits any more for an operation of our program."""
        self._running.pop(number, None)

    def moved(self, number: int) -> Running | None:
        """An operation has taken something in. Returned, and forgotten, if it is over."""
        running = self._running.get(number)
        if running is None:
            return None
        if running.machine.outcome is None:
            due = running.machine.next_deadline()
            if due != running.due:
                running.due = due
                heappush(self._due, (due, number))
            return None
        del self._running[number]
        self.upkeep -= running.command is None
        return running

    def due(self, now: float) -> Iterator[tuple[int, Running]]:
        """Operations that want to be woken; :meth:`moved` is to be called for each before the next one."""
        while self._due and self._due[0][0] <= now:
            at, number = heappop(self._due)
            running = self._running.get(number)
            if running is not None and running.due == at:
                yield number, running

    def next_deadline(self) -> float | None:
        """When the first of them wants to be woken."""
        while self._due and not self._holds(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def _holds(self, at: float, number: int) -> bool:
        running = self._running.get(number)
        return running is not None and running.due == at
