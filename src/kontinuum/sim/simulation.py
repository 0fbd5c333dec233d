"""One run: builds the network of a scenario, lets it live, and looks on.

Everything that happens follows from the scenario and the seed.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from kontinuum.dht.admission import Admission
from kontinuum.dht.config import DhtConfig
from kontinuum.dht.events import SelfChanged, State
from kontinuum.dht.node import Dht
from kontinuum.dht.records import default_validators
from kontinuum.identity import CONTACT_AGE_MAX_S
from kontinuum.sim.addresses import Addresses
from kontinuum.sim.chance import lognormal, material, stream
from kontinuum.sim.clocks import skew_s
from kontinuum.sim.dht_host import DhtHost
from kontinuum.sim.directory import Directory
from kontinuum.sim.faults import Faults
from kontinuum.sim.hostile.groups import KINDS
from kontinuum.sim.identities import NETWORK, Identity, time_of_day
from kontinuum.sim.invariants import Invariants
from kontinuum.sim.measuring import Measuring
from kontinuum.sim.nat import Nat
from kontinuum.sim.network import Network
from kontinuum.sim.warm import Warm
from kontinuum.sim.workload import Workload
from kontinuum.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.base.entropy import Rng
    from kontinuum.dht.events import Completed
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import Contact
    from kontinuum.sim.host import Host
    from kontinuum.sim.hostile.group import Group
    from kontinuum.sim.scenario import Hostile, Scenario

CONTACT_AGE_S = 6 * 3600.0
"""Ages of contacts at the start are even between 0 and this. Our choice: below RENEW_AFTER_S."""

RENEW_AFTER_S = CONTACT_AGE_MAX_S / 2
"""Age at which a node renews its contact: half of the time for which it is fresh, as a real node does."""

INTERVALS = 60
"""Parts of a run for which figures over time are kept; in all of them together every node is looked at once.
Our choice."""

JOIN_SHARE = 0.5
"""First part of the settling time in which nodes join, if all have to."""

VICTIMS_WITHIN_S = 5.0
"""Newcomers arrive at random in so many seconds from the begin of the measured time."""

TRIES = 100
"""Nodes that are drawn until one is online. Our choice: with one in twenty online, that mostly works."""

DRAIN_S = 1.0
"""Seconds that are simulated behind the last operation's deadline."""


class Simulation:
    """One run of a scenario.

    Args:
        scenario: What happens.
        seed: From which all chance follows.
        tell: Given each event as text, see World.
    """

    def __init__(
        self, scenario: Scenario, seed: int, *, tell: Callable[[int, str], object] | None = None
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        network = scenario.network
        self.addresses = Addresses(network, stream(seed, "addresses"))
        self.world = World(
            Network(network, stream(seed, "network")),
            connect_timeout_s=network.connect_timeout_s,
            idle_s=network.idle_s,
            encode=network.encode,
            tell=tell,
        )
        self._rng = stream(seed, "population")
        defences = scenario.defences
        self._admission = Admission(
            NETWORK,
            scenario.pow_bits,
            verify=defences.verify_contacts,
            memo_max=10 * scenario.nodes + 100_000,
        )
        self._validators = default_validators(NETWORK, self._admission.check)
        self._configs = {serves: self._config(serves=serves) for serves in (True, False)}
        self.measuring = Measuring(self)
        self._invariants = Invariants(scenario)
        self.honest: list[DhtHost] = []
        """All honest nodes."""
        self.residents: list[DhtHost] = []
        """Honest nodes that are online at the start."""
        self.absent: list[DhtHost] = []
        """Honest nodes that are offline at the start."""
        self.joiners: list[DhtHost] = []
        """Honest nodes that join at the begin of the measured time."""
        self.groups: list[Group] = []
        self.directory: Directory[Host] = Directory()
        """All who serve, honest and hostile, online or not."""
        self.seeds: list[DhtHost] = []
        """Nodes that everybody knows; they stay."""
        self._servers: list[DhtHost] = []
        self._honest_directory: Directory[DhtHost] = Directory()
        self.workload = Workload(self)
        self._populate()
        self._plan()

    # --- whom there is ---

    def target(self, rng: Rng) -> DhtHost | None:
        """A node that can be looked up: it serves and is online."""
        for _ in range(TRIES):
            host = rng.choice(self._servers)
            if host.online:
                return host
        return None

    def honest_near(self, target: KadKey, count: int) -> list[DhtHost]:
        """The honest nodes nearest to a place that serve and are online."""
        return self._honest_directory.closest(target, count, lambda host: host.online)

    def known(self, contact: Contact) -> Peer:
        """The Peer that everybody shares for a contact."""
        return self._admission.check_contact(contact, time_of_day(self.world.now), lasting=True)

    def hostile_count(self, settings: Hostile) -> int:
        """Identities of a group that has a count or a share."""
        if settings.count:
            return settings.count
        shares = sum(group.share for group in self.scenario.hostile)
        return max(1, round(len(self._servers) * settings.share / (1.0 - shares)))

    # --- life of honest nodes ---

    def boot(self, host: DhtHost) -> None:
        """Start a node: it issues a contact, takes what is on its disk, and joins."""
        if host.joined_at or host.contacts:
            self.renew(host)
        host.joined_at = self.world.now
        seeds = [seed.peer.contact for seed in self.seeds if seed is not host]
        host.boot(seeds)
        for group in self.groups:
            if self.world.now >= group.settings.start_s:
                group.joined(host)

    def stop(self, host: DhtHost, *, silently: bool) -> None:
        """End a node."""
        self.measuring.collect(host)
        self.workload.gone(host)
        host.stop(silently=silently)

    def renew(self, host: DhtHost) -> None:
        """Issue a newer contact."""
        issued_at = host.calendar(self.world.now)
        host.identity.move(host.ip, issued_at, serves=host.serves, known=self.known)
        host.peer = host.identity.peer

    def _renew_old(self) -> None:
        """Contacts that are old by their owners' clocks are issued anew."""
        for host in self.honest:
            age = host.calendar(self.world.now) - host.peer.contact.issued_at
            if host.online and age >= timedelta(seconds=RENEW_AFTER_S):
                self.renew(host)
                host.event(SelfChanged(host.peer.contact))

    # --- the run ---

    def run(self, progress: Callable[[float], object] | None = None) -> None:
        """Let everything happen.

        Raises:
            InvariantError: A node broke a rule.
        """
        end_s = self.scenario.end_s + self.scenario.workload.timeout_s + DRAIN_S
        step_s = self.scenario.end_s / INTERVALS
        for interval in range(1, INTERVALS + 1):
            self.world.run(interval * step_s)
            for host in self.honest[interval % INTERVALS :: INTERVALS]:
                self._invariants.check(host)
            self._renew_old()
            self.measuring.sample(step_s)
            if progress is not None:
                progress(interval / (INTERVALS + 1))
        while self.workload.running and self.world.now < end_s:
            self.world.run(min(self.world.now + DRAIN_S, end_s))
        for host in self.honest:
            self._invariants.check(host)
            self.measuring.collect(host)
        if progress is not None:
            progress(1.0)

    # --- building ---

    def _populate(self) -> None:
        """Make everybody."""
        scenario, churn = self.scenario, self.scenario.churn
        stale = round(scenario.nodes * churn.stale_share / (1.0 - churn.stale_share))
        away = round(scenario.nodes * churn.offline_share / (1.0 - churn.offline_share))
        hosts = [self._host(i) for i in range(scenario.nodes + max(stale, away) + scenario.joiners)]
        self.honest = hosts
        self.residents = hosts[: scenario.nodes]
        self.absent = hosts[scenario.nodes : len(hosts) - scenario.joiners]
        self.joiners = hosts[len(hosts) - scenario.joiners :]
        self.seeds = [host for host in self.residents if host.nat is Nat.PUBLIC][: scenario.seeds]
        self._servers = [host for host in self.residents + self.absent if host.serves]
        self._honest_directory = Directory((host.identity.key, host) for host in hosts if host.serves)
        self.workload.choose()
        for number, settings in enumerate(scenario.hostile):
            group = KINDS[settings.kind](self, settings, number)
            group.recruit()
            self.groups.append(group)
        everybody: list[Host] = [host for host in hosts if host.serves]
        everybody += (member for group in self.groups for member in group.members)
        self.directory = Directory((host.identity.key, host) for host in everybody)

    def _plan(self) -> None:
        """Put everything that will happen into the world's time."""
        if self.scenario.start == "join":
            self._join_all()
        else:
            self._warm_up()
        self.workload.plan()
        Faults(self).plan()
        for host in self.joiners:
            time = self.scenario.settle_s + self._rng.uniform(0.0, VICTIMS_WITHIN_S)
            self.world.at(time, partial(self.boot, host))
        for group in self.groups:
            self.world.at(group.settings.start_s, group.begin)

    def _join_all(self) -> None:
        within_s = self.scenario.settle_s * JOIN_SHARE
        for host in self.residents:
            time = 0.0 if host in self.seeds else self._rng.uniform(0.0, within_s)
            self.world.at(time, partial(self.boot, host))

    def _warm_up(self) -> None:
        churn = self.scenario.churn
        stale = round(self.scenario.nodes * churn.stale_share / (1.0 - churn.stale_share))
        known: list[Host] = [host for host in (*self.residents, *self.absent[:stale]) if host.serves]
        for group in self.groups:
            admitted = group.settings.worked or not self.scenario.defences.verify_contacts
            if group.settings.known and admitted and not group.settings.start_s:
                known += group.members
        directory = Directory((host.identity.key, host) for host in known)
        warm = Warm(directory, stream(self.seed, "warm"), self.scenario.dht.k)
        publishers = {host.index for host in self.workload.publishers}
        for host in self.residents:
            machine = cast("Dht", host.prepare())
            host.event(SelfChanged(host.peer.contact))
            warm.warm(machine, host, published=host.index not in publishers)
            host.state = State.JOINED
            host.rearm()

    def _host(self, number: int) -> DhtHost:
        scenario, rng = self.scenario, self._rng
        region, ip = self.addresses.honest()
        identity = Identity(material(self.seed, "honest", number), pow_bits=scenario.pow_bits)
        network, nat = scenario.network, scenario.nat
        chance = rng.uniform(0.0, 1.0)
        kind = Nat.PUBLIC
        for share, one in (
            (nat.full_cone, Nat.FULL_CONE),
            (nat.restricted, Nat.RESTRICTED),
            (nat.symmetric, Nat.SYMMETRIC),
        ):
            if 0 <= chance < share:
                kind = one
            chance -= share
        skew = skew_s(scenario.clock, rng)
        age_s = rng.uniform(0.0, CONTACT_AGE_S)
        serves = kind.dialable or not nat.clients
        identity.move(ip, time_of_day(-age_s, skew), serves=serves, known=self.known)
        host = DhtHost(
            self.world,
            identity,
            region=region,
            ip=ip,
            access_s=lognormal(rng, network.access_ms / 1000.0, network.access_spread),
            build=self._machine,
            finished=self._completed,
        )
        host.nat, host.serves, host.skew_s = kind, serves, skew
        self.world.add(host)
        return host

    def _config(self, *, serves: bool) -> DhtConfig:
        scenario, dht = self.scenario, self.scenario.dht
        return DhtConfig(
            network_id=NETWORK,
            pow_bits=scenario.pow_bits,
            server=serves,
            k=dht.k,
            alpha=dht.alpha,
            adaptive=dht.adaptive,
            tiers=dht.tiers,
            rtt_hints=dht.rtt_hints,
            paths=dht.paths,
            quorum=dht.quorum,
            refresh_interval_s=dht.refresh_interval_s,
            store_bytes_max=dht.store_bytes_max,
            defences=scenario.defences,
        )

    def _machine(self, host: DhtHost) -> Dht:
        return Dht(
            host.identity.peer_id,
            self._configs[host.serves],
            rng=stream(self.seed, f"machine {host.index}", host.incarnation),
            calendar=host.calendar,
            admission=self._admission,
            validators=self._validators,
        )

    def _completed(self, effect: Completed) -> None:
        self.workload.completed(effect)
