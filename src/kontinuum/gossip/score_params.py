"""The parameters of peer scores: what each kind of behaviour is worth, and for how long.

Names are the specification's. It gives no defaults for them ("application-specific"), so each value here
says where it comes from; docs/protocols/pubsub-score.md has the formulas and shows what the values do
together. One unit for all of them: an invalid message is -100, the best that a topic can earn is about +20,
and a peer is out of the mesh below 0.

Source:   libp2p specs, gossipsub v1.1, "Peer Scoring" and "Overview of New Parameters"; go-libp2p-pubsub
          score_params.go (topic_score_cap, behaviour_penalty_threshold); rust-libp2p (slow_peer_*).
Differs:  ``default_topic`` scores topics that nobody configured; ``topic_reward_cap`` caps rewards before
          penalties are taken off; a slow peer's penalty has a cap; leaving a mesh costs at least what
          staying in it did (P3b as heavy as P3); decays are checked even where the weight is 0. P3 and P3b
          are off unless a topic's rate is known (``expecting``).
Bounds:   WEIGHT_MAX and COUNTER_MAX keep every score finite, whatever is configured.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from math import inf
from typing import TYPE_CHECKING, Self

from kontinuum.gossip.score_errors import ScoreParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHT_MAX = 1e9
"""Largest weight, rate or threshold of a score, in either direction. Our choice: products of the largest ones
are still far from infinity."""

COUNTER_MAX = 1e6
"""Where the counters stop that the specification leaves without a cap (P4, P7), and the largest cap that
can be set for the others. Our choice: a million invalid messages weigh what two million do."""

DECAY_INTERVAL_S = 1.0
"""Seconds between two decays. go-libp2p-pubsub, DefaultDecayInterval; also the shortest that it allows."""

DECAY_TO_ZERO = 0.01
"""A counter below this is 0. go-libp2p-pubsub, DefaultDecayToZero."""

DELIVERIES_EXPECTED_MIN = 20.0
"""Deliveries of a mesh peer that P3 looks at. Our choice: fewer say nothing, since chance alone moves 20 of
them by 3."""

DELIVERIES_WINDOW_MIN_S = 10.0
"""Seconds over which P3 counts at least. Our choice: a peer may stall for some seconds."""

DELIVERIES_WINDOW_MAX_S = 1800.0
"""Seconds over which P3 counts at most. Our choice: in slower topics it would judge a peer by what it did
half an hour ago, and is better off."""

SILENCE_SHARE = 4.0
"""A mesh peer that delivers less than this part of its share is too silent for P3. Our choice."""

D_HIGH = 12
"""Mesh peers among whom deliveries are shared at most. gossipsub v1.0, D_high."""

LOCAL_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("169.254.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
)
"""Loopback, private and link-local networks (RFC 1918, 6598, 3927, 4193, 4291): many peers on one such
address are one computer or one router of our own surroundings, not an attacker's cheap way to be many."""


_REWARD = f"must be from 0 (off) to {WEIGHT_MAX:.0f}"
_PENALTY = f"must be from {-WEIGHT_MAX:.0f} to 0 (off)"


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    # Each condition is a comparison that NaN does not pass.
    if not holds:
        raise ScoreParameterError(name, value, rule)


def _reward(params: object, name: str) -> None:
    value = getattr(params, name)
    _require(0.0 <= value <= WEIGHT_MAX, name, value, _REWARD)


def _penalty(params: object, name: str) -> None:
    value = getattr(params, name)
    _require(-WEIGHT_MAX <= value <= 0.0, name, value, _PENALTY)


def _decay(params: object, name: str) -> None:
    value = getattr(params, name)
    _require(0.0 < value < 1.0, name, value, "must be between 0 and 1")


def _positive(params: object, name: str) -> None:
    value = getattr(params, name)
    _require(0.0 < value <= COUNTER_MAX, name, value, f"must be above 0 and at most {COUNTER_MAX:.0f}")


def _at_least_0(params: object, name: str) -> None:
    value = getattr(params, name)
    _require(0.0 <= value <= WEIGHT_MAX, name, value, f"must be from 0 to {WEIGHT_MAX:.0f}")


def decay_of(
    duration_s: float, interval_s: float = DECAY_INTERVAL_S, to_zero: float = DECAY_TO_ZERO
) -> float:
    """The factor with which a counter of 1 is 0 after ``duration_s``. go-libp2p-pubsub, ScoreParameterDecay.

    A larger counter takes longer: one of 100 twice the time with the default ``to_zero``.

    Args:
        duration_s: Seconds from 1 to 0.
        interval_s: Seconds between two decays.
        to_zero: Below this a counter is 0.

    Raises:
        ScoreParameterError: An argument is out of range, or no factor between 0 and 1 does that.
    """
    _require(duration_s > 0.0, "duration_s", duration_s, "must be above 0")
    _require(interval_s > 0.0, "interval_s", interval_s, "must be above 0")
    _require(0.0 < to_zero < 1.0, "to_zero", to_zero, "must be between 0 and 1")
    factor: float = to_zero ** (interval_s / duration_s)
    _require(0.0 < factor < 1.0, "duration_s", duration_s, "gives no factor between 0 and 1")
    return factor


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerScoreThresholds:
    """From which score on a peer gets and gives what. gossipsub v1.1, "Score Thresholds".

    "Below" means smaller than: a peer whose score is the threshold is not affected by it. The first three
    keep Filecoin's proportions to the cost of an invalid message, which is 100 there, too.

    Raises:
        ScoreParameterError: They are not in order.
    """

    gossip_threshold: float = -500.0
    """Below it nobody gossips with the peer, in either direction. As Filecoin: three invalid messages."""
    publish_threshold: float = -1000.0
    """Below it our own messages do not go to the peer. As Filecoin: four invalid messages."""
    graylist_threshold: float = -2500.0
    """Below it nothing that the peer sends is looked at. As Filecoin: six invalid messages."""
    accept_px_threshold: float = 10.0
    """From here on we look at peers that a PRUNE names. As rust-libp2p: a peer of which we had something
    first, more than once in three seconds for a while, or one that the application vouches for (P5)."""
    opportunistic_graft_threshold: float = 2.0
    """If the median of a mesh is below it, the router tries to improve that mesh. Our choice: 20 times what
    mute peers reach by sitting in one mesh (P1), a tenth of what busy ones have; Filecoin has 3.5, Eth2
    5."""

    def __post_init__(self) -> None:
        gossip, publish, graylist = self.gossip_threshold, self.publish_threshold, self.graylist_threshold
        # The specification wants the graylist strictly below publishing; go lets them be equal, and so do we.
        _require(gossip <= 0.0, "gossip_threshold", gossip, "must be at most 0")
        _require(publish <= gossip, "publish_threshold", publish, "must be at most gossip_threshold")
        _require(graylist <= publish, "graylist_threshold", graylist, "must be at most publish_threshold")
        for name in ("accept_px_threshold", "opportunistic_graft_threshold"):
            _at_least_0(self, name)

    @classmethod
    def off(cls) -> Self:
        """Thresholds that no peer is ever below."""
        return cls(
            gossip_threshold=-inf,
            publish_threshold=-inf,
            graylist_threshold=-inf,
            accept_px_threshold=0.0,
            opportunistic_graft_threshold=0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicScoreParams:
    """What a peer's behaviour in one topic is worth. gossipsub v1.1, "Overview of New Parameters".

    Raises:
        ScoreParameterError: A value is out of its range, or two contradict each other.
    """

    topic_weight: float = 1.0
    """By which the topic's sum counts in the peer's score. Our choice: all topics alike, since a node does
    not know which of them matter."""

    time_in_mesh_weight: float = 1.0 / 600.0
    """P1, a reward: points for each quantum in the mesh. Our choice: with the cap, +0.1 after an hour. It
    only breaks ties. More would be a present for Sybils that sit in many meshes and do nothing."""
    time_in_mesh_quantum_s: float = 60.0
    """Seconds that make one quantum. Our choice."""
    time_in_mesh_cap: float = 60.0
    """Most quanta that count. As in Filecoin's comments: an hour."""

    first_message_deliveries_weight: float = 1.0
    """P2, a reward: points for each valid message that the peer brought first. Our choice of unit."""
    first_message_deliveries_decay: float = decay_of(120.0)
    """Two minutes. Our choice: Filecoin has ten minutes, but also relies on nothing quicker against a peer
    that earns its place and then goes mute (covert flash): after a minute such a peer is down to 2."""
    first_message_deliveries_cap: float = 20.0
    """Most that the counter holds. Our choice: three busy topics fill topic_reward_cap."""

    mesh_message_deliveries_weight: float = 0.0
    """P3, a penalty: points for each squared delivery that a mesh peer lacks. Off, as in Filecoin's
    network: in a small or lopsided one (a LAN, a leaf behind us, IDONTWANT for large messages) an honest
    peer gets everything from us and brings nothing. :meth:`expecting` switches it on."""
    mesh_message_deliveries_decay: float = decay_of(60.0)
    """A minute. As Filecoin, where it is set and not used."""
    mesh_message_deliveries_cap: float = 100.0
    """Most that the counter holds. As Filecoin."""
    mesh_message_deliveries_threshold: float = 2.5
    """Below so many a mesh peer lacks deliveries. As Filecoin."""
    mesh_message_deliveries_window_s: float = 0.01
    """Seconds after the first copy was valid within which another one still counts. As Filecoin; the
    specification says 1 to 5 ms: within a round trip a mute peer could send back what it got from us."""
    mesh_message_deliveries_activation_s: float = 60.0
    """Seconds in the mesh before a lack is held against a peer. As Filecoin."""

    mesh_failure_penalty_weight: float = 0.0
    """P3b, a penalty: the same for what a peer lacked when it left the mesh. Off with P3. Never lighter
    than P3: otherwise a mute peer would gain by leaving."""
    mesh_failure_penalty_decay: float = decay_of(600.0)
    """Ten minutes. Our choice, between Filecoin's five and fifteen: ten times the backoff after a PRUNE."""

    invalid_message_deliveries_weight: float = -100.0
    """P4, a penalty: points for each squared invalid message. As Filecoin (-1000 in a topic of weight 0.1):
    one is more than a topic can earn, six are the graylist."""
    invalid_message_deliveries_decay: float = decay_of(3600.0)
    """An hour. As Filecoin."""

    def __post_init__(self) -> None:
        _require(0.0 <= self.topic_weight <= WEIGHT_MAX, "topic_weight", self.topic_weight, _REWARD)
        for name in ("time_in_mesh_weight", "first_message_deliveries_weight"):
            _reward(self, name)
        for name in (
            "mesh_message_deliveries_weight",
            "mesh_failure_penalty_weight",
            "invalid_message_deliveries_weight",
        ):
            _penalty(self, name)
        for name in (
            "first_message_deliveries_decay",
            "mesh_message_deliveries_decay",
            "mesh_failure_penalty_decay",
            "invalid_message_deliveries_decay",
        ):
            _decay(self, name)
        for name in (
            "time_in_mesh_quantum_s",
            "time_in_mesh_cap",
            "first_message_deliveries_cap",
            "mesh_message_deliveries_cap",
            "mesh_message_deliveries_threshold",
        ):
            _positive(self, name)
        for name in ("mesh_message_deliveries_window_s", "mesh_message_deliveries_activation_s"):
            _at_least_0(self, name)
        _require(
            self.mesh_message_deliveries_cap >= self.mesh_message_deliveries_threshold,
            "mesh_message_deliveries_cap",
            self.mesh_message_deliveries_cap,
            "must be at least mesh_message_deliveries_threshold",
        )
        _require(
            self.mesh_failure_penalty_weight <= self.mesh_message_deliveries_weight,
            "mesh_failure_penalty_weight",
            self.mesh_failure_penalty_weight,
            "must be as heavy as mesh_message_deliveries_weight: a mute peer must not gain by leaving",
        )

    @classmethod
    def expecting(cls, messages_per_s: float, *, silence: float = -100.0) -> Self:
        """Parameters for a topic whose rate is known and steady: mute mesh peers go.

        A mesh peer's share is a ``D_HIGH``-th of the messages. Over a window in which that is at least
        DELIVERIES_EXPECTED_MIN, one that delivers less than a SILENCE_SHARE-th of it pays. Only for networks
        with many publishers and many more nodes than a mesh has: an honest peer that hears everything from us
        cannot be told from a mute one. It needs small messages, since IDONTWANT makes honest peers mute, too.

        Args:
            messages_per_s: Messages per second in the topic, of all publishers together.
            silence: Points of a peer that delivers nothing at all. It must outweigh topic_reward_cap.

        Raises:
            ScoreParameterError: The topic is too slow to judge anybody by it.
        """
        rate_min = DELIVERIES_EXPECTED_MIN * D_HIGH / DELIVERIES_WINDOW_MAX_S
        _require(
            rate_min <= messages_per_s <= COUNTER_MAX,
            "messages_per_s",
            messages_per_s,
            f"must be from {rate_min:.2f} to {COUNTER_MAX:.0f}",
        )
        share_per_s = messages_per_s / D_HIGH
        window_s = max(DELIVERIES_WINDOW_MIN_S, DELIVERIES_EXPECTED_MIN / share_per_s)
        expected = share_per_s * window_s
        threshold = expected / SILENCE_SHARE
        return cls(
            mesh_message_deliveries_weight=silence / threshold**2,
            # A counter that gains x at each tick and keeps the part d of itself settles at x / (1 - d).
            mesh_message_deliveries_decay=1.0 - DECAY_INTERVAL_S / window_s,
            mesh_message_deliveries_cap=2.0 * expected,
            mesh_message_deliveries_threshold=threshold,
            mesh_message_deliveries_activation_s=2.0 * window_s,
            mesh_failure_penalty_weight=silence / threshold**2,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerScoreParams:
    """What a peer's behaviour is worth in all, and how the score is kept. gossipsub v1.1.

    Decays are per ``decay_interval_s``; who changes that must work them out anew with :func:`decay_of`.

    Raises:
        ScoreParameterError: A value is out of its range, or two contradict each other.
    """

    topics: Mapping[str, TopicScoreParams] = field(default_factory=dict)
    """Topics that count, by name."""
    default_topic: TopicScoreParams | None = field(default_factory=TopicScoreParams)
    """Parameters of all other topics; ``None``: those do not count, as the specification has it. Our choice,
    since topics are made by whoever joins them."""
    topic_score_cap: float = 50.0
    """Most that the topics may give together, penalties taken off; 0: no cap. Our choice, as the next one."""
    topic_reward_cap: float = 50.0
    """Most that P1 and P2 of all topics count together, before penalties are taken off; 0: no cap. Differs:
    the specification has no such cap, so what a peer earns in many topics beyond topic_score_cap hides what
    it does in another one (CVE-2022-47547). Our choice: half of what an invalid message costs, so one is
    always too many."""

    app_specific_weight: float = 1.0
    """P5: by which the application's own number counts. As Filecoin."""

    ip_colocation_factor_weight: float = -5.0
    """P6, a penalty: points for each squared peer too many on one address. As rust-libp2p: four too many
    cost a peer what it can earn, eleven its gossip, and 23 get all of them graylisted."""
    ip_colocation_factor_threshold: int = 10
    """Peers on one address that cost nothing: a house behind one NAT. As rust-libp2p and Eth2 (Prysm)."""
    ip_colocation_factor_allow_list: tuple[IPv4Network | IPv6Network, ...] = LOCAL_NETWORKS
    """Networks whose addresses are never counted."""

    behaviour_penalty_weight: float = -10.0
    """P7, a penalty: points for each squared offence above the threshold. As Filecoin."""
    behaviour_penalty_threshold: float = 6.0
    """Offences that cost nothing: a peer that restarted grafts too early, an honest host under load breaks a
    promise. As Filecoin and Eth2."""
    behaviour_penalty_decay: float = decay_of(600.0)
    """Ten minutes. Our choice: Filecoin has an hour. A flood is far beyond the graylist within a second and
    stays there for minutes, while an honest host that was overloaded once is forgiven."""

    slow_peer_weight: float = -1.0
    """A penalty: points for each message above the threshold that we dropped because the peer did not take
    it. After rust-libp2p (-0.2, forgotten within seconds); ours is heavy enough to take a peer out of a
    busy mesh."""
    slow_peer_threshold: float = 10.0
    """Drops that cost nothing. Our choice: a short stall."""
    slow_peer_cap: float = 200.0
    """Most that the counter holds. Our choice: being slow takes a peer out of the mesh, to the lazy path that
    suits it, and never as far as the gossip threshold."""
    slow_peer_decay: float = decay_of(60.0)
    """A minute. Our choice: it can come back once it keeps up."""

    decay_interval_s: float = DECAY_INTERVAL_S
    """Seconds between two decays, at least 1."""
    decay_to_zero: float = DECAY_TO_ZERO
    """A counter below this is 0."""
    retain_score_s: float = 3600.0
    """Seconds for which what counts against a peer is kept after it left, undecayed. As rust-libp2p. Differs:
    longer if it would have taken longer to decay, so that staying away never beats staying. 0: nothing is
    kept."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "topics", dict(self.topics))  # Ours: nobody can change it behind the checks.
        for name in (
            "topic_score_cap",
            "topic_reward_cap",
            "behaviour_penalty_threshold",
            "slow_peer_threshold",
        ):
            _at_least_0(self, name)
        _at_least_0(self, "retain_score_s")
        _reward(self, "app_specific_weight")
        for name in ("ip_colocation_factor_weight", "behaviour_penalty_weight", "slow_peer_weight"):
            _penalty(self, name)
        for name in ("behaviour_penalty_decay", "slow_peer_decay"):
            _decay(self, name)
        _decay(self, "decay_to_zero")
        _positive(self, "slow_peer_cap")
        peers = self.ip_colocation_factor_threshold
        _require(1 <= peers <= COUNTER_MAX, "ip_colocation_factor_threshold", peers, "must be 1 or more")
        interval = self.decay_interval_s
        _require(
            DECAY_INTERVAL_S <= interval <= COUNTER_MAX, "decay_interval_s", interval, "must be 1 or more"
        )

    @classmethod
    def off(cls) -> Self:
        """Parameters with which every peer's score is 0, whatever it does."""
        return cls(
            default_topic=None,
            app_specific_weight=0.0,
            ip_colocation_factor_weight=0.0,
            behaviour_penalty_weight=0.0,
            slow_peer_weight=0.0,
        )

    @property
    def is_off(self) -> bool:
        """Whether no peer can have another score than 0."""
        return (
            not self.topics
            and self.default_topic is None
            and not self.app_specific_weight
            and not self.ip_colocation_factor_weight
            and not self.behaviour_penalty_weight
            and not self.slow_peer_weight
        )
