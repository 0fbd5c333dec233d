"""What honest nodes want of the network, and whether they got it.

While the network settles, owners publish records, contents, contacts and what they provide; in the measured
time the operations that count begin at random moments at random nodes. An operation whose node goes away is
no failure of the network and does not count.

An operation succeeded if
    find      the node whose key was looked up is among the peers found; if it went away meanwhile, the
              nearest node that is there;
    get       the value is the newest that had been put when the get began, or a newer one;
    resolve   the value is the contact that the node has, or had when the resolve began;
    providers the one who provides is among those found;
    put, provide  at least one peer keeps it.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from kontinuum.dht.events import (
    Completed,
    FindPeers,
    FindProviders,
    Found,
    Get,
    Peers,
    Provide,
    Put,
    State,
    Stored,
)
from kontinuum.dht.records import SignedRecord, blake3_key, contact_key, signed_key
from kontinuum.sim.chance import material, stream
from kontinuum.sim.dht_host import DhtHost
from kontinuum.sim.identities import NETWORK, time_of_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.dht.events import Command, Outcome
    from kontinuum.sim.host import Host
    from kontinuum.sim.simulation import Simulation

LIFETIME = timedelta(days=7)
"""How long signed records are valid."""

SETTLE_SHARE = 0.6
"""First part of the settling time in which things are published, so that the last puts end in time."""

KINDS = ("find", "get", "resolve", "providers", "put", "provide")
"""Kinds of operations; the first three are lookups."""

LOOKUPS = KINDS[:3]


@dataclass(slots=True)
class Published:
    """Something that an honest node puts."""

    owner: DhtHost
    key: bytes
    name: bytes = b""
    """Of a signed record; empty for contents."""
    versions: list[bytes] = field(default_factory=list)
    """Every value that was ever put, oldest first."""
    stored: int = 0
    """How many of them, from the oldest, are in the network."""


@dataclass(slots=True)
class Running:
    """An operation under way."""

    kind: str
    began: float
    measured: bool
    host: DhtHost
    about: Published | DhtHost
    """What was published, or the host that is looked for."""
    needed: int = 0
    """The oldest version that counts, or the one that is put."""
    accepted: bytes = b""
    """For resolves: the contact when it began."""


@dataclass(slots=True)
class Ended:
    """How one measured operation went."""

    kind: str
    ended: float
    latency_s: float
    succeeded: bool
    hops: int
    requests: int


class Workload:
    """The operations of one run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._settings = simulation.scenario.workload
        self._rng = stream(simulation.seed, "workload")
        self._number = 0
        self.running: dict[int, Running] = {}
        self.ended: list[Ended] = []
        self.abandoned = 0
        """Operations whose node went away."""
        self.records: list[Published] = []
        self._by_key: dict[bytes, Published] = {}
        self._contacts: list[DhtHost] = []
        self._provided: list[tuple[DhtHost, bytes]] = []

    # --- plans ---

    def choose(self) -> None:
        """Choose who will publish what. Before attackers choose their targets."""
        settings, owners = self._settings, self._simulation.residents
        for i in range(settings.records):
            owner = self._rng.choice(owners)
            name = b"record %d" % i
            self._publish(Published(owner, signed_key(owner.identity.peer_id, name), name))
        for i in range(settings.contents):
            value = self._text(f"content {i}")
            self._publish(Published(self._rng.choice(owners), blake3_key(value), versions=[value]))
        self._contacts = self._rng.sample([host for host in owners if host.serves], settings.contacts)
        self._provided = [
            (self._rng.choice(owners), blake3_key(material(self._simulation.seed, "provided", i)))
            for i in range(settings.provides)
        ]

    def _publish(self, record: Published) -> None:
        self.records.append(record)
        self._by_key[record.key] = record

    def plan(self) -> None:
        """Put everything into the world's time."""
        scenario, settings = self._simulation.scenario, self._settings
        early = scenario.settle_s * SETTLE_SHARE
        for record in self.records:
            self._at(0.0, early, partial(self._put, record, measured=False))
        for owner, key in self._provided:
            self._at(0.0, early, partial(self._provide, owner, key))
        begin, end = scenario.settle_s, scenario.end_s
        for count, start in (
            (settings.lookups, self._find),
            (settings.gets, self._get),
            (settings.resolves, self._resolve),
            (settings.provider_lookups, self._providers),
        ):
            for _ in range(count):
                self._at(begin, end, start)
        for _ in range(settings.puts):
            signed = [record for record in self.records if record.name]
            self._at(begin, end, partial(self._put, self._rng.choice(signed), measured=True))

    def _at(self, begin: float, end: float, start: Callable[[], None]) -> None:
        self._simulation.world.at(self._rng.uniform(begin, end), start)

    # --- for attackers ---

    def record_keys(self) -> list[bytes]:
        """Keys of all records."""
        return [record.key for record in self.records]

    def oldest(self, key: bytes) -> bytes | None:
        """The first version of a record, if it has been put."""
        record = self._by_key.get(key)
        return record.versions[0] if record is not None and record.versions else None

    def another(self, key: bytes) -> bytes | None:
        """A value of another record."""
        for record in self.records:
            if record.key != key and record.versions:
                return record.versions[-1]
        return None

    @property
    def publishers(self) -> list[DhtHost]:
        """Nodes whose contact is in nobody's store at the start, so that they publish it."""
        return self._contacts

    # --- operations ---

    def _find(self) -> None:
        target = self._simulation.target(self._rng)
        host = None if target is None else self._somebody(target)
        if target is not None and host is not None:
            self._start("find", host, target, partial(FindPeers, target=target.identity.key))

    def _get(self) -> None:
        ready = [record for record in self.records if record.stored]
        if ready:
            record = self._rng.choice(ready)
            host = self._somebody(record.owner)
            if host is not None:
                get = partial(Get, key=record.key)
                self._start("get", host, record, get, needed=record.stored - 1)

    def _resolve(self) -> None:
        target = self._rng.choice(self._contacts)
        host = self._somebody(target)
        if host is not None and target.online:
            resolve = partial(Get, key=contact_key(target.identity.peer_id))
            self._start("resolve", host, target, resolve, accepted=target.peer.wire.contact)

    def _providers(self) -> None:
        owner, key = self._rng.choice(self._provided)
        host = self._somebody(owner)
        if host is not None and owner.online:
            self._start("providers", host, owner, partial(FindProviders, key=key))

    def _put(self, record: Published, *, measured: bool) -> None:
        owner = record.owner
        if not owner.online or owner.state is not State.JOINED:
            # Not there yet, or just away: later.
            again = self._simulation.world.now + 1.0
            if again < self._simulation.scenario.end_s:
                self._simulation.world.at(again, partial(self._put, record, measured=measured))
            return
        if record.name:
            record.versions.append(self._signed(record))
        number = len(record.versions) - 1
        put = partial(Put, key=record.key, value=record.versions[number])
        self._start("put", owner, record, put, measured=measured, needed=number)

    def _provide(self, owner: DhtHost, key: bytes) -> None:
        if owner.online and owner.state is State.JOINED:
            self._start("provide", owner, owner, partial(Provide, key=key), measured=False)
        elif self._simulation.world.now < self._simulation.scenario.settle_s:
            self._simulation.world.at(self._simulation.world.now + 1.0, partial(self._provide, owner, key))

    def _signed(self, record: Published) -> bytes:
        sequence = len(record.versions) + 1
        return SignedRecord.issue(
            record.owner.identity.key_pair,
            record.name,
            self._text(f"{record.name!r} {sequence}"),
            network_id=NETWORK,
            sequence=sequence,
            expires_at=time_of_day(self._simulation.world.now) + LIFETIME,
        ).encode()

    def _text(self, about: str) -> bytes:
        start = material(self._simulation.seed, about)
        return (start * (self._settings.value_bytes // len(start) + 1))[: self._settings.value_bytes]

    def _somebody(self, but: Host) -> DhtHost | None:
        """A node that is online and has joined, at random; victims if there are any."""
        hosts = self._simulation.joiners or self._simulation.honest
        for _ in range(100):
            host = self._rng.choice(hosts)
            if host.online and host is not but and host.state is State.JOINED:
                return host
        return None

    def _start(
        self,
        kind: str,
        host: DhtHost,
        about: Published | DhtHost,
        command: Callable[..., Command],
        *,
        measured: bool = True,
        needed: int = 0,
        accepted: bytes = b"",
    ) -> None:
        self._number += 1
        now = self._simulation.world.now
        self.running[self._number] = Running(kind, now, measured, host, about, needed, accepted)
        host.command(command(operation=self._number, timeout_s=self._settings.timeout_s))

    # --- outcomes ---

    def completed(self, effect: Completed) -> None:
        """An operation of ``host`` is over."""
        running = self.running.pop(effect.operation)
        outcome, now = effect.outcome, self._simulation.world.now
        succeeded = self._succeeded(running, outcome)
        if running.kind == "put" and succeeded and isinstance(running.about, Published):
            running.about.stored = max(running.about.stored, running.needed + 1)
        if running.measured:
            hops, requests = getattr(outcome, "hops", 0), getattr(outcome, "requests", 0)
            latency_s = now - running.began
            self.ended.append(Ended(running.kind, now, latency_s, succeeded, hops, requests))

    def gone(self, host: DhtHost) -> None:
        """A node went away, and its operations with it."""
        for number in list(host.operations):
            running = self.running.pop(number, None)
            self.abandoned += running is not None and running.measured

    def _succeeded(self, running: Running, outcome: Outcome) -> bool:
        match outcome, running.about:
            case Stored(holders=holders), _:
                return bool(holders)
            case Found(value=value), Published(versions=versions):
                return value is not None and value in versions[running.needed :]
            case Found(value=value), DhtHost() as host:
                return value is not None and value in {running.accepted, host.peer.wire.contact}
            case Peers(peers=peers), DhtHost() as host:
                found = {peer.peer_id for peer in peers}
                if host.identity.peer_id in found or host.online or running.kind != "find":
                    return host.identity.peer_id in found
                nearest = self._simulation.honest_near(host.identity.key, 1)
                return bool(nearest) and nearest[0].identity.peer_id in found
            case _:
                return False  # The command was refused.
