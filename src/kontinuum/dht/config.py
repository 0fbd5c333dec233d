"""What can be set about a DHT node, and which of its defences are on.

Every number has a source or says "Our choice"; docs/dht.md shows what was measured for it.
"""

from dataclasses import dataclass, field

from kontinuum.base.errors import MisuseError

K = 20
"""Peers in a bucket and at the end of a lookup, at rest. Kademlia 2002, section 2.2; libp2p specs,
kad-dht."""

K_MIN = 10
"""Smallest bucket size that adaptation chooses. The project's seed."""

K_MAX = 30
"""Largest bucket size that adaptation chooses. The project's seed."""

ALPHA = 3
"""Requests that one path of a lookup keeps in flight, at rest. Kademlia 2002, section 2.3."""

ALPHA_MIN = 2
"""Fewest that adaptation chooses. The project's seed."""

ALPHA_MAX = 5
"""Most that adaptation chooses. The project's seed."""

PATHS = 3
"""Disjoint paths of a lookup for records. Our choice (docs/dht.md): S/Kademlia recommends 4 to 8 for
networks with
more hostile peers than ours are built for; each path costs requests."""

QUORUM = 3
"""Valid answers, of different peers, before a record that can change counts as found. Our choice
(docs/dht.md)."""

REQUEST_TIMEOUT_S = 5.0
"""Seconds after which a request has failed. Our choice: half of libp2p's ten, which nobody waits for."""

OPERATION_TIMEOUT_S = 30.0
"""Seconds that a whole operation takes at most unless the caller says otherwise. Our choice."""

REFRESH_INTERVAL_S = 1800.0
"""Seconds after which a bucket in which nothing was looked up is refreshed. Our choice: half of Kademlia's
hour,
as Korium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defences:
    """Each defence, so that simulations can show what it is for. A real node has all of them."""

    verify_contacts: bool = True
    """Signature, network, freshness and proof of work of every contact, on every way in. attacks.md 3, 16."""
    ping_first: bool = True
    """A peer answers a ping of ours before it enters the table."""
    prefix_caps: bool = True
    """At most so many peers of one /24 or /48 in a bucket, in the table, and among the holders of a
    record."""
    prefer_old: bool = True
    """A peer that answers is never replaced by a newcomer."""
    disjoint_paths: bool = True
    """Lookups for records take several paths that share no peer."""
    validate_records: bool = True
    """Records are checked when stored and when read."""
    newest_of_several: bool = True
    """The newest valid one of several answers counts, not the first."""
    quotas: bool = True
    """Bounds on what one peer, one prefix and one identity may have us store."""
    density_check: bool = True
    """A neighbourhood that is far denser than the network allows is searched and stored to beyond k."""

    @classmethod
    def none(cls) -> "Defences":
        """All of them off."""
        return cls(**dict.fromkeys(cls.__slots__, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtConfig:
    """Settings of one DHT node."""

    network_id: bytes
    """32 bytes."""
    pow_bits: int
    """Work that contacts must carry."""
    server: bool = True
    """Answer others and be in their tables; a client only asks."""
    k: int = K
    alpha: int = ALPHA
    adaptive: bool = True
    """Let k and alpha follow churn and congestion."""
    tiers: bool = True
    """Prefer nearby peers among equally useful ones."""
    rtt_hints: bool = True
    """Tell others the round trips to the peers that we name, and use what they tell, as ``rtt_hint`` says."""
    paths: int = PATHS
    quorum: int = QUORUM
    request_timeout_s: float = REQUEST_TIMEOUT_S
    refresh_interval_s: float = REFRESH_INTERVAL_S
    store_bytes_max: int = 64 * 2**20
    """Bytes of records that we hold for others."""
    defences: Defences = field(default_factory=Defences)

    def __post_init__(self) -> None:
        if not K_MIN <= self.k <= K_MAX or not ALPHA_MIN <= self.alpha <= ALPHA_MAX:
            raise MisuseError(f"k is {K_MIN} to {K_MAX} and alpha {ALPHA_MIN} to {ALPHA_MAX}")
        if not 1 <= self.paths <= self.k or self.quorum < 1:
            raise MisuseError("paths are 1 to k, and a quorum is at least 1")
        if self.request_timeout_s <= 0:
            raise MisuseError("request_timeout_s is above 0")
