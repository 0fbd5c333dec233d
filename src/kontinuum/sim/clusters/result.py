"""What a run of clusters found out: plain figures, ready for JSON and tables.

Everything but ``wall_s`` and ``peak_rss_bytes`` follows from the scenario and the seed.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResult:
    """A run."""

    scenario: str
    description: str
    kind: str
    digest: str
    """SHA-256 of the whole event log, hexadecimal."""
    seed: int
    nodes: int
    """Honest nodes."""
    hostile: int
    """Thieves."""
    defences: dict[str, bool]
    expectations: dict[str, bool]
    """What the run was held to, in words, and whether it was so."""
    measured: dict[str, float]
    """Seconds from a revocation: until ``fellows`` and nodes of ``trusting`` clusters know, until sessions of
    the key are ``cut``; since a partition healed, ``healed`` and ``cut_healed``. And the cost of quiet."""
    wall_s: float
    peak_rss_bytes: int
    simulated_s: float
    events: int
    messages: int
    counters: dict[str, int]
    """Of all honest nodes, added up."""
    attack: dict[str, float]
    """What the thieves did and won."""
    settings: dict[str, Any]
    """The scenario as it was run."""

    def to_json(self, *, indent: int | None = None) -> str:
        """The whole result as a JSON object, the names as here."""
        return json.dumps(asdict(self), indent=indent, ensure_ascii=False)
