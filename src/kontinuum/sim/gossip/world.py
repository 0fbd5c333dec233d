"""Time, and the streams between hosts: what one writes reaches the other later, whole and in order.

A stream is a reliable one over a lossy path: a lost packet costs time (``kontinuum.sim.network``), an uplink
sends one bit after the other, and a stream whose bytes are on their way takes fewer new ones.

Differs:  each RPC is delayed as one packet, however long it is; what length costs is the uplink's time.
Bounds:   ROOM_BYTES on their way for each direction of a pair.
Pure:     no I/O or clock.
"""

from __future__ import annotations

from hashlib import sha256
from heapq import heappop, heappush
from struct import Struct
from typing import TYPE_CHECKING

from kontinuum.gossip.events import SEND_ROOM_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.identity import PeerId
    from kontinuum.sim.gossip.host import Host
    from kontinuum.sim.network import Network

ROOM_BYTES = SEND_ROOM_BYTES
"""Bytes of one direction that may be on their way."""

PACKET_OVERHEAD_BYTES = 60
"""Bytes around each RPC on the wire: IP, UDP and QUIC headers. Our choice: one packet's."""

LOG_BYTES = 1 << 20
"""Bytes of the event log that are hashed at a time."""

_LINE = Struct("<dBiiI").pack

ARRIVED, WAKE, CALL, ROOM = range(4)
"""What reaches a host."""


class Way:
    """One direction of a connection."""

    __slots__ = ("arrives_at", "in_flight", "open", "used")

    def __init__(self) -> None:
        self.arrives_at = 0.0
        """When the latest RPC arrives: the next one does not before it."""
        self.in_flight = 0
        """Bytes on their way."""
        self.used = 0
        """Bytes since the sender was last told how much room there is."""
        self.open = True


class GossipWorld:
    """Carries RPCs between hosts, and lets time go by.

    Args:
        network: Delays and partitions.
        tell: Given each event as text (host, line), for a log that people read.
    """

    def __init__(self, network: Network, *, tell: Callable[[int, str], object] | None = None) -> None:
        self.now = 0.0
        self.network = network
        self.hosts: list[Host] = []
        self.by_id: dict[PeerId, Host] = {}
        self.events = 0
        """What reached a host so far."""
        self.messages = 0
        """Of these, RPCs."""
        self._tell = tell
        self._heap: list[tuple] = []  # type: ignore[type-arg]  # what follows the kind differs by kind
        self._serial = 0
        self._log = bytearray()
        self._hash = sha256()

    def add(self, host: Host) -> None:
        """A host comes to be; it is connected to nobody."""
        host.index = len(self.hosts)
        self.hosts.append(host)
        self.by_id[host.peer_id] = host

    @property
    def digest(self) -> str:
        """SHA-256 of the event log so far, hexadecimal."""
        self._hash.update(self._log)
        self._log.clear()
        return self._hash.hexdigest()

    # --- what will be ---

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Call something at a time, which is not in the past."""
        self._push(max(time, self.now), CALL, call)

    def wake(self, host: Host, time: float) -> None:
        """Call ``host.on_wake`` at ``time`` unless it asks for another time before."""
        host.wake_at = max(time, self.now)
        self._push(host.wake_at, WAKE, host)

    def send(self, sender: Host, receiver: Host, data: bytes) -> None:
        """Write one RPC to a stream; nothing happens if the two are not connected."""
        way = sender.ways.get(receiver.index)
        if way is None:
            return
        size = len(data)
        began = max(self.now, sender.uplink_free_at)
        sender.uplink_free_at = began + (size + PACKET_OVERHEAD_BYTES) * sender.uplink_s_per_byte
        arrives = sender.uplink_free_at + self.network.delay(sender, receiver)
        way.arrives_at = arrives = max(arrives, way.arrives_at)
        way.in_flight += size
        way.used += size
        sender.bytes_sent += size
        self._push(arrives, ARRIVED, way, sender, receiver, data)

    # --- connections ---

    def connect(self, dialler: Host, other: Host) -> bool:
        """A new connection, if both are online, can reach each other and have none yet."""
        if (
            dialler is other
            or not (dialler.online and other.online)
            or other.index in dialler.ways
            or not self.network.connected(dialler, other)
        ):
            return False
        dialler.ways[other.index] = Way()
        other.ways[dialler.index] = Way()
        dialler.on_connected(other, outbound=True)
        other.on_connected(dialler, outbound=False)
        return True

    def disconnect(self, one: Host, other: Host) -> None:
        """A connection ends; what is on its way is lost."""
        for here, there in ((one, other), (other, one)):
            way = here.ways.pop(there.index, None)
            if way is not None:
                way.open = False
                if here.online:
                    here.on_disconnected(there)

    # --- time ---

    def run(self, until_s: float) -> None:
        """Let everything happen up to that time."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            entry = heappop(heap)
            self.now = entry[0]
            kind = entry[2]
            if kind == ARRIVED:
                self._arrive(*entry[3:])
            elif kind == WAKE:
                self._wake(entry[3])
            elif kind == ROOM:
                self._room(*entry[3:])
            else:
                entry[3]()
            if len(self._log) > LOG_BYTES:
                self._hash.update(self._log)
                self._log.clear()
        self.now = max(self.now, until_s)

    # --- inside ---

    def _push(self, time: float, *entry: object) -> None:
        self._serial += 1
        heappush(self._heap, (time, self._serial, *entry))

    def _arrive(self, way: Way, sender: Host, receiver: Host, data: bytes) -> None:
        way.in_flight -= len(data)
        if not way.open:
            return
        self.messages += 1
        self._note(ARRIVED, receiver, sender.index, len(data))
        if way.used * 2 >= ROOM_BYTES:
            way.used = 0
            self._push(self.now + self.network.delay(receiver, sender), ROOM, way, sender, receiver)
        receiver.on_rpc(sender, data)

    def _wake(self, host: Host) -> None:
        if host.wake_at == self.now and host.online:
            host.wake_at = float("inf")
            self._note(WAKE, host, -1, 0)
            host.on_wake()

    def _room(self, way: Way, sender: Host, receiver: Host) -> None:
        if way.open and sender.online:
            self._note(ROOM, sender, receiver.index, way.in_flight)
            sender.on_room(receiver, max(0, ROOM_BYTES - way.in_flight))

    def _note(self, kind: int, host: Host, other: int, number: int) -> None:
        self.events += 1
        self._log += _LINE(self.now, kind, host.index, other, number)
        if self._tell is not None:
            what = ("rpc from", "timer", "call", "room for")[kind]
            self._tell(host.index, f"{self.now:.6f} {what} {other}: {number}")
