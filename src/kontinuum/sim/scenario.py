"""A scenario: the network, its people, its faults and its attackers, as one TOML file.

Every table of the file is one dataclass here, every key one field; what a key means stands under the field.
An unknown key, a wrong type and a number out of its range are errors that name the key.

Bounds: the range of each number stands at its field.
Trust:  scenario files are written by whoever runs the simulator.
"""

import dataclasses
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kontinuum.base.errors import FileUnavailableError
from kontinuum.dht.config import ALPHA, ALPHA_MAX, ALPHA_MIN, K_MAX, K_MIN, PATHS, QUORUM, Defences, K
from kontinuum.sim.errors import ScenarioError
from kontinuum.sim.regions import REGIONS
from kontinuum.sim.tables import number, one_of, read_table

S = TypeVar("S")

NODES_MAX = 1_000_000
"""Honest nodes of a scenario. Our choice: far above what one process holds."""

DURATION_MAX_S = 30 * 86400.0
"""Simulated seconds of a scenario. Our choice."""

HOSTILE_KINDS = ("sybil", "ground", "poisoner", "flooder", "eclipser", "liar", "silent", "mute", "slow")
"""Behaviours, see ``kontinuum.sim.hostile``."""

FAULT_KINDS = ("crash", "restart", "leave", "move", "skew")
"""What may happen to many nodes at once, see :class:`Fault`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """``[network]``: what lies between hosts."""

    regions: dict[str, float] = field(default_factory=dict)
    """Share of the hosts in each region of ``kontinuum.sim.regions``; empty takes the shares measured."""
    access_ms: float = number(4.0, 0, 1000)
    """Median delay between a host and its region's backbone, one way."""
    access_spread: float = number(0.6, 0, 3)
    """Standard deviation of the logarithm of it, from host to host."""
    jitter: float = number(0.08, 0, 1)
    """Mean of what is added to each message's delay, as a share of the delay (exponential)."""
    loss: float = number(0.005, 0, 0.9)
    """Chance that one packet is lost. The transport sends it again, which takes time."""
    reorder: float = number(0.01, 0, 1)
    """Chance that a message is held back by ``reorder_ms`` and overtaken by later ones."""
    reorder_ms: float = number(50.0, 0, 60_000)
    duplicate: float = number(0.0, 0, 1)
    """Chance that a request is delivered twice (a caller that repeats itself)."""
    connect_timeout_s: float = number(3.0, 0.01, 60)
    """Until a dial to nobody has failed."""
    idle_s: float = number(60.0, 1, 86400)
    """Connections that carry nothing for so long are closed."""
    hosts_per_24: float = number(2.0, 1, 250)
    """Mean of honest hosts that share a /24."""
    prefixes_16: int = field(default=400, metadata={"minimum": 1, "maximum": 20_000})
    """/16 networks that honest hosts are in."""
    encode: bool = False
    """Encode and decode every message on its way. Slow; shows that the wire carries all that is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatSettings:
    """``[nat]``: share of honest hosts of each class; the rest is public. See ``kontinuum.sim.nat``."""

    full_cone: float = number(0.0, 0, 1)
    restricted: float = number(0.0, 0, 1)
    symmetric: float = number(0.0, 0, 1)
    clients: bool = True
    """Hosts that nobody can dial know it and act as clients; otherwise they serve, in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurnSettings:
    """``[churn]``: how hosts come and go, see ``kontinuum.sim.churn``."""

    model: str = one_of("none", "none", "ipfs", "filesharing", "exponential")
    """Distribution of session times."""
    median_session_s: float = number(0.0, 0, DURATION_MAX_S)
    """Stretches the distribution to that median; 0 keeps the measured one."""
    offline_share: float = number(0.0, 0, 0.95)
    """Share of the hosts that are offline at any time; ``nodes`` counts those online at the start."""
    crash_share: float = number(0.5, 0, 1)
    """Share of departures without a word (power, SIGKILL); the others close their connections."""
    stable_share: float = number(0.0, 0, 1)
    """Share of the hosts that never leave."""
    stale_share: float = number(0.0, 0, 0.9)
    """With ``start = "warm"``: share of table entries that are offline at the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """``[clock]``: how wrong the hosts' time of day is."""

    skew_s: float = number(0.0, 0, 86400)
    """Standard deviation from host to host."""
    wrong_share: float = number(0.0, 0, 1)
    """Share of hosts that are wrong by ``wrong_s`` instead."""
    wrong_s: float = number(0.0, -1e9, 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """``[workload]``: what honest nodes do in the measured time; starts are spread evenly at random."""

    lookups: int = field(default=1000, metadata={"minimum": 0, "maximum": 10_000_000})
    """FindPeers of the key of a random node that serves."""
    puts: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """Signed records with a new sequence, by the owners of ``records``, in the measured time."""
    gets: int = field(default=0, metadata={"minimum": 0, "maximum": 10_000_000})
    """Get of a random one of ``records``."""
    records: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """Signed records that random nodes put while the network settles."""
    contents: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """Content-addressed records among ``records``, put as well; gets read them too."""
    contacts: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """Nodes that publish their contact while the network settles."""
    resolves: int = field(default=0, metadata={"minimum": 0, "maximum": 10_000_000})
    """Get of a random one of these contacts."""
    provides: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """Keys that random nodes provide while the network settles."""
    provider_lookups: int = field(default=0, metadata={"minimum": 0, "maximum": 10_000_000})
    """FindProviders of a random one of these keys."""
    value_bytes: int = field(default=512, metadata={"minimum": 1, "maximum": 60_000})
    timeout_s: float = number(30.0, 0.1, 3600)
    """Of each operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtSettings:
    """``[dht]``: settings of every honest node, see ``kontinuum.dht.config``."""

    k: int = field(default=K, metadata={"minimum": K_MIN, "maximum": K_MAX})
    alpha: int = field(default=ALPHA, metadata={"minimum": ALPHA_MIN, "maximum": ALPHA_MAX})
    paths: int = field(default=PATHS, metadata={"minimum": 1, "maximum": K_MIN})
    quorum: int = field(default=QUORUM, metadata={"minimum": 1, "maximum": K_MAX})
    adaptive: bool = True
    tiers: bool = True
    rtt_hints: bool = True
    refresh_interval_s: float = number(1800.0, 10, 86400)
    store_bytes_max: int = field(default=64 * 2**20, metadata={"minimum": 1024, "maximum": 2**40})


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """``[[partition]]``: for a time, some regions cannot reach the others."""

    regions: tuple[str, ...]
    """One side."""
    start_s: float = number(0.0, 0, DURATION_MAX_S)
    """Simulated seconds, settling included."""
    end_s: float = number(0.0, 0, DURATION_MAX_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``[[fault]]``: something that happens to many honest nodes."""

    kind: str = one_of("restart", *FAULT_KINDS)
    """``crash`` for good; ``restart`` with what was on disk; ``leave`` in order, for good; ``move`` to
    another address; ``skew`` of the clock by ``skew_s``."""
    start_s: float = number(0.0, 0, DURATION_MAX_S)
    within_s: float = number(0.0, 0, DURATION_MAX_S)
    """They happen at random in so many seconds from ``start_s``."""
    share: float = number(0.5, 0, 1)
    """Of the honest nodes."""
    down_s: float = number(5.0, 0, DURATION_MAX_S)
    """How long a restart takes."""
    skew_s: float = number(0.0, -1e9, 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """``[[hostile]]``: a group of attackers, see ``kontinuum.sim.hostile``."""

    kind: str = one_of("sybil", *HOSTILE_KINDS)
    share: float = number(0.0, 0, 0.9)
    """Of all nodes that serve, honest and hostile together; or give ``count``."""
    count: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """Identities; for ``ground`` and ``eclipser`` next to each target."""
    prefixes: int = field(default=16, metadata={"minimum": 1, "maximum": 100_000})
    """/24 networks that they have addresses in."""
    worked: bool = True
    """They have done the proof of work for each identity."""
    ghosts: int = field(default=0, metadata={"minimum": 0, "maximum": 1_000_000})
    """``sybil``, ``ground`` and ``eclipser``: further identities of theirs for which no work was done. They
    answer and are named in replies, but are in nobody's table at the start."""
    known: bool = True
    """They are in the tables of a warm start as any other node would be, if their contacts are valid."""
    start_s: float = number(0.0, 0, DURATION_MAX_S)
    """When they begin, simulated seconds."""
    target: str = one_of("records", "records", "victims", "none")
    """``ground``: next to the keys of records, or to the nodes that join."""
    targets: int = field(default=1, metadata={"minimum": 0, "maximum": 10_000})
    """How many records or victims."""
    candidates: int = field(default=0, metadata={"minimum": 0, "maximum": 100_000_000})
    """Keys that they try to get ids near their targets; 0 tries as many as it takes to be nearer than all
    honest nodes."""
    rate_per_s: float = number(1.0, 0, 10_000)
    """Requests that each identity sends."""
    delay_s: float = number(4.0, 0, 3600)
    """``slow``: how long it thinks."""
    value_bytes: int = field(default=32_768, metadata={"minimum": 1, "maximum": 65_536})
    """``flooder``: bytes of each record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One file. Nothing but ``name`` needs to be said."""

    name: str
    description: str = ""
    seed: int = field(default=1, metadata={"minimum": 0, "maximum": 2**63 - 1})
    nodes: int = field(default=1000, metadata={"minimum": 2, "maximum": NODES_MAX})
    """Honest nodes that are online at the start."""
    start: str = one_of("warm", "warm", "join")
    """``warm``: tables as a network has them that has run for long; ``join``: every node bootstraps."""
    seeds: int = field(default=4, metadata={"minimum": 1, "maximum": 100})
    """Nodes that everybody knows from the beginning."""
    settle_s: float = number(30.0, 0, DURATION_MAX_S)
    """Before the measured time: joining, first puts."""
    duration_s: float = number(120.0, 1, DURATION_MAX_S)
    """The measured time."""
    joiners: int = field(default=0, metadata={"minimum": 0, "maximum": 100_000})
    """Further nodes that join at the begin of the measured time. Victims, if somebody attacks newcomers; then
    they alone do the lookups."""
    pow_bits: int = field(default=4, metadata={"minimum": 0, "maximum": 20})
    """Work of every contact. Eased: a simulation pays it for everybody."""
    defences: Defences = field(default_factory=Defences)
    """``true``, ``false``, or a table of those that are off."""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    nat: NatSettings = field(default_factory=NatSettings)
    churn: ChurnSettings = field(default_factory=ChurnSettings)
    clock: ClockSettings = field(default_factory=ClockSettings)
    workload: Workload = field(default_factory=Workload)
    dht: DhtSettings = field(default_factory=DhtSettings)
    partition: tuple[Partition, ...] = ()
    fault: tuple[Fault, ...] = ()
    hostile: tuple[Hostile, ...] = ()

    @property
    def end_s(self) -> float:
        """When the last operation begins at the latest."""
        return self.settle_s + self.duration_s


def load(path: Path) -> Scenario:
    """Read a scenario file of the DHT. Raises as :func:`load_tables`."""
    return load_tables(path, from_dict)


def load_tables(path: Path, build: Callable[[dict[str, Any]], S]) -> S:
    """Read a scenario file, whose tables ``build`` checks.

    Raises:
        FileUnavailableError: It cannot be read.
        ScenarioError: It is no TOML, or a key is wrong; the message names it.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise ScenarioError("file", "not UTF-8", source=str(path)) from None
    return _parse(text, build, source=str(path))


def parse(text: str, *, source: str = "") -> Scenario:
    """Read a scenario from the text of a file.

    Raises:
        ScenarioError: It is no TOML, or a key is wrong.
    """
    return _parse(text, from_dict, source=source)


def _parse(text: str, build: Callable[[dict[str, Any]], S], *, source: str) -> S:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError("file", f"not TOML: {error}", source=source) from None
    try:
        return build(data)
    except ScenarioError as error:
        raise ScenarioError(error.key, error.problem, source=source) from None


def from_dict(data: dict[str, Any]) -> Scenario:
    """Check the tables of a file, or what :func:`as_dict` gave.

    Raises:
        ScenarioError: A key is wrong.
    """
    data = dict(data)
    if isinstance(data.get("defences"), bool):
        on = data.pop("defences")
        data["defences"] = {} if on else dict.fromkeys(Defences.__slots__, False)
    scenario = read_table(Scenario, data)
    _check(scenario)
    return scenario


def as_dict(scenario: Scenario) -> dict[str, Any]:
    """A scenario as plain tables and lists, for reports."""
    tables: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(scenario)))
    return tables


def _check(scenario: Scenario) -> None:
    """What no single field can tell."""
    check_network(scenario.network, scenario.partition)
    nat = scenario.nat
    if nat.full_cone + nat.restricted + nat.symmetric > 1:
        raise ScenarioError("nat", "the shares add up to more than 1")
    _check_hostile(scenario)
    work = scenario.workload
    for wanted, given, names in (
        (work.gets, work.records + work.contents, ("gets", "records or contents")),
        (work.puts, work.records, ("puts", "records")),
        (work.resolves, work.contacts, ("resolves", "contacts")),
        (work.provider_lookups, work.provides, ("provider_lookups", "provides")),
    ):
        if wanted and not given:
            raise ScenarioError(f"workload.{names[0]}", f"there is nothing to work on: set {names[1]}")


def check_network(network: NetworkSettings, partitions: Sequence[Partition]) -> None:
    """Check what no single field of a network and its partitions can tell.

    Raises:
        ScenarioError: A region is unknown, or a time is wrong.
    """
    known = [region.name for region in REGIONS]
    for i, partition in enumerate(partitions):
        for name in partition.regions:
            if name not in known:
                raise ScenarioError(f"partition[{i}].regions", f"no {name!r}; known: {', '.join(known)}")
        if partition.end_s <= partition.start_s:
            raise ScenarioError(f"partition[{i}].end_s", "is later than start_s")
    shares = network.regions
    for name in shares:
        if name not in known:
            raise ScenarioError(f"network.regions.{name}", f"unknown; known: {', '.join(known)}")
    if shares and sum(shares.values()) <= 0:
        raise ScenarioError("network.regions", "at least one region has a share above 0")


def _check_hostile(scenario: Scenario) -> None:
    for i, group in enumerate(scenario.hostile):
        if bool(group.share) == bool(group.count):
            raise ScenarioError(f"hostile[{i}]", "give either share or count")
        if group.kind == "eclipser" and not scenario.joiners:
            raise ScenarioError(f"hostile[{i}].kind", "an eclipser needs somebody who joins: set joiners")
    if sum(group.share for group in scenario.hostile) >= 1:
        raise ScenarioError("hostile", "the shares leave no honest node")
