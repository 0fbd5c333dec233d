"""A host of the simulated network; an honest one runs the router of production.

Signatures are stand-ins as long as real ones: they cost nothing and cannot be made for somebody else by the
attackers here, who do not try to; a forged one is found as production finds it.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha512
from typing import TYPE_CHECKING

from kontinuum.gossip import events as ev
from kontinuum.sim.gossip.world import ROOM_BYTES, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.gossip.router import Router, SignedBytes
    from kontinuum.identity import PeerId
    from kontinuum.sim.gossip.world import GossipWorld

BEGIN_NS = 1_767_225_600 * 10**9
"""The time of day when a simulation begins: 2026-01-01."""

DIALS_MAX = 2
"""Connections that a host makes at one request of its router. Our choice: as a node does."""


def unix_ns(now: float) -> int:
    """The time of day, for sequence numbers."""
    return BEGIN_NS + int(now * 1e9)


def stand_in(key: bytes, data: bytes) -> bytes:
    """What stands for a signature: 64 bytes."""
    return sha512(key + data).digest()


def check_stand_ins(signed: Sequence[SignedBytes]) -> list[bool]:
    """For each whether it is the stand-in of its key."""
    return [stand_in(key, data) == signature for key, data, signature in signed]


class Host:
    """One host: where it is, who it is, and what it is connected to.

    Args:
        world: Where it lives.
        peer_id: Its identity.
        region: Its place.
        ip: Its address.
        access_s: Seconds to its region's backbone.
        uplink_s_per_byte: What a byte takes on its uplink.
    """

    hostile = False

    def __init__(
        self,
        world: GossipWorld,
        peer_id: PeerId,
        *,
        region: int,
        ip: str,
        access_s: float,
        uplink_s_per_byte: float,
    ) -> None:
        self.world = world
        self.peer_id = peer_id
        self.region = region
        self.ip = ip
        self.access_s = access_s
        self.uplink_s_per_byte = uplink_s_per_byte
        self.uplink_free_at = 0.0
        self.bytes_sent = 0
        self.index = -1
        self.online = False
        self.wake_at = float("inf")
        self.ways: dict[int, Way] = {}
        """What we write to, by the number of the other host."""

    def on_connected(self, other: Host, *, outbound: bool) -> None:
        """A connection was made."""

    def on_disconnected(self, other: Host) -> None:
        """A connection ended."""

    def on_rpc(self, sender: Host, data: bytes) -> None:
        """An RPC arrived."""

    def on_room(self, other: Host, room_bytes: int) -> None:
        """A stream takes that much now."""

    def on_wake(self) -> None:
        """The time that was asked for."""


class RouterHost(Host):
    """A host that runs the router of production.

    Further args:
        build: Makes its router.
        delivered: Told of messages for its program.
        find: Returns hosts that are in the topic, for a host that asks the rendezvous.
        degree: Connections that it dials if it has fewer.
    """

    def __init__(
        self,
        *args: object,
        build: Callable[[RouterHost], Router],
        delivered: Callable[[RouterHost, ev.Message], None],
        find: Callable[[RouterHost, int], list[Host]],
        degree: int,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._build = build
        self._delivered = delivered
        self._find = find
        self._degree = degree
        self.incarnation = 0
        self.lives: list[list[float]] = []
        """When it was online: from, until."""
        self.router: Router | None = None

    # --- life ---

    def boot(self, topic: str) -> None:
        """Start, and join the topic."""
        self.online = True
        self.incarnation += 1
        self.lives.append([self.world.now, float("inf")])
        self.router = self._build(self)
        self.event(ev.Subscribe(topic))

    def stop(self) -> None:
        """Stop without a word; others notice that the connections are gone."""
        self.lives[-1][1] = self.world.now
        self.online = False
        for index in list(self.ways):
            self.world.disconnect(self, self.world.hosts[index])
        self.router = None

    def dial(self) -> None:
        """Connect to some who are in the topic, if there are fewer connections than wanted."""
        for other in self._find(self, max(0, self._degree - len(self.ways))):
            self.world.connect(self, other)

    def event(self, event: ev.Event) -> None:
        """Hand an event to the router, and do what it wants."""
        if self.router is not None:
            self._perform(self.router.handle(event, self.world.now))

    # --- what the world tells ---

    def on_connected(self, other: Host, *, outbound: bool) -> None:
        """See :class:`Host`."""
        self.event(ev.PeerConnected(other.peer_id, ev.Protocol.MESHSUB_1_2, outbound, other.ip, ROOM_BYTES))

    def on_disconnected(self, other: Host) -> None:
        """See :class:`Host`."""
        self.event(ev.PeerDisconnected(other.peer_id))

    def on_rpc(self, sender: Host, data: bytes) -> None:
        """See :class:`Host`."""
        self.event(ev.RpcReceived(sender.peer_id, data))

    def on_room(self, other: Host, room_bytes: int) -> None:
        """See :class:`Host`."""
        self.event(ev.Writable(other.peer_id, room_bytes))

    def on_wake(self) -> None:
        """See :class:`Host`."""
        if self.router is not None:
            self._perform(self.router.handle_timeout(self.world.now))

    # --- what the router wants ---

    def send(self, other: Host, data: bytes) -> None:
        """Write to a stream; attackers who behave for a while change what is written."""
        self.world.send(self, other, data)

    def _perform(self, effects: list[ev.Effect]) -> None:
        by_id = self.world.by_id
        for effect in effects:
            match effect:
                case ev.Send(peer, data):
                    self.send(by_id[peer], data)
                case ev.Deliver(message):
                    self._delivered(self, message)
                case ev.FindPeers(topic):
                    found = tuple(ev.Candidate(host.peer_id) for host in self._find(self, self._degree))
                    self.world.at(self.world.now, partial(self.event, ev.Candidates(topic, found)))
                case ev.Connect(_, candidates):
                    hosts = [by_id[one.peer] for one in candidates if one.peer in by_id][:DIALS_MAX]
                    self.world.at(self.world.now, partial(self._dial_all, hosts))
                case _:
                    pass
        if self.router is not None:
            due = self.router.next_deadline()
            if due != self.wake_at:
                self.world.wake(self, due)

    def _dial_all(self, hosts: list[Host]) -> None:
        for host in hosts:
            self.world.connect(self, host)
