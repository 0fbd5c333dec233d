"""Virtual time: hosts, the messages between them, and one heap of what happens next.

Everything that happens is an event at a time; events of one time happen in the order in which they were
made. Each event that reaches a host is one line of the event log, whose SHA-256 is the digest of the run: two
runs with the same digest did the same, message for message.

Requests have exactly one end: a reply, or a failure with its reason. Which one is known when a message is
sent or delivered, so no time-out is kept for each.

Pure:    no I/O, clock or randomness of its own.
"""

from __future__ import annotations

from hashlib import sha256
from heapq import heappop, heappush
from struct import Struct
from typing import TYPE_CHECKING

from kontinuum.dht.events import Failure
from kontinuum.messages import kad
from kontinuum.sim.host import LINKS_MAX, SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId
    from kontinuum.messages.kad import KadMessage
    from kontinuum.sim.host import Host
    from kontinuum.sim.network import Network

REQUEST, REPLY, FAILED, WAKE, CALL, COMMAND, EFFECT = range(7)
"""Kinds of events, and of lines in the log."""

LOG_BYTES = 1 << 16
"""Bytes of the event log that are collected before they are hashed. Our choice: hashing is cheap in bulk."""

_LINE = Struct("<dBiiQ").pack
"""Time, kind, host, other host, and a number that differs when what happened differs."""

_NAMES = ("request", "reply", "failed", "timer", "call", "command", "effect")

_REASONS = {reason: number for number, reason in enumerate(Failure)}


class World:
    """The network and its time.

    Args:
        network: Delays and partitions.
        connect_timeout_s: Until a dial to nobody has failed.
        idle_s: Connections that carry nothing for so long are closed.
        encode: Pass every message through its codec.
        tell: Given each event as text: the host's number and a line. Slow; for replays and logs.
    """

    def __init__(
        self,
        network: Network,
        *,
        connect_timeout_s: float = 3.0,
        idle_s: float = 60.0,
        encode: bool = False,
        tell: Callable[[int, str], object] | None = None,
    ) -> None:
        self.now = 0.0
        self.network = network
        self.hosts: list[Host] = []
        self.events = 0
        """What reached a host so far."""
        self.messages = 0
        """Of these, requests."""
        self._tell = tell
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._encode = encode
        self._by_id: dict[PeerId, Host] = {}
        self._heap: list[tuple] = []  # type: ignore[type-arg]  # what follows the kind differs by kind
        self._serial = 0
        self._log = bytearray()
        self._hash = sha256()
        self._handlers: tuple[Callable[..., None], ...] = (
            self._deliver_request,
            self._deliver_reply,
            self._deliver_failure,
            self._deliver_wake,
            self._call,
        )
        """By the kinds of events."""

    # --- hosts and plans ---

    def add(self, host: Host) -> None:
        """A host comes to be; it is not online yet."""
        host.index = len(self.hosts)
        self.hosts.append(host)
        self._by_id[host.identity.peer_id] = host

    def host_of(self, peer_id: PeerId) -> Host | None:
        """The host with that identity."""
        return self._by_id.get(peer_id)

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Call something at a time, which is not in the past."""
        self._serial += 1
        heappush(self._heap, (time, self._serial, CALL, call))

    def wake(self, host: Host, time: float) -> None:
        """Call ``host.on_wake`` at ``time`` unless it asks for another time before."""
        host.wake_at = time
        self._serial += 1
        heappush(self._heap, (time, self._serial, WAKE, host))

    @property
    def digest(self) -> str:
        """SHA-256 of the event log so far, hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    # --- messages ---

    def ask(self, host: Host, request: int, peer: Peer, message: KadMessage, timeout_s: float) -> None:
        """Send a request; ends in one ``on_reply`` or ``on_failed``, unless the host goes down before."""
        now, network = self.now, self.network
        other = self._by_id.get(peer.peer_id)
        sent = now
        link = None if other is None else host.links.get(other.index)
        if link is not None and now - link[0] > self._idle_s:
            link = None
        if other is None or (link is None and not self._dialable(host, other, peer)):
            self._fail(now + min(self._connect_timeout_s, timeout_s), host, request, Failure.UNREACHABLE)
            return
        if link is None or (other.online and other.links.get(host.index) is not link):
            # No connection, or the other one has forgotten it and says so: one round trip for a new one.
            if not self._dialable(host, other, peer):
                self._fail(now + min(self._connect_timeout_s, timeout_s), host, request, Failure.UNREACHABLE)
                return
            sent += network.delay(host, other) + network.delay(other, host)
            link = self._link(host, other)
        link[0] = sent
        deadline = now + timeout_s
        if not other.online or not network.connected(host, other):
            self._fail(deadline, host, request, Failure.TIMEOUT)
            return
        line = (REQUEST, other, other.incarnation, host, host.incarnation, request, message, sent, deadline)
        self._serial += 1
        heappush(self._heap, (sent + network.delay(host, other), self._serial, *line))
        if network.duplicate and network.repeats():
            self._serial += 1
            heappush(self._heap, (sent + network.delay(host, other), self._serial, *line[:5], -1, *line[6:]))

    def note(self, host: Host, kind: int, number: int, text: str = "") -> None:
        """Write a line of the log that is no message: a command, an effect."""
        self._log += _LINE(self.now, kind, host.index, -1, number & 0xFFFFFFFFFFFFFFFF)
        if self._tell is not None:
            self._tell(host.index, f"{self.now:.6f} {_NAMES[kind]} {text}")

    # --- time ---

    def run(self, until_s: float) -> None:
        """Let everything happen up to that time."""
        heap, handlers = self._heap, self._handlers
        while heap and heap[0][0] <= until_s:
            entry = heappop(heap)
            self.now = entry[0]
            handlers[entry[2]](*entry[3:])
            if len(self._log) > LOG_BYTES:
                self._flush()
        self.now = max(self.now, until_s)

    # --- inside ---

    def _call(self, call: Callable[[], None]) -> None:
        call()

    def _deliver_reply(  # noqa: PLR0917  -- one entry of the heap
        self, host: Host, incarnation: int, other: Host, request: int, message: KadMessage, rtt_s: float
    ) -> None:
        if host.incarnation != incarnation:
            return
        first = message.closer_peers[0].peer_id if message.closer_peers else b""
        number = int.from_bytes(first[6:13]) << 8 | len(message.closer_peers)
        self._reach(host, REPLY, other.index, number)
        if self._tell is not None:
            self._tell(host.index, self._line("reply from", other, message))
        host.on_reply(request, kad.decode(kad.encode(message)) if self._encode else message, rtt_s, other.ip)

    def _deliver_failure(self, host: Host, incarnation: int, request: int, reason: Failure) -> None:
        if host.incarnation != incarnation:
            return
        self._reach(host, FAILED, -1, _REASONS[reason])
        if self._tell is not None:
            self._tell(host.index, f"{self.now:.6f} failed request {request}: {reason.value}")
        host.on_failed(request, reason)

    def _deliver_wake(self, host: Host) -> None:
        if host.wake_at != self.now:
            return
        self._reach(host, WAKE, -1, 0)
        if self._tell is not None:
            self._tell(host.index, f"{self.now:.6f} timer")
        host.wake_at = float("inf")
        host.on_wake()

    def _deliver_request(  # noqa: PLR0917  -- one entry of the heap
        self,
        host: Host,
        incarnation: int,
        asker: Host,
        asked_by: int,
        request: int,
        message: KadMessage,
        sent: float,
        deadline: float,
    ) -> None:
        if host.incarnation != incarnation:
            if request >= 0:
                self._fail(deadline, asker, request, Failure.TIMEOUT, asked_by)
            return
        self.messages += 1
        self._reach(host, REQUEST, asker.index, int.from_bytes(message.key[-7:]) << 8 | message.type)
        if self._tell is not None:
            self._tell(host.index, self._line("request from", asker, message))
        answer = host.on_request(asker, kad.decode(kad.encode(message)) if self._encode else message)
        if request < 0:
            return
        if answer is SILENCE:
            self._fail(deadline, asker, request, Failure.TIMEOUT, asked_by)
            return
        back = self.now + host.think_s + self.network.delay(host, asker)
        if back > deadline or not self.network.connected(host, asker):
            self._fail(deadline, asker, request, Failure.TIMEOUT, asked_by)
        elif answer is None:
            self._fail(back, asker, request, Failure.REFUSED, asked_by)
        else:
            self._serial += 1
            heappush(
                self._heap, (back, self._serial, REPLY, asker, asked_by, host, request, answer, back - sent)
            )

    def _reach(self, host: Host, kind: int, other: int, number: int) -> None:
        """Something reaches a host: one line of the event log."""
        self.events += 1
        self._log += _LINE(self.now, kind, host.index, other, number)

    def _fail(
        self, time: float, host: Host, request: int, reason: Failure, incarnation: int | None = None
    ) -> None:
        self._serial += 1
        known = host.incarnation if incarnation is None else incarnation
        heappush(self._heap, (time, self._serial, FAILED, host, known, request, reason))

    def _dialable(self, host: Host, other: Host, peer: Peer) -> bool:
        return (
            other.online
            and peer.ip == other.ip
            and other.nat.dialable
            and self.network.connected(host, other)
        )

    def _link(self, host: Host, other: Host) -> list[float]:
        link = [self.now]
        for one, peer in ((host, other), (other, host)):
            if len(one.links) >= LINKS_MAX:
                one.links.pop(next(iter(one.links)))[0] = float("-inf")
            one.links[peer.index] = link
        return link

    def _line(self, what: str, other: Host, message: KadMessage) -> str:
        parts = [f"{self.now:.6f} {what} {other.index}: {message.type.name} {message.key.hex()[:16]}"]
        if message.closer_peers:
            parts.append(f"{len(message.closer_peers)} closer")
        if message.record is not None:
            parts.append(f"record of {len(message.record.value)} bytes")
        if message.refusal:
            parts.append(f"refusal {message.refusal}")
        return ", ".join(parts)

    def _flush(self) -> None:
        self._hash.update(self._log)
        self._log.clear()
