"""A host of the simulated network: where it is, who it is, and what it is connected to.

What it does with requests and replies its subclasses say: ``dht_host`` runs the machine of production,
``hostile`` the attackers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.sim.nat import Nat

if TYPE_CHECKING:
    from kontinuum.dht.events import Failure
    from kontinuum.dht.peer import Peer
    from kontinuum.messages.kad import KadMessage
    from kontinuum.sim.identities import Identity
    from kontinuum.sim.world import World

LINKS_MAX = 512
"""Connections of one host; the oldest is closed for a new one. Our choice: as a node keeps."""


class Silence:
    """What :meth:`Host.on_request` returns to leave a request without an answer."""

    __slots__ = ()


SILENCE = Silence()


class Host:
    """One host. ``peer`` is its current contact as others know it."""

    __slots__ = (
        "access_s",
        "hostile",
        "identity",
        "incarnation",
        "index",
        "ip",
        "links",
        "nat",
        "online",
        "peer",
        "region",
        "think_s",
        "wake_at",
        "world",
    )

    def __init__(self, world: World, identity: Identity, *, region: int, ip: str, access_s: float) -> None:
        self.world = world
        self.identity = identity
        self.index = -1
        """Its number in the world; :meth:`World.add` gives it."""
        self.region = region
        self.ip = ip
        self.access_s = access_s
        self.nat = Nat.PUBLIC
        self.hostile = False
        self.online = False
        self.incarnation = 0
        """Counts starts and stops: what was meant for an earlier one is lost."""
        self.links: dict[int, list[float]] = {}
        """Connections by the other host's number; the list of one number is shared by both ends: when it was
        used last."""
        self.think_s = 0.0
        """Time that it takes over each answer."""
        self.wake_at = float("inf")
        """When the world wakes it."""
        self.peer: Peer = identity.peer

    def on_request(self, sender: Host, message: KadMessage) -> KadMessage | Silence | None:
        """Answer a request, at once; ``None`` refuses it."""
        raise NotImplementedError

    def on_reply(self, _request: int, _message: KadMessage, _rtt_s: float, _ip: str, /) -> None:
        """Take the answer to a request of ours."""

    def on_failed(self, _request: int, _reason: Failure, /) -> None:
        """Hear that there will be none."""

    def on_wake(self) -> None:
        """The time that :attr:`wake_at` said has come."""

    def up(self) -> None:
        """Be reachable from now on."""
        self.online = True
        self.incarnation += 1

    def down(self, *, silently: bool) -> None:
        """Be gone. Silently: peers find out when nothing answers."""
        self.online = False
        self.incarnation += 1
        self.wake_at = float("inf")
        if not silently:
            for link in self.links.values():
                link[0] = float("-inf")
        self.links = {}
