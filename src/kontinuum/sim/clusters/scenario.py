"""A scenario of clusters: who trusts whom, what owners do, what breaks and is stolen, as a TOML file.

``kind = "clusters"`` tells it from the other kinds.

Bounds: the range of each number stands at its field.
Trust:  scenario files are written by whoever runs the simulator.
"""

from dataclasses import dataclass, field
from typing import Any

from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.scenario import DURATION_MAX_S
from kontinuum.sim.tables import number, one_of, read_table

NODES_MAX = 10_000
"""Honest nodes of a scenario. Our choice: above what one process runs in an hour."""

KINDS = ("epoch", "branch")
"""What a thief has: the key that a node runs with, or the secret of its branch as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """``[acts]``: what owners do in the measured time, how often, evenly spaced."""

    revocations: int = field(default=10, metadata={"minimum": 0, "maximum": NODES_MAX})
    """Nodes whose branch the root takes out of use, besides those that thieves copied."""
    rekeys: int = field(default=20, metadata={"minimum": 0, "maximum": NODES_MAX})
    orders: int = field(default=5, metadata={"minimum": 0, "maximum": NODES_MAX})
    """Orders of the root to rekey."""
    crashes: int = field(default=20, metadata={"minimum": 0, "maximum": NODES_MAX})
    down_s: float = number(5.0, 0.1, 3600)
    """How long a crashed node is away. It keeps what was saved, and nothing else."""
    recover_s: float = number(3.0, 0.1, 3600)
    """From a revocation to the new branch of the same place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``[[partition]]``: for a time, a share of the nodes of every cluster cannot reach the others."""

    start_s: float = number(0.0, 0, DURATION_MAX_S)
    """Simulated seconds, settling included."""
    end_s: float = number(0.0, 0, DURATION_MAX_S)
    share: float = number(0.4, 0.01, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thieves:
    """``[[hostile]]``: copies of nodes, each of another cluster, until the root answers."""

    kind: str = one_of("epoch", *KINDS)
    count: int = field(default=5, metadata={"minimum": 1, "maximum": NODES_MAX})
    dials: int = field(default=8, metadata={"minimum": 1, "maximum": 1000})
    """Honest nodes that each dials every second, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """``[defences]``: what can be left out, to see what it is for."""

    push: bool = True
    """News go at once to every session that they concern."""
    topics: bool = True
    """News go to the topic of the cluster."""
    summary: bool = True
    """Sessions compare every two seconds what they have."""
    cut: bool = True
    """Connections that the machine cuts are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """``[expect]``: what the run is held to. Issue 6."""

    online_s: float = number(2.0, 0.01, 3600)
    """A revocation is known to every online node that it concerns, and the key's sessions are cut."""
    healed_s: float = number(5.0, 0.01, 3600)
    """The same, since a partition healed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterScenario:
    """One file. Nothing but ``name`` and ``kind`` needs to be said."""

    name: str
    kind: str = one_of("clusters", "clusters")
    description: str = ""
    seed: int = field(default=1, metadata={"minimum": 0, "maximum": 2**63 - 1})
    nodes: int = field(default=250, metadata={"minimum": 2, "maximum": NODES_MAX})
    """Honest nodes of all clusters together."""
    per_cluster: int = field(default=5, metadata={"minimum": 2, "maximum": 100})
    trusts: int = field(default=4, metadata={"minimum": 0, "maximum": 64})
    """Other clusters that each trusts, on average; both sides met."""
    foreign: int = field(default=4, metadata={"minimum": 0, "maximum": 64})
    """Nodes of trusted clusters that a node keeps a session with."""
    settle_s: float = number(30.0, 5, DURATION_MAX_S)
    """Before anything is measured: everybody connects, and owners meet."""
    quiet_s: float = number(20.0, 1, DURATION_MAX_S)
    """Then nothing happens, and its cost is measured."""
    duration_s: float = number(60.0, 1, DURATION_MAX_S)
    """Then everything happens."""
    rest_s: float = number(30.0, 10, DURATION_MAX_S)
    """Then nothing happens any more; at its end all must agree."""
    rtt_ms: float = number(50.0, 1, 2000)
    jitter: float = number(0.1, 0, 1)
    """Share of a delay by which it is shorter or longer."""
    idle_s: float = number(10.0, 1, 600)
    """A connection whose other end is silent for so long is over."""
    acts: Acts = field(default_factory=Acts)
    partition: tuple[Split, ...] = ()
    hostile: tuple[Thieves, ...] = ()
    defences: Switches = field(default_factory=Switches)
    expect: Expectations = field(default_factory=Expectations)

    @property
    def begin_s(self) -> float:
        """When owners and thieves begin."""
        return self.settle_s + self.quiet_s

    @property
    def end_s(self) -> float:
        """When the last of it begins at the latest."""
        return self.begin_s + self.duration_s


def from_dict(data: dict[str, Any]) -> ClusterScenario:
    """Check the tables of a file.

    Raises:
        ScenarioError: A key is wrong.
    """
    scenario = read_table(ClusterScenario, data)
    if scenario.nodes % scenario.per_cluster:
        raise ScenarioError("nodes", f"is a multiple of per_cluster, {scenario.per_cluster}")
    clusters = scenario.nodes // scenario.per_cluster
    if scenario.acts.revocations + sum(group.count for group in scenario.hostile) > clusters:
        raise ScenarioError("acts.revocations", "with the thieves, at most one for each cluster")
    end = scenario.begin_s
    for index, split in enumerate(scenario.partition):
        if not end <= split.start_s < split.end_s <= scenario.end_s:
            raise ScenarioError(f"partition[{index}]", "lies in the measured time, after the one before")
        end = split.end_s
    return scenario
