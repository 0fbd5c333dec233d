"""What a run of the simulator found out: plain figures, ready for JSON, tables and plots.

Everything but ``wall_s`` and ``peak_rss_bytes`` follows from the scenario and the seed.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

LATENCY_SAMPLES_MAX = 1000
"""Latencies kept of each kind of operation: evenly spaced quantiles of all. Our choice: enough for a plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFigures:
    """All operations of one kind in the measured time."""

    count: int
    succeeded: int
    success_ratio: float
    """0 to 1; 1 when there were none."""
    hops_mean: float
    """Over those that succeeded."""
    requests_mean: float
    """Requests that one operation sent."""
    latency_p50_s: float
    """Over those that succeeded, from the command to its completion."""
    latency_p90_s: float
    latency_p99_s: float
    hops: dict[str, int]
    """How many took that many hops."""
    latencies_s: list[float]
    """Sorted; LATENCY_SAMPLES_MAX quantiles of those that succeeded, or all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """How figures went over time; all lists are as long as ``at_s``."""

    at_s: list[float] = field(default_factory=list)
    """End of each interval, simulated seconds."""
    online: list[int] = field(default_factory=list)
    """Honest nodes running."""
    lookups: list[int] = field(default_factory=list)
    """Lookups that ended in the interval."""
    success_ratio: list[float] = field(default_factory=list)
    """Of these; 1 when there were none."""
    messages_per_s: list[float] = field(default_factory=list)
    """Requests delivered, by anybody."""
    stored_records: list[int] = field(default_factory=list)
    """Records held by honest nodes, all together."""
    stored_bytes: list[int] = field(default_factory=list)
    table_mean: list[float] = field(default_factory=list)
    """Entries of an honest node's routing table."""
    hostile_table_share: list[float] = field(default_factory=list)
    """Share of hostile entries in the tables of honest nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run. ``lookups`` and what follows it cover finds, gets and resolves in the measured time."""

    scenario: str
    description: str
    digest: str
    """SHA-256 of the whole event log, hexadecimal."""
    seed: int
    nodes: int
    """Honest nodes."""
    hostile: int
    """Hostile identities."""
    defences: dict[str, bool]
    lookups: int
    success_ratio: float
    hops_mean: float
    latency_p50_s: float
    latency_p99_s: float
    wall_s: float
    peak_rss_bytes: int
    """Of this process, up to the end of the run."""
    simulated_s: float
    events: int
    """Everything that was handed to a host: messages, timers, commands."""
    messages: int
    """Requests delivered to somebody."""
    operations: dict[str, OperationFigures]
    """By kind: ``find``, ``get``, ``resolve``, ``put``, ``providers``, ``provide``."""
    series: Series
    counters: dict[str, int]
    """Figures of all honest machines added up: refusals by reason, evictions, retries."""
    attack: dict[str, float]
    """What the attackers did and what it cost them: identities, prefixes, keys ground, shares won."""
    settings: dict[str, Any]
    """The scenario as it was run."""

    def to_json(self, *, indent: int | None = None) -> str:
        """The whole result as a JSON object, the names as here."""
        return json.dumps(asdict(self), indent=indent, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        data["operations"] = {name: OperationFigures(**one) for name, one in data["operations"].items()}
        data["series"] = Series(**data["series"])
        return cls(**data)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which ``share`` of a sorted list lies (nearest rank); 0 for an empty list."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def thinned(ordered: list[float], count: int = LATENCY_SAMPLES_MAX) -> list[float]:
    """A sorted list itself, or ``count`` evenly spaced quantiles of a longer one."""
    if len(ordered) <= count:
        return list(ordered)
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]
