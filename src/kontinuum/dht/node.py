"""The DHT of one node: the machine that all parts of this room belong to.

Events in, effects out (``events.py``). ``joining`` finds the way in, ``membership`` decides who enters the
routing table, ``refreshing`` and ``replication`` keep it and the records up, ``commands`` and ``operations``
do what our program wants, ``responder`` what others ask.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002; Baumgart and Mies, "S/Kademlia", ICPADS 2007; libp2p
        specs, kad-dht/README.md. Where we differ, the parts say so.
Bounds:   OPERATIONS_MAX operations; those of the parts.
Trust:    every contact is verified on every way in, every record when stored and when read; an answer that
          was not asked for changes nothing.
Pure:     no I/O or clock; chance is a seedable Rng. Driven by ``kontinuum.dht.service`` and
          ``kontinuum.sim``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.dht import events as ev
from kontinuum.dht.adaptive import Adaptation
from kontinuum.dht.commands import Commands
from kontinuum.dht.config import K_MAX, OPERATION_TIMEOUT_S
from kontinuum.dht.events import Failure, State
from kontinuum.dht.figures import DhtFigures
from kontinuum.dht.joining import Joining
from kontinuum.dht.keys import KEY_BITS, key_of_peer
from kontinuum.dht.membership import Membership
from kontinuum.dht.operation import Arrived
from kontinuum.dht.operations import PutOperation
from kontinuum.dht.parts import Parts
from kontinuum.dht.records import Publications, Records, contact_key
from kontinuum.dht.refreshing import Refreshing
from kontinuum.dht.replication import Replication
from kontinuum.dht.responder import Responder
from kontinuum.dht.routing_table import RoutingTable
from kontinuum.dht.rtt_hint import expected_s
from kontinuum.dht.underway import OPERATIONS_MAX, UPKEEP_MAX, Underway
from kontinuum.messages.kad import KadMessage, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from kontinuum.base.entropy import Rng
    from kontinuum.dht.admission import Admission
    from kontinuum.dht.config import DhtConfig
    from kontinuum.dht.events import Effect, Event
    from kontinuum.dht.operation import Operation, Want
    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records import Validators
    from kontinuum.dht.underway import Request, Running
    from kontinuum.identity import Contact, PeerId


class Dht:
    """The DHT of one node.

    Args:
        local: Who we are.
        config: The settings.
        rng: Chance for choices that are no secret.
        calendar: The time of day at a monotonic time; records and contacts have a validity.
        admission: Decides whether a contact may be used; several nodes of a simulation share one.
        validators: Which records are valid.
    """

    def __init__(
        self,
        local: PeerId,
        config: DhtConfig,
        *,
        rng: Rng,
        calendar: Callable[[float], datetime],
        admission: Admission,
        validators: Validators,
    ) -> None:
        defences, key = config.defences, key_of_peer(local)
        parts = self.parts = Parts(
            local=local,
            key=key,
            config=config,
            admission=admission,
            validators=validators,
            table=RoutingTable(
                key, k=config.k, prefix_caps=defences.prefix_caps, prefer_old=defences.prefer_old
            ),
            records=Records(
                validators,
                bytes_max=config.store_bytes_max,
                quotas=defences.quotas,
                validate=defences.validate_records,
                newest=defences.newest_of_several,
            ),
            adaptation=Adaptation(k=config.k, alpha=config.alpha, adaptive=config.adaptive),
        )
        self.config = config
        self.table = parts.table
        self.tiers = parts.tiers
        self.adaptation = parts.adaptation
        self.records = parts.records
        self._rng = rng
        self._calendar = calendar
        self._membership = Membership(
            parts.table, ping_first=defences.ping_first, joined=self._on_joined, left=self._on_left
        )
        self._joining = Joining()
        self._told = State.STARTING
        self._responder = Responder(parts)
        self._commands = Commands(parts)
        self._publications = Publications()
        self._refreshing = Refreshing(key, parts.table, interval_s=config.refresh_interval_s)
        self._refresh = 0
        """The operation that refreshes the table."""
        self._replication = Replication(parts)
        self._underway = Underway(config.request_timeout_s)
        self._upkeep = 0
        """The number of the last operation of upkeep: they go below 0, where no command is."""
        self._out: list[Effect] = []
        self._handlers: dict[type, Callable[..., None]] = {
            ev.Start: self._on_start,
            ev.SelfChanged: self._on_self_changed,
            ev.Adopted: self._on_adopted,
            ev.Met: self._on_met,
            ev.Request: self._on_request,
            ev.Reply: self._on_reply,
            ev.Failed: self._on_failed,
            ev.Renounced: self._on_renounced,
            ev.NetworkChanged: self._on_network_changed,
            ev.FindPeers: self._on_command,
            ev.Put: self._on_command,
            ev.Get: self._on_command,
            ev.Provide: self._on_command,
            ev.FindProviders: self._on_command,
            ev.Unprovide: self._on_unprovide,
            ev.Cancel: self._on_cancel,
        }

    @property
    def state(self) -> State:
        """Where we stand with the network."""
        return self._joining.state

    # --- the machine ---

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return what shall be done about it, in order."""
        self._handlers[type(event)](event, now)
        return self._effects()

    def handle_timeout(self, now: float) -> list[Effect]:
        """Take the time; return what is due."""
        self._ask_candidates(self._joining.handle_timeout(now), now)
        for number, running in self._underway.due(now):
            self._want(number, running.machine.handle_timeout(now), now)
            self._moved(number, now)
        if self.state is State.JOINED:
            self._do_upkeep(now)
        return self._effects()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` wants to be called."""
        due = [self._underway.next_deadline()]
        if self.state is State.JOINED:
            due += (part.next_deadline() for part in (self._membership, self._refreshing, self._replication))
            if self._underway.upkeep < UPKEEP_MAX:
                due.append(self._publications.next_deadline())
        else:
            due.append(self._joining.next_deadline())
        return min((at for at in due if at is not None), default=None)

    def restore(self, keeps: Iterable[tuple[ev.Keep, Peer | None]], now: float) -> None:
        """Records from disk, before :class:`Start`; invalid ones are left out."""
        at = self._calendar(now)
        for keep, provider in keeps:
            self.records.restore(keep, provider, at)

    def saved_contacts(self) -> list[Contact]:
        """The table, to be written to disk: those in it for longest come first."""
        return [peer.contact for peer in self.table.oldest()]

    def figures(self) -> DhtFigures:
        """For metrics."""
        return DhtFigures(
            state=self.state,
            network_size=self.parts.density.estimate(),
            operations=len(self._underway),
            requests=self._underway.requests,
            publications=len(self._publications),
            table=self.table.fill(),
            records=self.records.figures(),
            tiers=self.tiers.figures(),
            adaptation=self.adaptation.why(),
            counts=dict(self.parts.counts),
        )

    # --- joining and membership ---

    def _on_start(self, event: ev.Start, now: float) -> None:
        at = self._calendar(now)
        candidates: dict[PeerId, Peer] = {}
        for contact in (*event.seeds, *event.saved):
            try:
                peer = self.parts.admission.check_contact(contact, at, lasting=True)
            except PeerError:
                self.parts.counts["contacts_refused"] += 1
                continue
            if peer.peer_id != self.parts.local:
                candidates.setdefault(peer.peer_id, peer)
        self._replication.start(now)
        if candidates and self.config.defences.prefer_old:
            self._membership.look_around()
        self._ask_candidates(self._joining.start(list(candidates.values()), now), now)

    def _on_self_changed(self, event: ev.SelfChanged, now: float) -> None:
        at = self._calendar(now)
        own = self.parts.admission.check_contact(event.contact, at, lasting=True)
        self._commands.own = own
        self._responder.own_contact = own.wire.contact
        self._publications.add_contact(event.contact, now=now, at=at)

    def _on_adopted(self, event: ev.Adopted, now: float) -> None:
        parts, former = self.parts, self.parts.local
        parts.local = event.contact.peer_id
        parts.key = key_of_peer(parts.local)
        self.table.move(parts.key)
        self._refreshing.move(parts.key)
        self._publications.remove(contact_key(former))
        self._on_self_changed(ev.SelfChanged(event.contact), now)
        self._publications.again(now)
        self._refreshing.all(now)

    def _on_met(self, event: ev.Met, now: float) -> None:
        try:
            peer = self.parts.admission.check_contact(event.contact, self._calendar(now))
        except PeerError:
            self.parts.counts["contacts_refused"] += 1
            return
        self._ping(self._membership.consider(peer, event.ip, now), now)

    def _on_renounced(self, event: ev.Renounced, now: float) -> None:
        self._membership.renounced(event.peer, now)

    def _on_network_changed(self, _event: ev.NetworkChanged, now: float) -> None:
        self._refreshing.all(now)

    def _on_joined(self, peer: Peer, now: float) -> None:
        self._replication.joined(peer, now)

    def _on_left(self, peer: Peer, now: float) -> None:
        self._replication.left(peer, now)
        if not len(self.table):
            self._joining.lost((), now)

    def _ping(self, peers: Iterable[Peer], now: float) -> None:
        for peer in peers:
            self._ask(peer, self._hello(), now)

    def _ask_candidates(self, peers: Iterable[Peer], now: float) -> None:
        for peer in peers:
            self._ask(peer, self._hello(), now, candidate=True)

    def _hello(self) -> KadMessage:
        return KadMessage(MessageType.PING, sender=self._commands.sender)

    # --- others ask ---

    def _on_request(self, event: ev.Request, now: float) -> None:
        at, counts = self._calendar(now), self.parts.counts
        counts["requests_" + event.message.type.name.lower()] += 1
        reply = self._responder.answer(event, at, now)
        if reply is not None and reply.refusal:
            counts["refused_" + ev.Refusal(reply.refusal).name.lower()] += 1
        self._out.append(ev.Answer(event.ticket, reply))
        if event.message.sender and self.parts.config.server:
            try:
                peer = self.parts.admission.check(event.message.sender, at)
            except PeerError:
                counts["contacts_refused"] += 1
                return
            if peer.peer_id == event.sender:
                self._ping(self._membership.consider(peer, event.ip, now), now)

    # --- answers to us ---

    def _on_reply(self, event: ev.Reply, now: float) -> None:
        request = self._underway.ended(event.request)
        if request is None:
            return
        peer, message, at = request.peer, event.message, self._calendar(now)
        self.adaptation.answered(now, event.rtt_s, known=peer.peer_id in self.table)
        self.parts.patience.answered(now - request.sent_at)
        if (ip := event.ip or peer.ip) is not None:
            self.parts.tiers.observe(ip, event.rtt_s, now)
        if message.sender:
            peer = self._newest(peer, message.sender, at)
        if self.state is not State.JOINED and peer.serves:
            self._joining.answered()
            self._refreshing.all(now)
        searched = request.operation is not None
        self._ping(self._membership.answered(peer, ip, now, event.rtt_s, searched=searched), now)
        if request.candidate:
            self._ask_candidates(self._joining.ended(now), now)
        if request.record:
            self._replication.answered(request.peer, request.record, message.refusal, now)
        number = request.operation
        if number is not None and (running := self._underway.get(number)) is not None:
            if running.trace:
                self._step(request, running, event.rtt_s)
            closer, refused = self.parts.admission.check_all(message.closer_peers, at, count_max=K_MAX)
            self.parts.counts["contacts_refused"] += refused
            hints = expected_s(message.closer_peers, event.rtt_s) if self.config.rtt_hints else None
            arrived = Arrived(peer, ip, message, closer, hints)
            self._want(number, running.machine.answered(arrived, now, at), now)
            self._moved(number, now)

    def _on_failed(self, event: ev.Failed, now: float) -> None:
        request = self._underway.ended(event.request)
        if request is None:
            return
        parts = self.parts
        parts.counts["failed_" + event.reason.name.lower()] += 1
        known = request.peer.peer_id in self.table
        if event.reason is Failure.TIMEOUT:
            parts.adaptation.timed_out(now, known=known)
        elif event.reason is Failure.UNREACHABLE:
            parts.adaptation.unreachable(now, known=known)
        if event.reason is Failure.REFUSED:
            self.table.seen(request.peer.peer_id, now)  # Busy, and therefore alive.
        else:
            self._ping(self._membership.failed(request.peer, now), now)
            if self._membership.silence:  # It is we who are cut off, or everybody is gone.
                self._joining.lost(self.table.oldest(), now)
        if request.candidate:
            self._ask_candidates(self._joining.ended(now), now)
        number = request.operation
        if number is not None and (running := self._underway.get(number)) is not None:
            if running.trace:
                self._step(request, running, None)
            self._want(number, running.machine.failed(request.peer, now), now)
            self._moved(number, now)

    def _newest(self, peer: Peer, encoded: bytes, at: datetime) -> Peer:
        """A peer tells its contact of today: a user's list may hold an old one."""
        try:
            told = self.parts.admission.check(encoded, at)
        except PeerError:
            return peer
        return told if told.peer_id == peer.peer_id and told.replaces(peer) else peer

    def _step(self, request: Request, running: Running, rtt_s: float | None) -> None:
        search, peer, command = running.machine.search, request.peer, running.command
        if command is None:
            return
        via, path, hop = search.trace(peer.peer_id)
        started_s = request.sent_at - running.started
        shared = KEY_BITS - (search.target ^ peer.key).bit_length()
        self._out.append(ev.Step(command.operation, peer, via, path, hop, started_s, rtt_s, shared))

    # --- our program asks ---

    def _on_command(self, command: ev.Command, now: float) -> None:
        if len(self._underway) >= OPERATIONS_MAX:
            self._refuse(command, f"{OPERATIONS_MAX} operations are under way; wait for one of them")
        elif command.operation < 0 or self._underway.get(command.operation) is not None:
            self._refuse(command, "an operation's number is 0 or more, and not that of one under way")
        elif (machine := self._operation(command, now)) is not None:
            self._run(command.operation, machine, command, now)

    def _operation(self, command: ev.Command, now: float) -> Operation | None:
        at, deadline = self._calendar(now), now + command.timeout_s
        match command:
            case ev.FindPeers(target=target, count=count):
                return self._commands.find(target, now, deadline, count)
            case ev.Get():
                return self._commands.get(command, now, at)
            case ev.FindProviders():
                return self._commands.find_providers(command, now, at)
            case ev.Provide(key=key):
                self._publications.add(key, None, now=now, at=at)
                self._begun(key, now)
                return self._commands.provide(key, now, deadline)
            case ev.Put(key=key, value=value, keep=keep):
                try:
                    valid = self.parts.validators.validate(key, value, at)
                except PeerError as error:
                    self._refuse(command, str(error))
                    return None
                if keep:
                    self._publications.add(key, value, now=now, at=at, expires_at=valid.expires_at)
                    self._begun(key, now)
                return self._commands.store(key, value, now, deadline)
            case _:
                raise AssertionError(command)

    def _begun(self, key: bytes, now: float) -> None:
        if self.state is State.JOINED:  # Otherwise it stays due, for when there is somebody to hold it.
            self._publications.begun(key, now)

    def _refuse(self, command: ev.Command, reason: str) -> None:
        self._out.append(ev.Completed(command.operation, ev.Refused(reason)))

    def _on_cancel(self, event: ev.Cancel, _now: float) -> None:
        self._underway.cancel(event.operation)

    def _on_unprovide(self, event: ev.Unprovide, _now: float) -> None:
        self._publications.remove(event.key)

    # --- upkeep ---

    def _do_upkeep(self, now: float) -> None:
        self._ping(self.table.set_k(self.parts.adaptation.k), now)
        deadline = now + OPERATION_TIMEOUT_S
        self._ping(self._membership.recheck(now), now)
        while (place := self._refreshing.due(now, self._rng)) is not None:
            self._refresh = self._upkeep - 1  # With nobody to ask it is over at once, and the next one due.
            self._run_upkeep(self._commands.find(place, now, deadline), now)
        for key in self._publications.due(now, max(0, UPKEEP_MAX - self._underway.upkeep)):
            published = self._publications.get(key)
            if published is not None and published.value is not None:
                self._run_upkeep(self._commands.store(key, published.value, now, deadline), now)
            if published is not None and published.provided:
                self._run_upkeep(self._commands.provide(key, now, deadline), now)
        at = self._calendar(now)
        self.records.expire(at)
        for key, peer in self._replication.handle_timeout(now):
            if (value := self.records.get(key, at)) is not None:
                self._ask(peer, self._commands.put_message(key, value), now, record=key)
                self.parts.counts["replicated"] += 1

    def _run_upkeep(self, machine: Operation, now: float) -> None:
        self._upkeep -= 1
        self._run(self._upkeep, machine, None, now)

    # --- operations and requests ---

    def _run(self, number: int, machine: Operation, command: ev.Command | None, now: float) -> None:
        self._underway.begin(number, machine, command, now)
        self._want(number, machine.start(now), now)
        self._moved(number, now)

    def _want(self, number: int, wants: Sequence[Want], now: float) -> None:
        ask, out = self._underway.ask, self._out
        for peer, message in wants:
            out.append(ask(peer, message, now, operation=number))

    def _moved(self, number: int, now: float) -> None:
        """An operation has taken something in: it may be over, or wait for another time."""
        running = self._underway.moved(number)
        if running is None:
            return
        search, outcome = running.machine.search, running.machine.outcome
        if running.machine.whole:
            distances = [search.target ^ peer.key for peer in search.closest(search.k)]
            self.parts.density.observe(search.target, distances)
        if isinstance(running.machine, PutOperation) and running.machine.enough:
            self._publications.published(running.machine.key, now)
        if running.command is not None and outcome is not None:
            self._out.append(ev.Completed(running.command.operation, outcome))
        elif number == self._refresh:
            self._ping(self._membership.found(search.closest(search.k), now), now)
            newcomer = not self._refreshing.settled
            self._refreshing.ended(now)
            if self._refreshing.settled:
                self._membership.settle()
                self._replication.settle()
                if newcomer:  # What it published while it knew hardly anybody may be with the wrong ones.
                    self._publications.again(now)

    def _ask(
        self,
        peer: Peer,
        message: KadMessage,
        now: float,
        *,
        candidate: bool = False,
        record: bytes = b"",
    ) -> None:
        self._out.append(self._underway.ask(peer, message, now, candidate=candidate, record=record))

    def _effects(self) -> list[Effect]:
        effects, self._out = self._out, []
        if self.records.changed:
            effects[:0] = self.records.effects()  # On disk before anyone hears of it.
        if self._told is not self.state:
            self._told = self.state
            if self.state in (State.ALONE, State.UNREACHABLE):
                self._membership.settle()  # Whoever comes is welcome.
            effects.append(ev.StateChanged(self.state))
        return effects
