"""A few DHT machines that talk through a queue with one delay: for tests of the machine, not of networks."""

import heapq
from datetime import timedelta
from itertools import count

from helpers.dht_peers import contact, key_pair
from helpers.identities import NETWORK, NOON
from kontinuum.base.entropy import Rng
from kontinuum.dht import events as ev
from kontinuum.dht.admission import Admission
from kontinuum.dht.config import DhtConfig
from kontinuum.dht.node import Dht
from kontinuum.dht.records import default_validators

TRIP_S = 0.01


class Net:
    """Machines by number; ``now`` goes on with :meth:`run`. ``dead`` ones take nothing and answer nothing."""

    def __init__(self, numbers=(), **settings):
        self.now = 0.0
        self.dead = set()
        self.cut = set()
        """Those who live, and whose line is dead."""
        self.machines = {}
        self.completed = {}
        self.steps = []
        self.kept = []
        self.intercept = None
        """Called with the number of the one asked and the Ask; what it returns is the answer's message."""
        self._by_id = {}
        self._queue = []
        self._serial = count()
        self._settings = settings
        for number in numbers:
            self.add(number)

    def calendar(self, now):
        return NOON + timedelta(seconds=now)

    def add(self, number, **settings):
        given = {"network_id": NETWORK, "pow_bits": 0, **self._settings, **settings}
        config = DhtConfig(**given)
        admission = Admission(NETWORK, 0, verify=config.defences.verify_contacts)
        machine = Dht(
            key_pair(number).peer_id,
            config,
            rng=Rng(number),
            calendar=self.calendar,
            admission=admission,
            validators=default_validators(NETWORK, admission.check),
        )
        self.machines[number] = machine
        self._by_id[key_pair(number).peer_id] = number
        self.give(number, ev.SelfChanged(contact(number)))
        return machine

    def start(self, seed=None):
        """Start all; each is told of ``seed``, the first one by default."""
        first = next(iter(self.machines)) if seed is None else seed
        for number in self.machines:
            seeds = () if number == first else (contact(first),)
            self.give(number, ev.Start(seeds))
            self.run(1.0)

    def give(self, number, event):
        """Give one machine an event and perform what it wants."""
        self._perform(number, self.machines[number].handle(event, self.now))

    def command(self, number, kind, within_s=60.0, **fields):
        """Let a machine do something and wait for the outcome."""
        operation = next(self._serial) + 1_000_000
        self.give(number, kind(operation=operation, timeout_s=30.0, **fields))
        end = self.now + within_s
        while operation not in self.completed and self.now < end:
            self.run(0.05)
        return self.completed[operation]

    def run(self, seconds):
        """Let that much time pass."""
        end = self.now + seconds
        while True:
            due = [
                (at, number)
                for number, machine in self.machines.items()
                if number not in self.dead and (at := machine.next_deadline()) is not None
            ]
            woken = min(due, default=(end, 0))
            at = min(woken[0], self._queue[0][0] if self._queue else end)
            if at >= end:
                self.now = end
                return
            self.now = max(self.now, at)
            if self._queue and self._queue[0][0] <= self.now:
                _, _, number, event = heapq.heappop(self._queue)
                if number not in self.dead:
                    self._deliver(number, event)
            else:
                number = woken[1]
                self._perform(number, self.machines[number].handle_timeout(self.now))

    def _later(self, seconds, number, event):
        heapq.heappush(self._queue, (self.now + seconds, next(self._serial), number, event))

    def _deliver(self, number, event):
        self._perform(number, self.machines[number].handle(event, self.now))

    def _perform(self, number, effects):
        for effect in effects:
            match effect:
                case ev.Ask():
                    self._ask(number, effect)
                case ev.Completed(operation=operation, outcome=outcome):
                    self.completed[operation] = outcome
                case ev.Step():
                    self.steps.append(effect)
                case ev.Keep() | ev.Drop():
                    self.kept.append((number, effect))
                case _:
                    pass

    def _ask(self, number, ask):
        other = self._by_id.get(ask.peer.peer_id)
        if other is None or other in self.dead or {number, other} & self.cut:
            self._later(ask.timeout_s, number, ev.Failed(ask.request, ev.Failure.TIMEOUT))
            return
        message = self.intercept(other, ask) if self.intercept else None
        if message is None:
            sender = key_pair(number).peer_id
            ip = contact(number).addresses[0].host
            effects = self.machines[other].handle(ev.Request(0, sender, ip, ask.message), self.now)
            message = next(effect.message for effect in effects if isinstance(effect, ev.Answer))
            self._perform(other, effects)
        if message is None:
            self._later(2 * TRIP_S, number, ev.Failed(ask.request, ev.Failure.REFUSED))
            return
        reply = ev.Reply(ask.request, message, 2 * TRIP_S, contact(other).addresses[0].host)
        self._later(2 * TRIP_S, number, reply)
