"""What can be seen of a DHT node from outside: for metrics, ``kontinuum dht stats`` and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.dht.adaptive import AdaptationFigures
    from kontinuum.dht.events import State
    from kontinuum.dht.records import RecordsFigures
    from kontinuum.dht.routing_table import TableFigures
    from kontinuum.dht.tiers import TierFigures


@dataclass(frozen=True, slots=True)
class DhtFigures:
    """A node's figures at one moment."""

    state: State
    network_size: float | None
    """Peers in the network as our lookups tell, ``None`` before there were some."""
    operations: int
    """Under way, those of upkeep included."""
    requests: int
    """In flight."""
    publications: int
    """Keys that we publish."""
    table: TableFigures
    records: RecordsFigures
    tiers: TierFigures
    adaptation: AdaptationFigures
    counts: dict[str, int]
    """What happened since the start, by name."""
