"""What can be set about a gossip router.

Names and defaults are the specification's (gossipsub v1.0 "Parameters", v1.1 "Overview of New Parameters";
what they leave open is as in go-libp2p-pubsub 0.16); where a value is another one it says so.
"""

from dataclasses import dataclass
from math import inf

from kontinuum.gossip.errors import BadParamsError
from kontinuum.identity import PeerId
from kontinuum.wire.limits import PUBSUB_DATA_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipParams:
    """Settings of one router; relations between them are checked at construction.

    Raises:
        BadParamsError: Two of them contradict each other, or one is outside of its range.
    """

    # --- the mesh ---

    D: int = 6
    """Peers that we want in the mesh of a topic. v1.0."""
    D_low: int = 4
    """Below so many we graft. v1.0; go, js and rust take 5."""
    D_high: int = 12
    """Above so many we prune. v1.0."""
    D_score: int = 4
    """Of those kept when pruning, so many are the ones with the best score. v1.1."""
    D_out: int = 2
    """Connections that we dialled, in each mesh at least. Below D_low and at most D/2. v1.1."""
    D_lazy: int = 6
    """Peers outside of the mesh that get gossip at each heartbeat, at least. v1.0: as D."""
    heartbeat_initial_delay_s: float = 0.1
    """Seconds from the router's start to its first heartbeat. As go."""
    heartbeat_interval_s: float = 1.0
    """Seconds between heartbeats. v1.0."""
    fanout_ttl_s: float = 60.0
    """Seconds for which we remember whom we publish to in a topic that we are not in. v1.0."""
    prune_backoff_s: float = 60.0
    """Seconds after a PRUNE before the pair may graft again. v1.1. Doubles for who grafts earlier."""
    prune_backoff_max_s: float = 3600.0
    """Longest such time, whatever a peer asks for and however often it offends. Our choice."""
    unsubscribe_backoff_s: float = 10.0
    """The same after leaving a topic. v1.1."""
    graft_flood_threshold_s: float = 10.0
    """A GRAFT sooner than that after a PRUNE costs twice. As go."""
    opportunistic_graft_ticks: int = 60
    """Heartbeats between two tries to improve a mesh. v1.1: a minute."""
    opportunistic_graft_peers: int = 2
    """Peers grafted by such a try. v1.1."""

    # --- gossip ---

    mcache_len: int = 5
    """Heartbeats for which a message can be asked for. v1.0."""
    mcache_gossip: int = 3
    """Heartbeats for which it is announced; at most mcache_len. v1.0."""
    mcache_bytes_max: int = 64 * 2**20
    """Bytes of messages kept to be asked for; beyond it the oldest go. Our choice: the specification has no
    bound."""
    seen_ttl_s: float = 120.0
    """Seconds for which a message id is known. v1.0."""
    gossip_factor: float = 0.25
    """Share of the peers outside of the mesh that get gossip, if that is more than D_lazy. v1.1."""
    gossip_retransmission: int = 3
    """How often one peer may ask for one message. As go."""
    max_ihave_length: int = 5000
    """Ids announced to a peer, and asked of it, in one heartbeat. As go."""
    max_ihave_messages: int = 10
    """IHAVE messages of a peer that are looked at in one heartbeat. As go."""
    iwant_followup_s: float = 3.0
    """Seconds in which what we asked for must come; otherwise a promise is broken (P7). As go."""
    idontwant_threshold_bytes: int = 1024
    """IDONTWANT is sent for messages with so many bytes of data or more. As go."""
    idontwant_ttl: int = 3
    """Heartbeats for which an IDONTWANT of a peer holds. As go."""
    max_idontwant_messages: int = 1000
    """Ids of IDONTWANT remembered of a peer in one heartbeat. Our choice: go takes 1,000 messages with ten
    ids each."""

    # --- publishing and peers ---

    eager_peers: int = 3
    """Of a mesh, so many get a message of another one at once; the rest a moment later, if they lack it still
    (``forwarding.py``). Our choice; D_high: all at once, as others do."""
    eager_peers_large: int = 1
    """The same for messages of idontwant_threshold_bytes and more, of which IDONTWANT tells in time. Our
    choice."""
    flood_publish: bool = True
    """Send our own messages to every peer of the topic, not only to the mesh. v1.1."""
    publish_wait_s: float = 30.0
    """Seconds for which a message of ours that found no peer waits for the first one. Our choice: others drop
    it; 0 does as they do."""
    do_px: bool = False
    """Name other peers in a PRUNE. v1.1: for bootstrappers; as go."""
    prune_peers: int = 16
    """Peers that such a PRUNE names. v1.1."""
    direct_peers: tuple[PeerId, ...] = ()
    """Peers with whom everything is exchanged, whatever their score. v1.1, "Explicit Peering Agreements"."""
    direct_connect_ticks: int = 300
    """Heartbeats between two tries to reach those that are not connected. v1.1: five minutes."""

    # --- sizes ---

    message_bytes_max: int = 64 * 1024
    """Bytes of data in a message. The issue: 64 KiB, up to 1 MiB less what stands around it."""
    rpc_bytes_target: int = 60 * 1024
    """Bytes up to which several things share one RPC that we send. Our choice: rust-libp2p takes no RPC above
    64 KiB. A message that is larger travels alone."""
    queue_bytes_max: int = 8 * 2**20
    """Bytes that wait for one peer. Our choice: at 10 MB/s not quite a second. Beyond it the least important
    and then the newest is dropped."""

    def __post_init__(self) -> None:
        self._check_mesh()
        self._check_sizes()
        for name in _AT_LEAST_0:
            _require(0 <= getattr(self, name) < inf, f"{name} is at least 0")
        for name in _ABOVE_0:
            _require(0 < getattr(self, name) < inf, f"{name} is above 0")
        _require(self.mcache_gossip <= self.mcache_len, "mcache_gossip is at most mcache_len")
        _require(self.gossip_factor <= 1.0, "gossip_factor is 0 to 1")
        for name in ("prune_backoff_s", "unsubscribe_backoff_s"):
            _require(getattr(self, name) <= self.prune_backoff_max_s, f"{name} is at most its maximum")

    def _check_mesh(self) -> None:
        _require(0 <= self.D_score <= self.D_high, "D_score is at most D_high")
        if self.D == self.D_low == self.D_high == self.D_out == 0:
            return  # A bootstrapper without a mesh: v1.1, "Recommendations for Network Operators".
        _require(0 < self.D_low <= self.D <= self.D_high, "D_low <= D <= D_high, all above 0")
        _require(
            0 <= self.D_out < self.D_low and self.D_out <= self.D // 2, "D_out is below D_low and at most D/2"
        )

    def _check_sizes(self) -> None:
        for name in ("message_bytes_max", "rpc_bytes_target"):
            _require(
                getattr(self, name) <= PUBSUB_DATA_BYTES_MAX, f"{name} is at most {PUBSUB_DATA_BYTES_MAX}"
            )
        for name in ("queue_bytes_max", "mcache_bytes_max"):
            # Room for one message of any size, whatever stands around it.
            _require(getattr(self, name) >= self.message_bytes_max + 1024, f"{name} holds no single message")


_AT_LEAST_0 = (
    "heartbeat_initial_delay_s",
    "graft_flood_threshold_s",
    "publish_wait_s",
    "gossip_factor",
    "D_lazy",
    "opportunistic_graft_peers",
    "prune_peers",
    "idontwant_threshold_bytes",
)

_ABOVE_0 = (
    "eager_peers",
    "eager_peers_large",
    "heartbeat_interval_s",
    "fanout_ttl_s",
    "seen_ttl_s",
    "iwant_followup_s",
    "prune_backoff_s",
    "unsubscribe_backoff_s",
    "mcache_gossip",
    "gossip_retransmission",
    "max_ihave_length",
    "max_ihave_messages",
    "max_idontwant_messages",
    "idontwant_ttl",
    "opportunistic_graft_ticks",
    "direct_connect_ticks",
    "message_bytes_max",
    "rpc_bytes_target",
)


def _require(holds: bool, rule: str) -> None:
    if not holds:  # Comparisons that NaN does not pass.
        raise BadParamsError(f"settings of the gossip router: {rule}")
