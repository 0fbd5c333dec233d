"""What a run of topics found out: plain figures, ready for JSON, tables and plots.

Everything but ``wall_s`` and ``peak_rss_bytes`` follows from the scenario and the seed.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipSeries:
    """How figures went over time; all lists are as long as ``at_s``."""

    at_s: list[float]
    """End of each interval, simulated seconds."""
    delivery_ratio: list[float]
    """Of the messages published in the interval; 1 when there were none."""
    latency_p99_s: list[float]
    """Of their deliveries; 0 when there were none."""
    mesh_mean: list[float]
    """Mesh peers of an honest node."""
    hostile_mesh_share: list[float]
    """Share of hostile peers in the meshes of honest nodes."""
    online: list[int]
    """Honest nodes running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipResult:
    """A run. Only messages of the measured time count; hosts count that were there all the time."""

    scenario: str
    description: str
    kind: str
    digest: str
    """SHA-256 of the whole event log, hexadecimal."""
    seed: int
    nodes: int
    """Honest nodes."""
    hostile: int
    """Hostile identities."""
    defences: dict[str, bool]
    """``scoring``, ``idontwant``."""
    published: int
    """Messages of the measured time."""
    delivery_ratio: float
    """Deliveries within the deadline, of those that could be: 0 to 1."""
    worst_delivery_ratio: float
    """Of the message that did worst."""
    latency_p50_s: float
    """From publishing to delivery, over all deliveries."""
    latency_p99_s: float
    duplicates_per_delivery: float
    """Copies of a message that an honest node got beyond the first."""
    bytes_sent_per_byte_delivered: float
    """Bytes that honest nodes wrote in the measured time, for each byte of data that was delivered."""
    wall_s: float
    peak_rss_bytes: int
    """Of this process, up to the end of the run."""
    simulated_s: float
    events: int
    """Everything that was handed to a host."""
    messages: int
    """RPCs that arrived somewhere."""
    latencies_s: list[float]
    """Sorted; quantiles of all deliveries."""
    series: GossipSeries
    counters: dict[str, int]
    """Of all honest routers, added up (``kontinuum.gossip.counters``)."""
    attack: dict[str, float]
    """What the attackers won: shares of meshes, scores."""
    settings: dict[str, Any]
    """The scenario as it was run."""

    def to_json(self, *, indent: int | None = None) -> str:
        """The whole result as a JSON object, the names as here."""
        return json.dumps(asdict(self), indent=indent, ensure_ascii=False)
