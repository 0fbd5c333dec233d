"""The DHT of a node, as its program uses it: ``node.dht``.

Joins the room ``dht`` with the node's connections, its contact and its disk.
Bounds: those of the room; one search at a time for the address of each peer that calls wait for.
Trust:  what comes out was validated by the room, whoever sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger
from kontinuum.dht import events as ev
from kontinuum.dht.admission import Admission
from kontinuum.dht.config import OPERATION_TIMEOUT_S, DhtConfig
from kontinuum.dht.events import State
from kontinuum.dht.key_text import key_text
from kontinuum.dht.keys import KadKey, key_of, key_of_peer
from kontinuum.dht.node import Dht
from kontinuum.dht.records import SignedRecord, blake3_key, contact_key, default_validators, signed_key
from kontinuum.dht.service import Command, DhtService
from kontinuum.identity import Contact, PeerId
from kontinuum.identity.contact import newest
from kontinuum.node.errors import NotFoundError, NotStoredError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.base.clock import Clock
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import KeyPair
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.dht_disk import DhtDisk
    from kontinuum.node.neighbours import Neighbours
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection

SIGNED_LIFETIME_S = 24 * 3600.0
"""Seconds for which a signed record is valid unless its owner says otherwise. Our choice: a day, as
contacts."""

ADOPT_AFTER_S = 1.0
"""Seconds between a change of our identity and that of our place in the DHT. Our choice: peers to whom we
prove it on the connections that we have need no new ones by then."""

LOCATE_TIMEOUT_S = 10.0
"""Seconds that a call may look for the address of its peer. Our choice: as long as a dial."""

OnStep = Callable[[ev.Step], None]
"""Told of each request of an operation: who, named by whom, how fast."""

O = TypeVar("O", ev.Peers, ev.Stored, ev.Found)  # noqa: E741 -- an outcome

_NOBODY = {
    State.STARTING: "the node is still looking for its network",
    State.ALONE: "this node knows no other peer",
    State.UNREACHABLE: "none of the bootstrap and saved peers answers",
}

_log = RoomLogger("dht")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the network says of a peer."""

    contact: Contact
    """Its newest contact."""
    found: ev.Found
    """How it was found."""


class NodeDht:
    """Finds peers and records for one node. Made and started by the node.

    Each method takes ``timeout_s``, seconds for the whole operation (OPERATION_TIMEOUT_S if not given), and
    ``on_step``, which is told of each request. Cancelling one ends its search. While the node looks for its
    network, they wait.

    Args:
        key_pair: Who we are; signs records of ours.
        config: The node's settings.
        network: Our network's id.
        clock: Both clocks.
        rpc: The calls.
        neighbours: The node's connections and known peers.
        disk: Where records and the table are kept, if anywhere.
    """

    def __init__(
        self,
        key_pair: KeyPair,
        config: NodeConfig,
        *,
        network: bytes,
        clock: Clock,
        rpc: RpcService,
        neighbours: Neighbours,
        disk: DhtDisk | None,
    ) -> None:
        local = self._local = key_pair.peer_id
        self._key_pair = key_pair
        self._network = network
        self._neighbours = neighbours
        self._clock = clock
        self._disk = disk
        self.joined: Callable[[], None] = lambda: None
        """Told when the node has joined its network, each time that it does."""
        self._own: Contact
        self._seeds: tuple[Contact, ...] = ()
        self._adopting: asyncio.TimerHandle | None = None
        self._locating: dict[PeerId, asyncio.Task[bool]] = {}
        admission = self._admission = Admission(network, config.pow_bits)
        self.machine = Dht(
            local,
            DhtConfig(
                network_id=network,
                pow_bits=config.pow_bits,
                server=config.dht == "server",
                paths=config.dht_paths,
                quorum=config.dht_quorum,
                store_bytes_max=config.dht_store_bytes_max,
            ),
            rng=Rng(int.from_bytes(SystemEntropy().token(8))),
            calendar=lambda _now: clock.utc(),
            admission=admission,
            validators=default_validators(network, admission.check),
        )
        self.service = DhtService(
            self.machine,
            rpc,
            connection_of=neighbours.links.current.get,
            reach=self._reach,
            usable=neighbours.knows_us,
            keep=(lambda _change: None) if disk is None else disk.keep,
            state_changed=self._on_state,
        )

    # --- life ---

    async def start(self, own: Contact, seeds: Iterable[Contact]) -> None:
        """Restore what was kept, and look for the network: the seeds and the table of the last run."""
        self._own, self._seeds = own, tuple(seeds)
        saved: list[Contact] = []
        if self._disk is not None:
            saved = await self._disk.load(self.machine, self._clock, self._check)
        self.service.start(own, seeds=self._seeds, saved=saved)
        self._neighbours.met = self._on_met

    async def close(self) -> None:
        """Ask nobody any more, and save."""
        self._neighbours.met = lambda _contact, _connection: None
        if self._adopting is not None:
            self._adopting.cancel()
        for task in list(self._locating.values()):
            task.cancel()
        await asyncio.gather(*self._locating.values(), return_exceptions=True)
        await self.service.close()
        if self._disk is not None:
            await self._disk.close(self.machine)

    def contact_changed(self, own: Contact, *, moved: bool) -> None:
        """Our contact was renewed: it is published anew. If we ``moved``, we look around anew as well."""
        self._own = own
        self.service.feed(ev.SelfChanged(own))
        if moved:
            self.service.feed(ev.NetworkChanged())

    def adopt(self, key_pair: KeyPair, own: Contact) -> None:
        """Another identity is ours: signed records are its at once, and soon our place is.

        What we had published stays valid until it expires, and what we said under the former identity goes on
        being published until then; our former contact does not.
        """
        self._local, self._key_pair, self._own = key_pair.peer_id, key_pair, own
        if self._adopting is not None:
            self._adopting.cancel()
        loop = asyncio.get_running_loop()
        self._adopting = loop.call_later(ADOPT_AFTER_S, lambda: self.service.feed(ev.Adopted(self._own)))

    def renounced(self, peer_id: PeerId) -> None:
        """A peer goes by another identity now: nobody is there under this one."""
        self.service.feed(ev.Renounced(peer_id))

    @property
    def state(self) -> State:
        """Where the node stands with the network."""
        return self.machine.state

    @property
    def seeds(self) -> dict[str, int]:
        """How many bootstrap contacts there are, and how many of them are known to be dead."""
        dead = sum(seed.peer_id in self.service.dead_seeds for seed in self._seeds)
        return {"named": len(self._seeds), "dead": dead}

    @property
    def trouble(self) -> str:
        """Why the node cannot serve its network, as a sentence; empty while it can, or has none."""
        return _NOBODY[self.state] if self.state is State.UNREACHABLE else ""

    # --- records ---

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        keep: bool = True,
        timeout_s: float | None = None,
        on_step: OnStep | None = None,
    ) -> ev.Stored:
        """Store a record with the peers closest to its key.

        Args:
            key: What for; it says which values are valid (docs/protocols/records.md).
            value: The record, at most 64 KiB.
            keep: Publish it again until it expires, while this node runs.
            timeout_s: Seconds.
            on_step: Told of each request.

        Raises:
            RecordRefusedError: No peer would take it: the value does not belong to the key, or is too long.
            NotStoredError: Nobody keeps it now; it is published again later.
        """

        def command(operation: int, timeout_s: float) -> ev.Put:
            return ev.Put(
                operation=operation,
                timeout_s=timeout_s,
                trace=on_step is not None,
                key=key,
                value=value,
                keep=keep,
            )

        return self._stored(await self._operate(ev.Stored, command, timeout_s, on_step))

    async def get(self, key: bytes, *, timeout_s: float | None = None) -> bytes:
        """The newest valid record of ``key`` that several peers gave.

        Raises:
            NotFoundError: Nobody who was asked has a valid one.
        """
        _, value = await self.find_record(key, timeout_s=timeout_s)
        return value

    async def find_record(
        self,
        key: bytes,
        *,
        quorum: int = 0,
        timeout_s: float | None = None,
        on_step: OnStep | None = None,
    ) -> tuple[ev.Found, bytes]:
        """As :meth:`get`, and how it was found.

        Args:
            key: The record's key.
            quorum: Valid answers to wait for; 0 takes the setting ``dht_quorum``.
            timeout_s: Seconds.
            on_step: Told of each request.

        Raises:
            NotFoundError: As :meth:`get`.
        """

        def command(operation: int, timeout_s: float) -> ev.Get:
            return ev.Get(
                operation=operation, timeout_s=timeout_s, trace=on_step is not None, key=key, quorum=quorum
            )

        found = await self._operate(ev.Found, command, timeout_s, on_step)
        if found.value is None:
            raise NotFoundError(f"the record {key_text(key)}", self._why_nothing(complete=found.complete))
        return found, found.value

    async def put_content(self, content: bytes, *, timeout_s: float | None = None) -> bytes:
        """Store bytes under their BLAKE3 hash. Returns the key. Raises as :meth:`put`."""
        key = blake3_key(content)
        await self.put(key, content, timeout_s=timeout_s)
        return key

    async def put_signed(
        self,
        name: str,
        value: bytes,
        *,
        sequence: int | None = None,
        lifetime_s: float = SIGNED_LIFETIME_S,
        timeout_s: float | None = None,
    ) -> bytes:
        """Say something under a name of ours; saying something else later replaces it. Returns the key.

        Args:
            name: 1 to 64 bytes as UTF-8.
            value: What, a little less than 64 KiB.
            sequence: Higher than what was said before; by default the milliseconds since 1970.
            lifetime_s: Seconds until it is over, at most 30 days.
            timeout_s: Seconds.

        Raises:
            MisuseError: A value is out of its bounds.
            RecordRefusedError, NotStoredError: As :meth:`put`.
        """
        key, record = self.sign(name, value, sequence=sequence, lifetime_s=lifetime_s)
        await self.put(key, record, timeout_s=timeout_s)
        return key

    def sign(
        self,
        name: str,
        value: bytes,
        *,
        sequence: int | None = None,
        lifetime_s: float = SIGNED_LIFETIME_S,
    ) -> tuple[bytes, bytes]:
        """Key and record that :meth:`put_signed` would put."""
        at = self._clock.utc()
        record = SignedRecord.issue(
            self._key_pair,
            name.encode(),
            value,
            network_id=self._network,
            sequence=int(at.timestamp() * 1000) if sequence is None else sequence,
            expires_at=at + timedelta(seconds=lifetime_s),
        )
        return signed_key(self._local, name.encode()), record.encode()

    async def get_signed(self, peer_id: PeerId, name: str, *, timeout_s: float | None = None) -> SignedRecord:
        """What ``peer_id`` says under ``name``, the newest of it. Raises as :meth:`get`."""
        return SignedRecord.decode(await self.get(signed_key(peer_id, name.encode()), timeout_s=timeout_s))

    async def provide(
        self, key: bytes, *, timeout_s: float | None = None, on_step: OnStep | None = None
    ) -> ev.Stored:
        """Say that this node has what ``key`` names, and go on saying it while the node runs.

        Raises:
            RecordRefusedError: The key is none.
            NotStoredError: Nobody heard it; it is said again later.
        """

        def command(operation: int, timeout_s: float) -> ev.Provide:
            return ev.Provide(operation=operation, timeout_s=timeout_s, trace=on_step is not None, key=key)

        return self._stored(await self._operate(ev.Stored, command, timeout_s, on_step))

    def withdraw(self, key: bytes) -> None:
        """Stop publishing ``key``: a record of ours, or what we provide. Copies elsewhere expire."""
        self.service.feed(ev.Unprovide(key))

    async def find_providers(
        self, key: bytes, *, count: int = 20, timeout_s: float | None = None, on_step: OnStep | None = None
    ) -> ev.Peers:
        """Peers that say they have what ``key`` names; none is an answer too."""

        def command(operation: int, timeout_s: float) -> ev.FindProviders:
            return ev.FindProviders(
                operation=operation, timeout_s=timeout_s, trace=on_step is not None, key=key, count=count
            )

        return await self._operate(ev.Peers, command, timeout_s, on_step)

    # --- peers ---

    async def publish_contact(
        self, *, timeout_s: float | None = None, on_step: OnStep | None = None
    ) -> ev.Stored:
        """Store our contact now. It happens by itself: at the start, hourly, and whenever it changes.

        Raises:
            NotStoredError: Nobody keeps it now.
        """
        key, value = contact_key(self._local), self._own.encode()
        return await self.put(key, value, keep=False, timeout_s=timeout_s, on_step=on_step)

    async def resolve(
        self, peer_id: PeerId, *, timeout_s: float | None = None, on_step: OnStep | None = None
    ) -> Resolved:
        """Ask the network where a peer is; what this node knows already does not count.

        Raises:
            NotFoundError: The network does not know it.
        """
        found, value = await self.find_record(contact_key(peer_id), timeout_s=timeout_s, on_step=on_step)
        contact = self._check(value).contact  # Verified a moment ago, and so remembered.
        if peer_id != self._local:
            self._neighbours.add_contact(contact)
        return Resolved(contact, found)

    async def find_peers(
        self,
        target: PeerId | bytes,
        *,
        count: int = 0,
        timeout_s: float | None = None,
        on_step: OnStep | None = None,
    ) -> ev.Peers:
        """The living peers closest to a peer or to the key of a record.

        Args:
            target: A peer, or a record's key.
            count: How many; 0 takes k.
            timeout_s: Seconds.
            on_step: Told of each request.

        Raises:
            NotFoundError: Nobody answered.
        """
        place: KadKey = key_of_peer(target) if isinstance(target, PeerId) else key_of(target)

        def command(operation: int, timeout_s: float) -> ev.FindPeers:
            return ev.FindPeers(
                operation=operation,
                timeout_s=timeout_s,
                trace=on_step is not None,
                target=place,
                count=count,
            )

        peers = await self._operate(ev.Peers, command, timeout_s, on_step)
        if not peers.peers:
            raise NotFoundError("any peer", self._why_nothing(complete=peers.complete))
        return peers

    async def locate(self, peer_id: PeerId) -> bool:
        """Learn where a peer is, for a call that cannot reach it. Says whether there is news. Raises nothing.

        Many calls that want the same peer share one search.
        """
        if self.state is not State.JOINED:
            return False
        task = self._locating.get(peer_id)
        if task is None:
            task = self._locating[peer_id] = asyncio.create_task(self._locate(peer_id))
            task.add_done_callback(lambda _task: self._locating.pop(peer_id, None))
        return await asyncio.shield(task)

    async def _locate(self, peer_id: PeerId) -> bool:
        known = self._neighbours.store.get(peer_id)
        try:
            resolved = await self.resolve(peer_id, timeout_s=LOCATE_TIMEOUT_S)
        except KontinuumError as error:
            _log.debug("a peer was not found", peer=peer_id.short, reason=str(error))
            return False
        return known is None or newest(known.contact, resolved.contact) != known.contact

    # --- inside ---

    async def _operate(
        self,
        kind: type[O],
        command: Callable[[int, float], Command],
        timeout_s: float | None,
        on_step: OnStep | None,
    ) -> O:
        left_s = OPERATION_TIMEOUT_S if timeout_s is None else timeout_s
        if self.state is State.STARTING:
            started = self._clock.monotonic()
            try:
                async with asyncio.timeout(left_s):
                    await self.service.settled()
            except TimeoutError:
                raise NotFoundError("the network", _NOBODY[State.STARTING]) from None
            left_s = max(left_s - (self._clock.monotonic() - started), 0.001)
        outcome = await self.service.operate(command(self.service.number(), left_s), on_step)
        if isinstance(outcome, ev.Refused):
            raise RecordRefusedError(outcome.reason)
        if not isinstance(outcome, kind):
            raise AssertionError(outcome)  # noqa: TRY004 -- a fault of ours
        return outcome

    def _stored(self, stored: ev.Stored) -> ev.Stored:
        if not stored.holders:
            why = "; ".join(sorted({reason.name.lower() for _, reason in stored.refused}))
            why = f"it was refused ({why})" if why else self._why_nothing(complete=True)
            raise NotStoredError(why or "nobody answered", stored.refused)
        return stored

    def _why_nothing(self, *, complete: bool) -> str:
        return _NOBODY.get(self.state, "" if complete else "the time was over")

    def _check(self, encoded: bytes) -> Peer:
        return self._admission.check(encoded, self._clock.utc())

    async def _reach(self, contact: Contact) -> Connection:
        neighbours = self._neighbours
        saved = neighbours.store.get(contact.peer_id)
        if saved is not None:
            contact = newest(contact, saved.contact)
        return await neighbours.connection(contact.peer_id, contact.addresses, patient=True, anew=True)

    def _on_met(self, contact: Contact, connection: Connection) -> None:
        self.service.feed(ev.Met(contact, connection.remote_address[0]))

    def _on_state(self, state: State) -> None:
        match state:
            case State.UNREACHABLE:
                _log.error(_NOBODY[state], seeds=len(self._seeds), hint="the node goes on trying")
            case State.ALONE:
                _log.info("no other peer is known; the node waits until one comes")
            case State.JOINED:
                _log.info("the node has joined the network")
                self.joined()
            case State.STARTING:
                pass
