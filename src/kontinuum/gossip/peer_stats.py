"""What one peer did, over all topics: what its own score is made of, before its address is looked at.

Source:   libp2p specs, gossipsub v1.1, "The Score Function"; rust-libp2p peer_score.rs (slow peers).
Bounds:   TOPICS_PER_PEER_MAX topics that nobody configured.
Trust:    the router reports what it saw itself. A peer chooses which topics it behaves badly in.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.gossip.score_params import COUNTER_MAX
from kontinuum.gossip.topic_score import TopicScore, decayed, ticks_to_zero

if TYPE_CHECKING:
    from kontinuum.gossip.colocation import AddressGroup
    from kontinuum.gossip.score_params import PeerScoreParams

TOPICS_PER_PEER_MAX = 256
"""Topics of one peer that are scored by ``default_topic``. Our choice: a dozen earn all that can be earned.
In further ones nothing is earned, and an invalid message counts as an offence (P7)."""


class PeerStats:
    """The counters of one peer, and its own score worked out from them when somebody asks."""

    __slots__ = (
        "behaviour_penalty",
        "group",
        "own",
        "params",
        "penalties",
        "rewards",
        "slow_peer_penalty",
        "topics",
    )

    def __init__(self, params: PeerScoreParams, group: AddressGroup) -> None:
        self.params = params
        self.group = group
        """Of the address that it is connected from."""
        self.topics: dict[str, TopicScore] = {}
        """Those in which something is known of it."""
        self.behaviour_penalty = 0.0
        self.slow_peer_penalty = 0.0
        self.rewards: float | None = 0.0
        """What it earned in all topics, before the cap; ``None`` if the topics must be added up anew."""
        self.penalties = 0.0
        """What it pays in all topics, as of the same time."""
        self.own: float | None = None
        """The score without P6; ``None`` if it must be worked out anew."""

    def topic(self, topic: str) -> TopicScore | None:
        """The counters of a topic, made if there are none; ``None`` if the topic does not count."""
        found = self.topics.get(topic)
        if found is None:
            params = self.params.topics.get(topic)
            if params is None:
                if self.params.default_topic is None or len(self.topics) >= TOPICS_PER_PEER_MAX:
                    return None
                params = self.params.default_topic
            found = self.topics[topic] = TopicScore(params)
        return found

    def changed(self) -> None:
        """Something in a topic changed other than by gaining points."""
        self.rewards = self.own = None

    def gained(self, points: float) -> None:
        """A topic is worth so much more, and not less.

        Adding does not need all topics; taking away would leave a rounding error where there should be a 0,
        and a peer with a score of -1e-17 is out of the mesh. Each refresh adds up anew.
        """
        if points:
            if self.rewards is not None:
                self.rewards += points
            self.own = None

    def offended(self, count: float) -> None:
        """It did what it must not do, so many times (P7)."""
        self.behaviour_penalty = min(COUNTER_MAX, self.behaviour_penalty + min(count, COUNTER_MAX))
        self.own = None

    def slowed(self, count: float) -> None:
        """It did not take so many messages."""
        cap = self.params.slow_peer_cap
        self.slow_peer_penalty = min(cap, self.slow_peer_penalty + min(count, cap))
        self.own = None

    def decay(self, now: float) -> None:
        """One decay interval has passed."""
        params = self.params
        to_zero = params.decay_to_zero
        if self.topics:
            gone = [name for name, topic in self.topics.items() if not topic.decay(now, to_zero)]
            for name in gone:
                del self.topics[name]
            self.rewards = None
        self.behaviour_penalty = decayed(self.behaviour_penalty, params.behaviour_penalty_decay, to_zero)
        self.slow_peer_penalty = decayed(self.slow_peer_penalty, params.slow_peer_decay, to_zero)
        self.own = None

    def disconnect(self) -> bool:
        """The peer is gone: only what counts against it remains. Return whether anything does."""
        for name in [name for name, topic in self.topics.items() if not topic.disconnect()]:
            del self.topics[name]
        self.changed()
        return bool(self.topics or self.behaviour_penalty or self.slow_peer_penalty)

    def absorb(self, other: PeerStats) -> None:
        """Both are the same peer: what counts against the other counts here too, of each the worse."""
        self.behaviour_penalty = max(self.behaviour_penalty, other.behaviour_penalty)
        self.slow_peer_penalty = max(self.slow_peer_penalty, other.slow_peer_penalty)
        for name, theirs in other.topics.items():
            if (topic := self.topic(name)) is not None:
                topic.absorb(theirs)
        self.changed()

    def ticks_to_zero(self) -> int:
        """Decays after which nothing of what counts against the peer would be left."""
        params = self.params
        to_zero = params.decay_to_zero
        return max(
            ticks_to_zero(self.behaviour_penalty, params.behaviour_penalty_decay, to_zero),
            ticks_to_zero(self.slow_peer_penalty, params.slow_peer_decay, to_zero),
            *(topic.ticks_to_zero(to_zero) for topic in self.topics.values()),
        )

    def rescore(self, p5: float) -> float:
        """Work out the score without P6; ``p5``: the application's part, weighted."""
        rewards = self.rewards
        if rewards is None:
            topics = self.topics.values()
            self.rewards = rewards = sum([topic.rewards for topic in topics])
            self.penalties = sum([topic.penalties for topic in topics])
        self.own = own = self.topic_score(rewards, self.penalties) + p5 + self.p7 + self.slow_peer
        return own

    def topic_score(self, rewards: float, penalties: float) -> float:
        """All topics together: our cap of the rewards, then TopicCap of the specification."""
        params = self.params
        if 0.0 < params.topic_reward_cap < rewards:
            rewards = params.topic_reward_cap
        score = rewards + penalties
        return params.topic_score_cap if 0.0 < params.topic_score_cap < score else score

    @property
    def p7(self) -> float:
        """The behavioural penalty, weighted."""
        excess = self.behaviour_penalty - self.params.behaviour_penalty_threshold
        return excess**2 * self.params.behaviour_penalty_weight if excess > 0.0 else 0.0

    @property
    def slow_peer(self) -> float:
        """The penalty for not taking messages, weighted."""
        excess = self.slow_peer_penalty - self.params.slow_peer_threshold
        return excess * self.params.slow_peer_weight if excess > 0.0 else 0.0
