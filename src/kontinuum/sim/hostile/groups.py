"""The behaviours: what each kind of attacker answers and does.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum._native import blake3_256
from kontinuum.dht.keys import key_of
from kontinuum.dht.peer import Peer
from kontinuum.identity import Contact, Multiaddr, ProofOfWork
from kontinuum.messages.kad import KadMessage, KadPeer, KadRecord, MessageType
from kontinuum.sim.chance import material
from kontinuum.sim.host import SILENCE
from kontinuum.sim.hostile.grinding import grind
from kontinuum.sim.hostile.group import Group, HostileHost, honest_closer
from kontinuum.sim.identities import NETWORK, PORT, Identity, time_of_day

if TYPE_CHECKING:
    from kontinuum.dht.keys import KadKey
    from kontinuum.sim.host import Host, Silence

GHOSTS_MAX = 64
"""Identities without a host that one liar invents. Our choice: more than fit into a few replies."""


class Sybil(Group):
    """Many identities with valid proofs; each answers with others of them only, and keeps nothing."""


class Ground(Group):
    """Sybils whose ids lie next to the keys of records, or next to nodes that join."""

    def seeds(self) -> list[bytes]:
        """As Group: really ground."""
        settings, simulation = self.settings, self.simulation
        places = self.places()
        honest = [host.identity.key for host in simulation.honest if host.serves]
        found = grind(
            material(simulation.seed, f"ground {self.number}"),
            places,
            settings.count or 1,
            radius=[min(place ^ key for key in honest if key != place) for place in places],
            candidates=settings.candidates,
        )
        self.tried = found.tried
        return [seed for place in places for seed in found.seeds[place]]

    def places(self) -> list[KadKey]:
        """Next to what."""
        simulation, count = self.simulation, self.settings.targets
        if self.settings.target == "victims":
            return [host.identity.key for host in simulation.joiners[:count]]
        return [key_of(key) for key in simulation.workload.record_keys()[:count]]


class Eclipser(Ground):
    """Ids next to a node that joins; they press upon it as soon as it is there, and hide everybody else."""

    def places(self) -> list[KadKey]:
        """As Ground: the nodes that join."""
        return [host.identity.key for host in self.simulation.joiners[: self.settings.targets]]

    def joined(self, victim: Host) -> None:
        """As Group: everybody who is near introduces itself at once, and goes on doing so."""
        for member in self.directory.closest(victim.identity.key, self.settings.count or 1):
            self.introduce(member, victim)

    def act(self, member: HostileHost) -> None:
        """As Group: press upon the victims that are there."""
        victims = [host for host in self.simulation.joiners if host.online]
        if victims:
            self.introduce(member, self.rng.choice(victims))


class Poisoner(Group):
    """Good company in every lookup, but its records are junk, older versions, or another key's.

    It stores them at the honest nodes nearest to a record's key as well.
    """

    def answer(self, member: HostileHost, sender: Host, message: KadMessage) -> KadMessage | Silence | None:
        """As Group."""
        closer = honest_closer(self, sender, message)
        if message.type is MessageType.GET_VALUE:
            record = KadRecord(message.key, self._poison(message.key, member.index))
            return KadMessage(message.type, key=message.key, record=record, closer_peers=closer)
        if message.type in (MessageType.FIND_NODE, MessageType.GET_PROVIDERS):
            return KadMessage(message.type, key=message.key, closer_peers=closer)
        return super().answer(member, sender, message)

    def act(self, member: HostileHost) -> None:
        """As Group: store poison where the record lies."""
        keys = self.simulation.workload.record_keys()
        if not keys:
            super().act(member)
            return
        key = self.rng.choice(keys)
        value = self._poison(key, self.rng.below(4))
        near = self.simulation.honest_near(key_of(key), self.simulation.scenario.dht.k)
        for honest in near:
            message = KadMessage(
                MessageType.PUT_VALUE,
                key=key,
                record=KadRecord(key, value),
                sender=member.peer.wire.contact,
            )
            member.send(honest.peer, message)

    def _poison(self, key: bytes, variant: int) -> bytes:
        workload = self.simulation.workload
        match variant % 4:
            case 0:
                return b"junk of %d" % self.number
            case 1:
                return workload.oldest(key) or b""
            case 2:
                return workload.another(key) or b"other"
            case _:
                value = workload.oldest(key) or b"\0"
                return value[:-1] + bytes([value[-1] ^ 1])


class Flooder(Group):
    """Valid records, as many and as large as it can, stored at those who hold other people's records."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._made = 0
        self._kept = 0
        self._refused = 0

    def act(self, member: HostileHost) -> None:
        """As Group: one more record, to a node next to a record of somebody else."""
        keys = self.simulation.workload.record_keys()
        hosts = self.simulation.honest_near(
            key_of(self.rng.choice(keys)) if keys else member.identity.key, self.simulation.scenario.dht.k
        )
        if not hosts:
            return
        self._made += 1
        start = material(self.simulation.seed, f"flood {self.number}", self._made)
        value = (start * (self.settings.value_bytes // len(start) + 1))[: self.settings.value_bytes]
        key = b"/blake3/" + blake3_256(value)
        message = KadMessage(
            MessageType.PUT_VALUE, key=key, record=KadRecord(key, value), sender=member.peer.wire.contact
        )
        member.send(self.rng.choice(hosts).peer, message)

    def replied(self, _member: HostileHost, message: KadMessage) -> None:
        """As Group: count what was taken."""
        if message.type is MessageType.PUT_VALUE:
            if message.refusal:
                self._refused += 1
            else:
                self._kept += 1

    def figures(self) -> dict[str, float]:
        """As Group."""
        return super().figures() | {"records_kept": self._kept, "records_refused": self._refused}


class Liar(Group):
    """Names contacts that are none: of somebody else, changed, without work, of nobody at all."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._ghosts: dict[int, list[Peer]] = {}

    def named(self, member: HostileHost, sender: Host, message: KadMessage) -> tuple[KadPeer, ...]:
        """As Group."""
        honest = list(honest_closer(self, sender, message))
        ghosts = self._ghosts.get(member.index)
        if ghosts is None:
            ghosts = self._ghosts[member.index] = self._invent(member)
        lies = [ghost.wire for ghost in self.rng.sample(ghosts, len(honest) or 1)]
        for i, true in enumerate(honest):
            if i % 3 == 1:  # The right peer with a contact of somebody else.
                lies.append(KadPeer(true.peer_id, true.addresses, contact=member.peer.wire.contact))
            elif i % 3 == 2:  # Its contact, with one byte changed.
                contact = true.contact[:-1] + bytes([true.contact[-1] ^ 1])
                lies.append(KadPeer(true.peer_id, true.addresses, contact=contact))
        return tuple(lies[: self.simulation.scenario.dht.k])

    def _invent(self, member: HostileHost) -> list[Peer]:
        """Identities without work and without a host, at addresses where nobody is."""
        ghosts = []
        for i in range(GHOSTS_MAX):
            seed = material(self.simulation.seed, f"ghost {self.number} {member.index}", i)
            identity = Identity(seed, pow_bits=self.simulation.scenario.pow_bits, worked=False)
            contact = Contact.issue(
                identity.key_pair,
                [Multiaddr("ip4", self.simulation.addresses.hostile(1)[0][1] + ".1", PORT)],
                sequence=1,
                issued_at=time_of_day(0.0),
                proof=ProofOfWork(NETWORK, identity.peer_id, identity.nonce),
            )
            ghosts.append(Peer(contact, contact.encode()))
        return ghosts


class Silent(Group):
    """Takes requests and answers nothing but pings."""

    def answer(self, member: HostileHost, sender: Host, message: KadMessage) -> KadMessage | Silence | None:
        """As Group."""
        return super().answer(member, sender, message) if message.type is MessageType.PING else SILENCE


class Mute(Group):
    """Makes itself known to honest nodes near its id, again and again, and answers nothing, not even pings.

    Who enters tables without having answered is found out only when somebody waits for it in vain.
    """

    def answer(
        self, _member: HostileHost, _sender: Host, _message: KadMessage
    ) -> KadMessage | Silence | None:
        """As Group."""
        return SILENCE


class Slow(Group):
    """Answers well, but late."""

    def begin(self) -> None:
        """As Group."""
        for member in self.members:
            member.think_s = self.settings.delay_s
        super().begin()

    def named(self, _member: HostileHost, sender: Host, message: KadMessage) -> tuple[KadPeer, ...]:
        """As Group."""
        return honest_closer(self, sender, message)


KINDS: dict[str, type[Group]] = {
    "sybil": Sybil,
    "ground": Ground,
    "poisoner": Poisoner,
    "flooder": Flooder,
    "eclipser": Eclipser,
    "liar": Liar,
    "silent": Silent,
    "mute": Mute,
    "slow": Slow,
}
"""By the names that scenarios use (``kontinuum.sim.scenario.HOSTILE_KINDS``)."""
