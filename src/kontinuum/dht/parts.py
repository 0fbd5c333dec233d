"""What one node's DHT consists of, so that its parts are handed on as one thing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kontinuum.dht.density import Density
from kontinuum.dht.patience import Patience
from kontinuum.dht.tiers import Tiers

if TYPE_CHECKING:
    from kontinuum.dht.adaptive import Adaptation
    from kontinuum.dht.admission import Admission
    from kontinuum.dht.config import DhtConfig
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.records import Records, Validators
    from kontinuum.dht.routing_table import RoutingTable
    from kontinuum.identity import PeerId


@dataclass(slots=True)
class Parts:
    """The parts that several others look at. Each belongs to the machine ``node.Dht``."""

    local: PeerId
    key: KadKey
    config: DhtConfig
    admission: Admission
    validators: Validators
    table: RoutingTable
    records: Records
    adaptation: Adaptation
    tiers: Tiers = field(default_factory=Tiers)
    patience: Patience = field(default_factory=Patience)
    density: Density = field(default_factory=Density)
    counts: Counter[str] = field(default_factory=Counter)
    """What happened since the start, by name."""
