"""An honest host: the machine of production, in virtual time, with a disk that outlives it.

The shell of the simulator, as ``kontinuum.dht.service`` is that of a real node: it feeds the machine events,
performs its effects in order and wakes it at its deadline. What it demands of the machine are the invariants
of every machine; ``invariants`` has those of its state.

Trust:   none of this is hostile, but it must never break a rule whatever others do.
Pure:    no I/O or clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from kontinuum.dht.events import (
    Answer,
    Ask,
    Completed,
    Drop,
    Failed,
    Keep,
    Reply,
    Request,
    SelfChanged,
    Start,
    StateChanged,
    Step,
)
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.host import Host
from kontinuum.sim.identities import time_of_day
from kontinuum.sim.world import COMMAND, EFFECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from kontinuum.dht.events import Command, Effect, Event, Failure, State
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import Contact, PeerId
    from kontinuum.messages.kad import KadMessage
    from kontinuum.sim.host import Silence
    from kontinuum.sim.identities import Identity
    from kontinuum.sim.world import World

SAVE_FIRST_S = 30.0
"""Seconds after the start until contacts are on disk for the first time. As the node's service does."""

SAVE_EVERY_S = 300.0
"""Seconds between two times. As the node's service does."""

CONTACTS_SAVED_MAX = 256
"""Contacts that a node keeps on disk, best first."""


class DhtMachine(Protocol):
    """What the simulator needs of ``kontinuum.dht.node.Dht``."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event."""
        ...

    def handle_timeout(self, now: float) -> list[Effect]:
        """Take the time."""
        ...

    def next_deadline(self) -> float | None:
        """When to be woken."""
        ...

    def restore(self, keeps: Iterable[tuple[Keep, Peer | None]], now: float) -> None:
        """Take back what was on disk."""
        ...

    def saved_contacts(self) -> list[Contact]:
        """What belongs on disk."""
        ...


class DhtHost(Host):
    """A host that runs a machine.

    Args:
        build: Makes a fresh machine for the host, at every start.
        finished: Told of each operation that completed.
    """

    __slots__ = (
        "_asked",
        "_build",
        "_finished",
        "_ticket",
        "_woken_at",
        "contacts",
        "disk",
        "joined_at",
        "machine",
        "operations",
        "serves",
        "skew_s",
        "state",
    )

    def __init__(
        self,
        world: World,
        identity: Identity,
        *,
        region: int,
        ip: str,
        access_s: float,
        build: Callable[[DhtHost], DhtMachine],
        finished: Callable[[Completed], None],
    ) -> None:
        super().__init__(world, identity, region=region, ip=ip, access_s=access_s)
        self._build = build
        self._finished = finished
        self._ticket = 0
        self._asked = 0
        self._woken_at = float("-inf")
        self.machine: DhtMachine | None = None
        self.serves = True
        """It answers others; otherwise it is a client."""
        self.skew_s = 0.0
        """Seconds that its time of day is ahead."""
        self.disk: dict[tuple[bytes, PeerId | None], Keep] = {}
        """Records on disk: what Keep and Drop effects left there."""
        self.contacts: list[Contact] = []
        """Contacts on disk."""
        self.operations: dict[int, tuple[Command, float]] = {}
        """Operations that have not completed, and when they began."""
        self.state: State | None = None
        self.joined_at = 0.0
        """When it was started last."""

    def calendar(self, now: float) -> datetime:
        """The time of day by this host's clock."""
        return time_of_day(now, self.skew_s)

    # --- life ---

    def boot(self, seeds: Iterable[Contact]) -> None:
        """Start the machine with what is on disk, and let it join."""
        machine = self.prepare()
        if self.disk:
            keeps = [(keep, self._provider(keep)) for keep in self.disk.values()]
            machine.restore(keeps, self.world.now)
        self.event(SelfChanged(self.peer.contact))
        self.event(Start(seeds=tuple(seeds), saved=tuple(self.contacts)))

    def prepare(self) -> DhtMachine:
        """Be up with a machine that has not heard of anything yet."""
        self.up()
        self.joined_at = self.world.now
        self.operations = {}
        self._asked = 0
        self._woken_at = float("-inf")
        self.machine = self._build(self)
        self._save_later(self.incarnation, SAVE_FIRST_S)
        return self.machine

    def stop(self, *, silently: bool) -> None:
        """The process ends. In order: contacts are saved, connections closed. Silently: nothing of that."""
        if not silently and self.machine is not None:
            self._save()
        self.machine = None
        self.operations = {}
        self.down(silently=silently)

    def _provider(self, keep: Keep) -> Peer | None:
        host = None if keep.provider is None else self.world.host_of(keep.provider)
        return None if host is None else host.peer

    def _save(self) -> None:
        if self.machine is not None:
            self.contacts = self.machine.saved_contacts()[:CONTACTS_SAVED_MAX]

    def _save_later(self, incarnation: int, after_s: float) -> None:
        def save() -> None:
            if self.incarnation == incarnation:
                self._save()
                self._save_later(incarnation, SAVE_EVERY_S)

        self.world.at(self.world.now + after_s, save)

    # --- events ---

    def command(self, command: Command) -> None:
        """Our program wants something."""
        self.operations[command.operation] = command, self.world.now
        self.world.note(self, COMMAND, command.operation, type(command).__name__)
        self.event(command)  # type: ignore[arg-type]  # the union of events names the leaves

    def event(self, event: Event) -> None:
        """Feed the machine something that is no message."""
        if self.machine is not None:
            self._perform(self.machine.handle(event, self.world.now))

    def on_request(self, sender: Host, message: KadMessage) -> KadMessage | Silence | None:
        """As Host."""
        if self.machine is None:
            return None
        self._ticket += 1
        ticket = self._ticket
        event = Request(ticket, sender.identity.peer_id, sender.ip, message)
        effects = self.machine.handle(event, self.world.now)
        answers = [effect for effect in effects if isinstance(effect, Answer)]
        if len(answers) != 1 or answers[0].ticket != ticket:
            self.broken("a request is answered once and at once", f"{answers!r:.200}")
        self._perform(effects)
        return answers[0].message

    def on_reply(self, request: int, message: KadMessage, rtt_s: float, ip: str) -> None:
        """As Host."""
        self.event(Reply(request, message, rtt_s, ip))

    def on_failed(self, request: int, reason: Failure) -> None:
        """As Host."""
        self.event(Failed(request, reason))

    def on_wake(self) -> None:
        """As Host."""
        machine, now = self.machine, self.world.now
        if machine is None:
            return
        due = machine.next_deadline()
        effects: list[Effect] = []
        if due is not None and due <= now:
            effects = machine.handle_timeout(now)
            due = machine.next_deadline()
            if due is not None and due <= now:
                self.broken("after handle_timeout the next deadline is later", f"{due} at {now}")
        self._perform(effects)

    def broken(self, invariant: str, detail: str) -> NoReturn:
        """This host broke a rule."""
        raise InvariantError(invariant, detail, node=self.index, at_s=self.world.now)

    def _perform(self, effects: list[Effect]) -> None:
        world = self.world
        for effect in effects:
            if isinstance(effect, Ask):
                self._ask(effect)
            elif isinstance(effect, Completed):
                self._complete(effect)
            elif isinstance(effect, Keep):
                self.disk[effect.key, effect.provider] = effect
                world.note(self, EFFECT, len(self.disk), "Keep")
            elif isinstance(effect, Drop):
                if self.disk.pop((effect.key, effect.provider), None) is None:
                    self.broken("only what was kept is dropped", f"{effect!r:.200}")
                world.note(self, EFFECT, len(self.disk), "Drop")
            elif isinstance(effect, StateChanged):
                self.state = effect.state
                world.note(self, EFFECT, 0, effect.state.value)
            elif not isinstance(effect, Answer | Step):  # on_request has taken the answer.
                self.broken("every effect is known", f"{effect!r:.200}")
        self.rearm()

    def _ask(self, ask: Ask) -> None:
        if ask.request <= self._asked:
            self.broken("every request has a number of its own", f"{ask.request} after {self._asked}")
        if ask.peer.peer_id == self.identity.peer_id:
            self.broken("nobody asks itself", f"{ask.message!r:.200}")
        self._asked = ask.request
        self.world.ask(self, ask.request, ask.peer, ask.message, ask.timeout_s)

    def _complete(self, effect: Completed) -> None:
        if self.operations.pop(effect.operation, None) is None:
            self.broken("an operation completes once", f"{effect!r:.200}")
        self.world.note(
            self, EFFECT, effect.operation, f"Completed {effect.operation}: {effect.outcome!r:.160}"
        )
        self._finished(effect)

    def rearm(self) -> None:
        """See to it that the machine is woken at its deadline."""
        if self.machine is None:
            return
        due = self.machine.next_deadline()
        if due is not None and due < self.wake_at:
            self.world.wake(self, max(due, self.world.now))
