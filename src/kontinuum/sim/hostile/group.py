"""A group of attackers who know everything and act as one.

What one of them learns all know; they know every honest node and its key, which no real attacker does. Each
behaviour is a subclass that says what its members answer and what they do on their own.

Trust:  this is the hostile input that honest machines must withstand.
Pure:   no I/O or clock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kontinuum.dht.responder import target_of
from kontinuum.messages.kad import KadMessage, MessageType
from kontinuum.sim.chance import exponential, lognormal, material, stream
from kontinuum.sim.directory import Directory
from kontinuum.sim.host import Host
from kontinuum.sim.identities import Identity, time_of_day

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.dht.peer import Peer
    from kontinuum.messages.kad import KadPeer
    from kontinuum.sim.host import Silence
    from kontinuum.sim.scenario import Hostile
    from kontinuum.sim.simulation import Simulation

ASK_TIMEOUT_S = 5.0
"""Attackers wait as long as honest nodes."""

ACCESS_MS = 1.0
"""Median access of an attacker's hosts, one way: they rent them in data centres. Our choice."""


class HostileHost(Host):
    """One identity of an attacker. What it does its group decides."""

    __slots__ = ("_praised", "_request", "group")

    def __init__(self, group: Group, identity: Identity, *, region: int, ip: str, access_s: float) -> None:
        super().__init__(group.simulation.world, identity, region=region, ip=ip, access_s=access_s)
        self.group = group
        self.hostile = True
        self._request = 0
        self._praised = self.peer.wire

    @property
    def praised(self) -> KadPeer:
        """How others of the group name it: as if nobody were nearer to them."""
        if self._praised.contact is not self.peer.wire.contact or not self._praised.rtt_us:
            self._praised = replace(self.peer.wire, rtt_us=1)
        return self._praised

    def on_request(self, sender: Host, message: KadMessage) -> KadMessage | Silence | None:
        """As Host."""
        self.group.asked += 1
        return self.group.answer(self, sender, message)

    def on_reply(self, _request: int, message: KadMessage, _rtt_s: float, _ip: str) -> None:
        """As Host."""
        self.group.replied(self, message)

    def on_wake(self) -> None:
        """As Host: act, and again after a while."""
        self.group.act(self)
        self.rest()

    def rest(self) -> None:
        """Act again after a random time, ``rate_per_s`` times in a second in the mean."""
        group = self.group
        if group.settings.rate_per_s > 0:
            pause_s = exponential(group.rng, 1.0 / group.settings.rate_per_s)
            self.world.wake(self, self.world.now + pause_s)

    def send(self, peer: Peer, message: KadMessage) -> None:
        """Ask somebody something."""
        self._request += 1
        self.group.sent += 1
        self.world.ask(self, self._request, peer, message, ASK_TIMEOUT_S)


class Group:
    """A group of attackers.

    Args:
        simulation: The network that they attack.
        settings: Their part of the scenario.
        number: Which group of the scenario this is.
    """

    def __init__(self, simulation: Simulation, settings: Hostile, number: int) -> None:
        self.simulation = simulation
        self.settings = settings
        self.number = number
        self.rng = stream(simulation.seed, "hostile", number)
        self.members: list[HostileHost] = []
        self.ghosts: list[HostileHost] = []
        """Members for whose identities no work was done."""
        self.directory: Directory[HostileHost] = Directory()
        self.asked = 0
        """Requests that honest nodes sent them."""
        self.sent = 0
        """Requests that they sent."""
        self.tried = 0
        """Keys that were tried for their ids."""

    # --- coming to be ---

    def recruit(self) -> None:
        """Make the members; they are not online yet."""
        self.members = self.settle(self.seeds(), worked=self.settings.worked)
        ghosts = f"ghost {self.number}"
        seeds = [material(self.simulation.seed, ghosts, i) for i in range(self.settings.ghosts)]
        self.ghosts = self.settle(seeds, worked=False)
        every = (*self.members, *self.ghosts)
        self.directory = Directory((member.identity.key, member) for member in every)

    def seeds(self) -> list[bytes]:
        """The private keys of the members."""
        count, group = self.simulation.hostile_count(self.settings), f"hostile {self.number}"
        self.tried += count
        return [material(self.simulation.seed, group, i) for i in range(count)]

    def settle(self, seeds: Sequence[bytes], *, worked: bool) -> list[HostileHost]:
        """Give identities addresses in the networks that the group has."""
        made: list[HostileHost] = []
        simulation, settings = self.simulation, self.settings
        networks = simulation.addresses.hostile(settings.prefixes)
        for i, seed in enumerate(seeds):
            region, prefix = networks[i % len(networks)]
            ip = simulation.addresses.within(prefix)
            identity = Identity(seed, pow_bits=simulation.scenario.pow_bits, worked=worked)
            identity.move(ip, time_of_day(0.0), known=simulation.known if worked else None)
            access_s = lognormal(self.rng, ACCESS_MS, 0.3) / 1000.0
            member = HostileHost(self, identity, region=region, ip=ip, access_s=access_s)
            made.append(member)
            simulation.world.add(member)
        return made

    def begin(self) -> None:
        """Come online and start to act."""
        for member in self.members:
            member.up()
            member.rest()
        for ghost in self.ghosts:
            ghost.up()

    # --- behaviour ---

    def answer(self, member: HostileHost, sender: Host, message: KadMessage) -> KadMessage | Silence | None:
        """What a member answers. This one: as a node without records would, but names only its own."""
        match message.type:
            case MessageType.PING:
                return KadMessage(MessageType.PING, sender=member.peer.wire.contact)
            case MessageType.PUT_VALUE | MessageType.ADD_PROVIDER:
                return KadMessage(message.type, key=message.key)
            case _:
                return KadMessage(
                    message.type, key=message.key, closer_peers=self.named(member, sender, message)
                )

    def named(self, member: HostileHost, _sender: Host, message: KadMessage) -> tuple[KadPeer, ...]:
        """Whom a member names as closer: others of them, all of which it calls its next neighbours."""
        k = self.simulation.scenario.dht.k
        closest = self.directory.closest(target_of(message), k, lambda other: other is not member)
        return tuple(other.praised for other in closest)

    def act(self, member: HostileHost) -> None:
        """What a member does now and then: it makes itself known to an honest node near its own id."""
        near = self.simulation.honest_near(member.identity.key, 40)
        if near:
            self.introduce(member, self.rng.choice(near))

    def introduce(self, member: HostileHost, honest: Host) -> None:
        """Ask an honest node for something, so that it learns of us."""
        key = member.identity.key.to_bytes(32)
        message = KadMessage(MessageType.FIND_NODE, key=key, sender=member.peer.wire.contact)
        member.send(honest.peer, message)

    def replied(self, member: HostileHost, message: KadMessage) -> None:
        """An honest node answered."""

    def joined(self, victim: Host) -> None:
        """A node has joined the network; attackers hear of it at once."""

    def figures(self) -> dict[str, float]:
        """What the group is and did."""
        return {
            "identities": len(self.members),
            "ghosts": len(self.ghosts),
            "prefixes": self.settings.prefixes,
            "keys_tried": self.tried,
            "requests_received": self.asked,
            "requests_sent": self.sent,
        }


def honest_closer(group: Group, sender: Host, message: KadMessage) -> tuple[KadPeer, ...]:
    """Whom an honest node that knows everybody would name."""
    near = group.simulation.directory.closest(
        target_of(message), group.simulation.scenario.dht.k, lambda host: host.online and host is not sender
    )
    return tuple(host.peer.wire for host in near)
