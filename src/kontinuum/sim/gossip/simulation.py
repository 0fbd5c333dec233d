"""One run of a scenario of topics: builds the network, lets it live, and looks on.

Everything that happens follows from the scenario and the seed.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kontinuum.gossip.events import Publish
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.router import Router
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds, TopicScoreParams
from kontinuum.identity import KeyPair
from kontinuum.sim.addresses import Addresses
from kontinuum.sim.chance import lognormal, material, stream
from kontinuum.sim.gossip.host import Host, RouterHost, check_stand_ins, stand_in, unix_ns
from kontinuum.sim.gossip.hostile import Pretender, Sybil
from kontinuum.sim.gossip.invariants import check
from kontinuum.sim.gossip.measuring import Measuring
from kontinuum.sim.gossip.names import TOPIC
from kontinuum.sim.gossip.world import GossipWorld
from kontinuum.sim.network import Network
from kontinuum.sim.regions import REGIONS
from kontinuum.wire.limits import PUBSUB_DATA_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.base.entropy import Rng
    from kontinuum.sim.gossip.scenario import GossipScenario, Sybils

INTERVALS = 30
"""Parts of the measured time for which figures over time are kept. Our choice."""

UPKEEP_S = 5.0
"""Seconds between two looks of a host at whether it has enough connections. As a node does."""

PARTITION_MARGIN_S = 10.0
"""Seconds before a partition in which a message may be cut off on its way. Our choice: as the deadline."""

TRIES = 50
"""Hosts that are drawn until enough are found. Our choice."""


class Simulation:
    """One run of a scenario.

    Args:
        scenario: What happens.
        seed: From which all chance follows.
        tell: Given each event as text (host, line).
    """

    def __init__(
        self, scenario: GossipScenario, seed: int, *, tell: Callable[[int, str], object] | None = None
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.world = GossipWorld(Network(scenario.network, stream(seed, "network")), tell=tell)
        self.measuring = Measuring(self)
        self._rng = stream(seed, "population")
        self._choice = stream(seed, "choices")
        self._addresses = Addresses(scenario.network, stream(seed, "addresses"))
        self._params = GossipParams(
            idontwant_threshold_bytes=1024 if scenario.gossip.idontwant else 2**20,
            eager_peers=scenario.gossip.eager_peers,
            flood_publish=scenario.gossip.flood_publish,
            do_px=scenario.gossip.px,
            message_bytes_max=PUBSUB_DATA_BYTES_MAX,
        )
        self._scores, self.thresholds = self._scoring()
        self.honest: list[RouterHost] = [self._honest(number) for number in range(scenario.nodes)]
        self.hostile: list[Host] = []
        self._members: list[Host] = list(self.honest)
        """Whoever the rendezvous names: honest or not, online or not."""
        self.publishers = self._rng.sample(self.honest, scenario.workload.publishers)
        for host in self.publishers:
            if scenario.workload.slow_kbps:
                host.uplink_s_per_byte = 8.0 / (scenario.workload.slow_kbps * 1000)
        for group, settings in enumerate(scenario.hostile):
            self._recruit(group, settings)
        self._plan()

    def run(self, progress: Callable[[float], object] | None = None) -> None:
        """Let everything happen.

        Raises:
            InvariantError: A router broke a rule.
        """
        scenario, world = self.scenario, self.world
        world.run(scenario.settle_s)
        self.measuring.begin()
        end_s = scenario.end_s + scenario.workload.deadline_s
        for interval in range(1, INTERVALS + 1):
            world.run(scenario.settle_s + (end_s - scenario.settle_s) * interval / INTERVALS)
            for host in self.honest[interval % INTERVALS :: INTERVALS]:
                check(host, self._params, world.now)
            self.measuring.sample()
            if progress is not None:
                progress(interval / INTERVALS)

    def reachable(self, at: float, author: int) -> Callable[[Host], bool]:
        """Which hosts a message of that time and host could reach: those on its side of a partition."""
        origin = self.world.hosts[author].region
        cuts = [
            {i for i, region in enumerate(REGIONS) if region.name in partition.regions}
            for partition in self.scenario.partition
            if partition.start_s - PARTITION_MARGIN_S <= at < partition.end_s
        ]
        return lambda host: all((host.region in cut) == (origin in cut) for cut in cuts)

    # --- building ---

    def _scoring(self) -> tuple[PeerScoreParams, PeerScoreThresholds]:
        scenario = self.scenario
        if not scenario.gossip.scoring:
            return PeerScoreParams.off(), PeerScoreThresholds.off()
        if not scenario.gossip.expect_rate:
            return PeerScoreParams(), PeerScoreThresholds()
        topic = TopicScoreParams.expecting(scenario.workload.messages_per_s)
        return PeerScoreParams(topics={TOPIC: topic}), PeerScoreThresholds()

    def _place(self, ip: str | None = None, region: int = 0) -> dict[str, object]:
        network = self.scenario.network
        if ip is None:
            region, ip = self._addresses.honest()
        return {
            "region": region,
            "ip": ip,
            "access_s": lognormal(self._rng, network.access_ms / 1000.0, network.access_spread),
            "uplink_s_per_byte": 8.0 / (self.scenario.uplink_mbps * 1e6),
        }

    def _honest(self, number: int) -> RouterHost:
        key = KeyPair.from_seed(material(self.seed, "honest", number)).peer_id
        host = RouterHost(
            self.world,
            key,
            build=self._router,
            delivered=self.measuring.delivered,
            find=self._find,
            degree=self.scenario.degree,
            **self._place(),
        )
        self.world.add(host)
        return host

    def _router(self, host: RouterHost) -> Router:
        return Router(
            host.peer_id,
            self._params,
            scores=PeerScore(self._scores),
            thresholds=self.thresholds,
            rng=stream(self.seed, f"router {host.index}", host.incarnation),
            sign=partial(stand_in, host.peer_id),
            verify=check_stand_ins,
            unix_ns=unix_ns,
        )

    def _recruit(self, group: int, settings: Sybils) -> None:
        count = max(1, round(settings.ratio * self.scenario.nodes))
        prefixes = self._addresses.hostile(max(1, count // (16 * settings.per_address)))
        for number in range(count):
            key = KeyPair.from_seed(material(self.seed, f"hostile {group}", number)).peer_id
            address = number // settings.per_address
            region, prefix = prefixes[address % len(prefixes)]
            place = self._place(f"{prefix}.{1 + address // len(prefixes) % 254}", region)
            host: Host
            if settings.kind in ("covert", "censor"):
                censored = self.publishers[0].peer_id if settings.kind == "censor" else None
                host = Pretender(
                    self.world,
                    key,
                    build=self._router,
                    delivered=lambda _host, _message: None,
                    find=self._victims,
                    degree=settings.dials,
                    from_s=settings.attack_s,
                    only=censored,
                    **place,
                )
            else:
                host = Sybil(
                    self.world,
                    key,
                    kind=settings.kind,
                    topic=TOPIC,
                    rate=settings.rate,
                    rng=stream(self.seed, f"hostile {group}", number),
                    **place,
                )
            self.world.add(host)
            self.hostile.append(host)
            self.world.at(
                settings.start_s + self._rng.uniform(0.0, 1.0), partial(self._arrive, host, settings.dials)
            )

    def _arrive(self, host: Host, dials: int) -> None:
        """An attacker begins: the rendezvous names it from now on."""
        self._members.append(host)
        if isinstance(host, Pretender):
            host.boot(TOPIC)
            host.dial()
        else:
            host.online = True
            for victim in self._victims(host, dials):
                self.world.connect(host, victim)

    # --- what will happen ---

    def _plan(self) -> None:
        scenario, world = self.scenario, self.world
        for host in self.honest:
            host.boot(TOPIC)
            world.at(self._rng.uniform(0.0, 1.0), partial(self._keep_up, host, host.incarnation))
        pause_s = 1.0 / scenario.workload.messages_per_s
        time = 2.0 if scenario.chatter else scenario.settle_s
        number = 0
        while time < scenario.end_s:
            world.at(time, partial(self._publish, self.publishers[number % len(self.publishers)]))
            time += pause_s
            number += 1
        for partition in scenario.partition:
            world.at(partition.start_s, partial(self._cut, partition.regions))
            world.at(partition.end_s, partial(world.network.heal, partition.regions))
        if scenario.churn.per_minute:
            self._plan_churn()

    def _plan_churn(self) -> None:
        churn, scenario = self.scenario.churn, self.scenario
        rng = stream(self.seed, "churn")
        going = [host for host in self.honest if host not in self.publishers]
        time, pause_s = scenario.settle_s, 60.0 / (churn.per_minute * scenario.nodes)
        while time < scenario.end_s and going:
            self.world.at(time, partial(self._leave, rng.choice(going)))
            time += pause_s

    def _keep_up(self, host: RouterHost, incarnation: int) -> None:
        if host.online and host.incarnation == incarnation:
            host.dial()
            self.world.at(self.world.now + UPKEEP_S, partial(self._keep_up, host, incarnation))

    def _leave(self, host: RouterHost) -> None:
        if host.online and host.router is not None:
            self.measuring.collect(host)
            host.stop()
            self.world.at(self.world.now + self.scenario.churn.down_s, partial(self._return, host))

    def _return(self, host: RouterHost) -> None:
        if not host.online:
            host.boot(TOPIC)
            self._keep_up(host, host.incarnation)

    def _publish(self, host: RouterHost) -> None:
        if host.router is None:
            return
        number = self.measuring.published(host)
        data = number.to_bytes(8) + bytes(self.scenario.workload.message_bytes - 8)
        host.event(Publish(TOPIC, data, number))

    def _cut(self, regions: tuple[str, ...]) -> None:
        """A partition: connections across it break."""
        network = self.world.network
        network.cut(regions)
        for host in self.world.hosts:
            for index in list(host.ways):
                other = self.world.hosts[index]
                if not network.connected(host, other):
                    self.world.disconnect(host, other)

    # --- who is there ---

    def _find(self, host: Host, count: int) -> list[Host]:
        """Some that are in the topic, as the rendezvous names them: it cannot tell who is honest."""
        return self._drawn(self._members, host, count, self._choice)

    def _victims(self, host: Host, count: int) -> list[Host]:
        """Honest nodes for an attacker to dial."""
        return self._drawn(self.honest, host, count, self._choice)

    def _drawn(self, among: list[Host] | list[RouterHost], host: Host, count: int, rng: Rng) -> list[Host]:
        found: dict[int, Host] = {}
        for _ in range(TRIES):
            if len(found) >= count:
                break
            other = rng.choice(among)
            if other is not host and other.online and other.index not in host.ways:
                found[other.index] = other
        return list(found.values())
