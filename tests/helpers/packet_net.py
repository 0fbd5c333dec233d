"""Native endpoints without sockets, under virtual time, joined by links that delay, lose, repeat and reorder.

The real engine runs here, packet for packet as on a socket; only clock and wires are ours. One run is a
function of its seed: ``PacketNet.log`` can be compared with that of another run.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kontinuum import _native

Address = tuple[str, int]
Event = tuple[Any, ...]

CLOSED, CONNECTED, PATH = _native.CLOSED, _native.CONNECTED, _native.PATH
SPIN_MAX = 10_000
"""Drives of one endpoint at one instant; an engine that wants more is stuck."""


@dataclass(slots=True)
class Link:
    """One direction between two addresses."""

    delay_s: float = 0.01
    jitter_s: float = 0.0
    """Up to this much is added at random, so packets overtake each other."""
    loss: float = 0.0
    repeat: float = 0.0
    """Share of packets that arrive twice."""
    cut: bool = False
    drop: Callable[[bytes], bool] = lambda _datagram: False
    """Further packets to lose."""
    sent: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One datagram as it was sent."""

    at: float
    source: Address
    to: Address
    length: int
    ids: bytes
    """The connection ids that its header shows."""


@dataclass(slots=True)
class Host:
    """An endpoint, its addresses and what it was told."""

    native: _native.Endpoint
    addresses: list[Address]
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] | None = None
    deadline: float | None = None
    driven_at: float = -1.0

    def open(
        self, connection: int, token: int = 1, *, messages: bool = False, bidirectional: bool = True
    ) -> int:
        """Open a stream that the peer allows at once."""
        stream = self.native.open(connection, token, b"a/b", messages, bidirectional)
        assert stream is not None
        return stream

    def of(self, kind: int) -> list[Event]:
        """The events of one kind so far."""
        return [event for event in self.events if event[0] == kind]


class PacketNet:
    """The network. Links exist between all addresses; :meth:`link` changes one."""

    def __init__(self, seed: int = 0, **defaults: Any) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)  # noqa: S311 -- chance of a simulation
        self.seed = seed
        self.hosts: dict[str, Host] = {}
        self.log: list[Packet] = []
        self._defaults = defaults
        self._links: dict[tuple[Address, Address], Link] = {}
        self._queue: list[tuple[float, int, Address, Address, bytes]] = []
        self._count = 0
        self._owners: dict[Address, Host] = {}

    def host(self, name: str, *addresses: str, **settings: Any) -> Host:
        """Add an endpoint under IP addresses; its key and ids are a function of the seed and ``name``."""
        own: list[Address] = [(address, 4433) for address in addresses or (f"10.0.0.{len(self.hosts) + 1}",)]
        number = len(self.hosts) + 1
        if not settings.get("bbr"):  # BBR cannot be seeded.
            settings.setdefault("rng_seed", bytes([number]) + self.seed.to_bytes(31, "big"))
        host = Host(_native.Endpoint(bytes([number] * 32), None, settings), own)
        self.hosts[name] = host
        self._owners.update(dict.fromkeys(own, host))
        return host

    def link(self, source: Address, to: Address) -> Link:
        """The direction from ``source`` to ``to``."""
        return self._links.setdefault((source, to), Link(**self._defaults))

    def both(self, one: Address, other: Address, **changes: Any) -> None:
        """Change both directions between two addresses."""
        for link in (self.link(one, other), self.link(other, one)):
            for name, value in changes.items():
                setattr(link, name, value)

    def dial(self, dialler: Host, to: Host, token: int = 1, **more: Any) -> int:
        """Begin a handshake between the first addresses."""
        host, port = to.addresses[0]
        return dialler.native.connect(token, host, port, to.native.public_key, **more)

    def connect(self, dialler: Host, to: Host, token: int = 1) -> tuple[int, int]:
        """A whole handshake: the connection's number on each side."""
        self.dial(dialler, to, token)
        before = len(to.of(CONNECTED))
        self.run(until=lambda: len(to.of(CONNECTED)) > before, for_s=10)
        ours = next(event[1] for event in dialler.of(CONNECTED) if event[2] == token)
        return ours, to.of(CONNECTED)[-1][1]

    def run(self, for_s: float = 1.0, until: Callable[[], bool] | None = None) -> None:
        """Let time pass, or until ``until`` holds, which it must within ``for_s``."""
        end = self.now + for_s
        self._drive_all()
        while until is None or not until():
            due = [host.deadline for host in self.hosts.values() if host.deadline is not None]
            if self._queue:
                due.append(self._queue[0][0])
            at = max(self.now, min(due, default=end))
            if at >= end:
                self.now = end
                self._drive_all()
                assert until is None or until(), f"not within {for_s} virtual seconds (seed {self.seed})"
                return
            self.now = at
            while self._queue and self._queue[0][0] <= self.now:
                self._deliver(*heapq.heappop(self._queue)[2:])
            self._drive_all()

    def inject(self, to: Host, source: Address, datagram: bytes) -> None:
        """A datagram from nowhere, now."""
        to.native.feed(self.now, datagram, *source)
        self._drive(to)

    def _deliver(self, source: Address, to: Address, datagram: bytes) -> None:
        if (host := self._owners.get(to)) is not None:
            host.native.feed(self.now, datagram, *source)

    def _drive_all(self) -> None:
        for host in self.hosts.values():
            self._drive(host)

    def _drive(self, host: Host) -> None:
        for _ in range(SPIN_MAX):
            events, transmits, host.deadline = host.native.drive(self.now)
            for to, datagrams in transmits:
                for datagram in datagrams:
                    self._send(host, to, datagram)
            host.events.extend(events)
            if host.on_event is not None:
                for event in events:
                    host.on_event(event)
            if not events and not transmits and (host.deadline is None or host.deadline > self.now):
                return
        raise AssertionError("the engine does not come to rest")

    def _send(self, host: Host, to: Address, datagram: bytes) -> None:
        # Several addresses: the one of the same network sends, as a routing table would choose.
        source = next(
            (own for own in host.addresses if own[0].rsplit(".", 2)[0] == to[0].rsplit(".", 2)[0]), None
        )
        source = source or host.addresses[0]
        self.log.append(Packet(self.now, source, to, len(datagram), visible_ids(datagram)))
        link = self.link(source, to)
        link.sent += 1
        # The same draws for every packet, so that one changed link does not change the chance of another.
        loss, repeat, first, second = (self.rng.random() for _ in range(4))
        if link.cut or loss < link.loss or link.drop(datagram):
            return
        for lateness in (first, second) if repeat < link.repeat else (first,):
            self._count += 1
            at = self.now + link.delay_s + lateness * link.jitter_s
            heapq.heappush(self._queue, (at, self._count, source, to, datagram))


def visible_ids(datagram: bytes) -> bytes:
    """The ids in the first header: both of a long one, eight bytes of a short one (RFC 9000, section 17)."""
    if not datagram[0] & 0x80:
        return datagram[1:9]
    destination = 6 + datagram[5]
    return datagram[6:destination] + datagram[destination + 1 : destination + 1 + datagram[destination]]


class Application:
    """What sits on one host: answers calls, returns messages and bytes, collects what it is given.

    Reads at once unless ``paused``, answers at once unless ``silent``; :meth:`resume` makes up for both.
    """

    def __init__(self, host: Host, *, echo: bool = True) -> None:
        self.host, self.echo, self.paused, self.silent = host, echo, False, False
        self.replies: dict[int, tuple[int, bytes]] = {}
        self.failed: dict[int, int] = {}
        self.data: dict[int, bytearray] = {}
        self.messages: dict[int, list[bytes]] = {}
        self.calls: list[bytes] = []
        self.waiting_calls: list[tuple[int, int, bytes]] = []
        self.ended: dict[int, Any] = {}
        self.accepted: list[int] = []
        self.opened: dict[int, int] = {}
        self.closed: list[Event] = []
        self._unread: dict[tuple[int, int], list[bytes] | None] = {}
        host.on_event = self.on_event

    def on_event(self, event: Event) -> None:
        """Do what an honest application does."""
        match event:
            case (_native.CALL, connection, stream, _, _, body):
                self.calls.append(body)
                if self.silent:
                    self.waiting_calls.append((connection, stream, body))
                else:
                    self._answer(connection, stream, body)
            case (_native.REPLY, token, status, body):
                assert token not in self.replies, "answered twice"
                self.replies[token] = (status, body)
            case (_native.CALL_FAILED, token, code):
                self.failed[token] = code
            case (_native.OPENED, _, stream, token):
                self.opened[token] = stream
            case (_native.ACCEPTED, _, stream, *_):
                self.accepted.append(stream)
            case (_native.READABLE, connection, stream):
                self._unread[connection, stream] = None
            case (_native.MESSAGE, connection, stream, body):
                self._unread.setdefault((connection, stream), [])
                unread = self._unread[connection, stream]
                assert unread is not None
                unread.append(body)
            case (_native.FINISHED, _, stream):
                self.ended[stream] = "finished"
            case (_native.WAS_RESET, _, stream, code):
                self.ended[stream] = code
            case (_native.CLOSED, *_):
                self.closed.append(event)
        if not self.paused:
            self._read_all()

    def resume(self) -> None:
        """Go on reading and answering."""
        self.paused = self.silent = False
        for waiting in self.waiting_calls:
            self._answer(*waiting)
        self.waiting_calls.clear()
        self._read_all()

    def _answer(self, connection: int, stream: int, body: bytes) -> None:
        if self.echo:
            self.host.native.reply(connection, stream, 0, body)

    def _read_all(self) -> None:
        unread, self._unread = self._unread, {}
        for (connection, stream), messages in unread.items():
            if messages is None:
                for part in self._parts(connection, stream):
                    self.data.setdefault(stream, bytearray()).extend(part)
            else:
                for message in messages:
                    self.messages.setdefault(stream, []).append(message)
                    self._quietly(self.host.native.consume, connection, stream, len(message))

    def _parts(self, connection: int, stream: int) -> Iterator[bytes]:
        while True:
            try:
                part = self.host.native.read(connection, stream, 1 << 16)
            except BrokenPipeError:
                return
            if not part:
                if part is not None:
                    self.ended[stream] = "finished"
                return
            yield part

    @staticmethod
    def _quietly(act: Callable[..., Any], *arguments: int) -> None:
        try:
            act(*arguments)
        except BrokenPipeError:
            return
