"""A scenario of topics: who is connected, who publishes, what goes wrong and who attacks, as one TOML file.

As ``kontinuum.sim.scenario``, whose tables for the network and partitions are used here, too; ``kind =
"gossip"`` tells the two apart.

Bounds: the range of each number stands at its field.
Trust:  scenario files are written by whoever runs the simulator.
"""

from dataclasses import dataclass, field
from typing import Any

from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.scenario import DURATION_MAX_S, NetworkSettings, Partition, check_network
from kontinuum.sim.tables import number, one_of, read_table
from kontinuum.wire.limits import PUBSUB_DATA_BYTES_MAX

NODES_MAX = 100_000
"""Honest nodes of a scenario. Our choice: above what one process holds."""

KINDS = ("mute", "covert", "censor", "ihave", "iwant", "graft", "forger")
"""Behaviours, see ``kontinuum.sim.gossip.hostile``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """``[workload]``: what is published in the measured time, by random honest nodes."""

    publishers: int = field(default=10, metadata={"minimum": 1, "maximum": NODES_MAX})
    """Nodes that publish."""
    messages_per_s: float = number(5.0, 0.01, 10_000)
    """Of all of them together, evenly spaced."""
    message_bytes: int = field(default=256, metadata={"minimum": 16, "maximum": PUBSUB_DATA_BYTES_MAX})
    """Data of each."""
    slow_kbps: float = number(0.0, 0, 1e6)
    """Uplink of the publishers in kilobits per second; 0: as everybody."""
    deadline_s: float = number(10.0, 0.1, 600)
    """A message that takes longer does not count as delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """``[gossip]``: settings of every honest router, see ``kontinuum.gossip.params``."""

    scoring: bool = True
    """``--scoring off`` overrides it: all weights 0, no thresholds."""
    expect_rate: bool = False
    """Judge mesh peers by what they deliver (P3): the topic's rate is known."""
    idontwant: bool = True
    eager_peers: int = field(default=3, metadata={"minimum": 1, "maximum": 12})
    flood_publish: bool = True
    px: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comings:
    """``[churn]``: honest nodes that go and come back."""

    per_minute: float = number(0.0, 0, 10)
    """Share of the honest nodes that go in a minute."""
    down_s: float = number(10.0, 0.1, DURATION_MAX_S)
    """How long they are away. They come back with the same key and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sybils:
    """``[[hostile]]``: a group of attackers."""

    kind: str = one_of("mute", *KINDS)
    ratio: float = number(4.0, 0.001, 100)
    """Identities for each honest node."""
    dials: int = field(default=8, metadata={"minimum": 1, "maximum": 10_000})
    """Honest nodes that each of them dials."""
    start_s: float = number(0.0, 0, DURATION_MAX_S)
    """When they connect, simulated seconds."""
    attack_s: float = number(0.0, 0, DURATION_MAX_S)
    """``covert``: when they stop to behave, simulated seconds."""
    per_address: int = field(default=5, metadata={"minimum": 1, "maximum": 10_000})
    """Identities that share an IP address."""
    rate: int = field(default=1000, metadata={"minimum": 1, "maximum": 100_000})
    """``ihave``, ``iwant``, ``graft``, ``forger``: entries that each sends to each victim in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipScenario:
    """One file. Nothing but ``name`` and ``kind`` needs to be said."""

    name: str
    kind: str = one_of("gossip", "gossip")
    description: str = ""
    seed: int = field(default=1, metadata={"minimum": 0, "maximum": 2**63 - 1})
    nodes: int = field(default=1000, metadata={"minimum": 2, "maximum": NODES_MAX})
    """Honest nodes, all in one topic."""
    degree: int = field(default=8, metadata={"minimum": 1, "maximum": 500})
    """Others that each node dials."""
    settle_s: float = number(20.0, 0, DURATION_MAX_S)
    """Before the measured time: meshes form, scores grow."""
    duration_s: float = number(60.0, 1, DURATION_MAX_S)
    """The measured time, in which messages are published."""
    chatter: bool = True
    """Messages are published while the network settles, too."""
    uplink_mbps: float = number(50.0, 0.01, 100_000)
    """Of every host."""
    network: NetworkSettings = field(default_factory=lambda: NetworkSettings(loss=0.01))
    workload: Traffic = field(default_factory=Traffic)
    gossip: RouterSettings = field(default_factory=RouterSettings)
    churn: Comings = field(default_factory=Comings)
    partition: tuple[Partition, ...] = ()
    hostile: tuple[Sybils, ...] = ()

    @property
    def end_s(self) -> float:
        """When the last message is published at the latest."""
        return self.settle_s + self.duration_s


def from_dict(data: dict[str, Any]) -> GossipScenario:
    """Check the tables of a file.

    Raises:
        ScenarioError: A key is wrong.
    """
    scenario = read_table(GossipScenario, data)
    check_network(scenario.network, scenario.partition)
    if scenario.workload.publishers > scenario.nodes:
        raise ScenarioError("workload.publishers", "is at most the number of nodes")
    if scenario.degree >= scenario.nodes:
        raise ScenarioError("degree", "is below the number of nodes")
    return scenario
