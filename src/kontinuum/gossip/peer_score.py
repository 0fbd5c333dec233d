"""The score of each peer: what the router saw it do, weighed, and forgotten in time.

The router reports; this adds up; the router compares with the thresholds. Every node keeps its own scores and
tells nobody. The formulas and the reasons for the defaults are in docs/protocols/pubsub-score.md.

Source:   libp2p specs, gossipsub v1.1, "Peer Scoring".
Differs:  see ``topic_score`` (P3), ``colocation`` (P6), ``retained_scores`` (who left) and
          ``score_params``. The router says itself how long ago a message was first seen, so no delivery
          records are kept here.
Bounds:   PEERS_MAX connected peers; APPLICATION_SCORES_MAX numbers of the application; the parts have their
          own.
Trust:    only the router and the application report. What a peer does can cost it, or earn it up to a cap.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.gossip.colocation import Colocation
from kontinuum.gossip.peer_stats import PeerStats
from kontinuum.gossip.retained_scores import RetainedScores
from kontinuum.gossip.score_errors import ScoreEventError, TooManyApplicationScoresError
from kontinuum.gossip.score_params import COUNTER_MAX

if TYPE_CHECKING:
    from kontinuum.gossip.score_params import PeerScoreParams
    from kontinuum.gossip.topic_score import TopicScoreSnapshot
    from kontinuum.identity import PeerId

PEERS_MAX = 10_000
"""Connected peers that are scored. Our choice: ten times the peers of a topic. :meth:`PeerScore.add_peer`
refuses one more."""

APPLICATION_SCORES_MAX = 10_000
"""Peers that the application has rated with another number than 0 (P5). Our choice. It is told when there are
more: only the application knows which of them matters least."""


@dataclass(frozen=True, slots=True)
class PeerScoreSnapshot:
    """A peer's score term by term, for metrics and people."""

    peer: PeerId
    connected: bool
    """If not, this is what the peer would come back with."""
    score: float
    topics: tuple[TopicScoreSnapshot, ...]
    topic_score: float
    """All topics together, capped."""
    p5: float
    p6: float
    p7: float
    slow_peer: float
    """The other terms, weighted. The five add up to ``score``."""
    peers_on_address: int
    """Connected peers of its address, itself included; 0 if the address is not counted."""
    behaviour_penalty: float
    slow_peer_penalty: float
    """The counters of the last two."""


class PeerScore:
    """The scores of all peers that are connected, or left with something against them.

    Whatever is reported of a peer that is not connected has no effect, as has what it does in a topic that
    does not count. Every ``now`` is monotonic seconds and never goes backwards. Call :meth:`refresh` at or
    after :attr:`next_refresh`.

    Args:
        params: What each kind of behaviour is worth. With :meth:`PeerScoreParams.off` every score is 0.
    """

    def __init__(self, params: PeerScoreParams) -> None:
        self._params = params
        self._off = params.is_off
        self._peers: dict[PeerId, PeerStats] = {}
        self._retained = RetainedScores()
        self._application: dict[PeerId, float] = {}
        """P5 of each peer, weighted."""
        self._colocation = Colocation(
            params.ip_colocation_factor_weight,
            params.ip_colocation_factor_threshold,
            params.ip_colocation_factor_allow_list,
        )
        self.next_refresh: float | None = None
        """When the counters decay next; ``None`` while there are none."""

    def score(self, peer: PeerId) -> float:
        """The peer's score now.

        Of one that left it is what it would come back with; of a stranger, what the application says.
        Remembered until something changes, so it may be asked for with each message.
        """
        stats = self._peers.get(peer)
        if stats is None:
            return self._retained.score(peer) + self._application.get(peer, 0.0)
        own = stats.own
        if own is None:
            own = stats.rescore(self._application.get(peer, 0.0))
        return own + stats.group.penalty

    # --- connections ---

    def add_peer(self, peer: PeerId, ip: str | None, now: float) -> bool:
        """A peer has connected, or its connection has another address now.

        Args:
            peer: Who it is.
            ip: The text of the address that its packets come from; ``None`` if they come through a relay.
            now: Monotonic seconds.

        Returns:
            Whether it is scored. If not, there are too many peers: do not serve this one.
        """
        if self._off:
            return True
        stats = self._peers.get(peer)
        if stats is not None:
            self._colocation.leave(stats.group)
            stats.group = self._colocation.join(ip)
            return True
        if len(self._peers) >= PEERS_MAX:
            return False
        group = self._colocation.join(ip)
        stats = self._retained.take(peer, now)
        if stats is None:
            stats = PeerStats(self._params, group)
        else:
            stats.group = group
            stats.own = None
        self._peers[peer] = stats
        if self.next_refresh is None:
            self.next_refresh = now + self._params.decay_interval_s
        return True

    def remove_peer(self, peer: PeerId, now: float) -> None:
        """A peer's last connection has ended. It loses its rewards and keeps what counts against it."""
        stats = self._peers.pop(peer, None)
        if stats is None:
            return
        self._colocation.leave(stats.group)
        self._retain(peer, stats, now)

    def rename(self, peer: PeerId, name: PeerId, now: float) -> None:
        """A connected peer goes by another name, under which nobody is connected. Its score goes along.

        What counts against it stays at the old name too: whoever comes back under that gets rid of nothing.
        """
        stats = self._peers.pop(peer, None)
        if stats is not None:
            if (known := self._retained.take(name, now)) is not None:
                stats.absorb(known)
            self._peers[name] = stats
        points = self._application.pop(peer, 0.0)
        if points and name not in self._application:
            self._application[name] = points
        self.inherit(peer, name, now)

    def inherit(self, peer: PeerId, other: PeerId, now: float) -> None:
        """What counts against ``other`` counts against ``peer`` too: they are the same, under two names."""
        theirs = self._peers.get(other) or self._retained.stats(other)
        if theirs is None or self._off:
            return
        stats = self._peers.get(peer)
        if stats is not None:
            stats.absorb(theirs)
            return
        kept = self._retained.take(peer, now) or PeerStats(self._params, theirs.group)
        kept.absorb(theirs)
        self._retain(peer, kept, now)

    def _retain(self, peer: PeerId, stats: PeerStats, now: float) -> None:
        """Keep what counts against a peer that is not connected."""
        if stats.disconnect() and self._params.retain_score_s > 0.0:
            # One interval more: the peer may have left just after a decay.
            decayed_s = (stats.ticks_to_zero() + 1) * self._params.decay_interval_s
            self._retained.keep(peer, stats, now + max(self._params.retain_score_s, decayed_s))

    # --- what the router sees ---

    def graft(self, peer: PeerId, topic: str, now: float) -> None:
        """The peer is in our mesh of a topic (P1, P3)."""
        stats = self._peers.get(peer)
        if stats is not None and (scored := stats.topic(topic)) is not None:
            scored.graft(now)

    def prune(self, peer: PeerId, topic: str, now: float) -> None:  # noqa: ARG002  every event has its time
        """The peer is no longer in our mesh of a topic, whoever wanted it (P3b)."""
        stats = self._peers.get(peer)
        if stats is not None and (scored := stats.topics.get(topic)) is not None:
            scored.prune()
            stats.changed()

    def first_delivery(self, peer: PeerId, topic: str, now: float) -> None:  # noqa: ARG002  every event has its time
        """The peer brought a message first, and the message is valid (P2, P3).

        Once for each message, when it is accepted; not for messages that are ignored.
        """
        stats = self._peers.get(peer)
        if stats is None:
            return
        scored = stats.topics.get(topic) or stats.topic(topic)
        if scored is None:
            return
        if scored.is_lacking:
            scored.first_delivery()
            stats.changed()
        else:
            stats.gained(scored.first_delivery())

    def duplicate(self, peer: PeerId, topic: str, age_s: float, now: float) -> None:  # noqa: ARG002  as above
        """The peer brought a valid message that another one had brought before (P3).

        At most once for each peer and message, and not for the one that brought it first.

        Args:
            peer: Who it is.
            topic: Of the message.
            age_s: Seconds since the message was accepted; 0 if the peer's copy came before that.
            now: Monotonic seconds.
        """
        stats = self._peers.get(peer)
        if stats is None:
            return
        scored = stats.topics.get(topic)
        if scored is None or age_s > scored.params.mesh_message_deliveries_window_s:
            return
        if scored.is_lacking:
            stats.changed()
        scored.near_first_delivery()

    def invalid(self, peer: PeerId, topic: str) -> None:
        """The peer brought a message that is invalid: a wrong signature, or rejected by a validator (P4)."""
        stats = self._peers.get(peer)
        if stats is None:
            return
        scored = stats.topic(topic)
        if scored is not None:
            scored.invalid()
            stats.changed()
        elif self._params.default_topic is not None:
            stats.offended(1.0)

    def behaviour_penalty(self, peer: PeerId, count: float) -> None:
        """The peer broke the protocol's rules so many times (P7).

        Raises:
            ScoreEventError: ``count`` is negative or no number.
        """
        if not count >= 0.0:
            raise ScoreEventError("a behavioural penalty", count)
        stats = self._peers.get(peer)
        if stats is not None:
            stats.offended(count)

    def slow_peer(self, peer: PeerId, count: float) -> None:
        """So many messages were dropped because the peer did not take them.

        Raises:
            ScoreEventError: ``count`` is negative or no number.
        """
        if not count >= 0.0:
            raise ScoreEventError("a number of dropped messages", count)
        stats = self._peers.get(peer)
        if stats is not None:
            stats.slowed(count)

    # --- the application, and time ---

    def set_application_score(self, peer: PeerId, value: float) -> None:
        """What the application thinks of a peer, connected or not (P5); it stays until it is set again.

        Args:
            peer: Who it is.
            value: Any number from -COUNTER_MAX to COUNTER_MAX; 0 is what all others have.

        Raises:
            ScoreEventError: The number is too large, or none.
            TooManyApplicationScoresError: The application rates too many peers.
        """
        if not -COUNTER_MAX <= value <= COUNTER_MAX:
            raise ScoreEventError("an application's score", value)
        points = value * self._params.app_specific_weight
        if not points:
            self._application.pop(peer, None)
        elif peer in self._application or len(self._application) < APPLICATION_SCORES_MAX:
            self._application[peer] = points
        else:
            raise TooManyApplicationScoresError(APPLICATION_SCORES_MAX)
        stats = self._peers.get(peer)
        if stats is not None:
            stats.own = None

    def refresh(self, now: float) -> None:
        """Let the counters decay if that is due; before :attr:`next_refresh` this does nothing.

        If we were late by more than an interval, the intervals between are left out, as with Go's ticker: a
        host that stood still did not hear what its peers did, good or bad.
        """
        due = self.next_refresh
        if due is None or now < due:
            return
        interval = self._params.decay_interval_s
        self.next_refresh = due + interval if now < due + interval else now + interval
        for stats in self._peers.values():
            stats.decay(now)
        self._retained.expire(now)
        if not self._peers and not self._retained:
            self.next_refresh = None

    def inspect(self) -> tuple[PeerScoreSnapshot, ...]:
        """The scores of all peers term by term, connected ones first. Costs time by their number."""
        connected = [self._snapshot(peer, stats, connected=True) for peer, stats in self._peers.items()]
        left = [self._snapshot(peer, kept.stats, connected=False) for peer, kept in self._retained]
        return tuple(connected + left)

    def _snapshot(self, peer: PeerId, stats: PeerStats, *, connected: bool) -> PeerScoreSnapshot:
        topics = tuple(scored.snapshot(name) for name, scored in stats.topics.items())
        return PeerScoreSnapshot(
            peer=peer,
            connected=connected,
            score=self.score(peer),
            topics=topics,
            topic_score=stats.topic_score(
                sum(topic.rewards for topic in topics), sum(topic.penalties for topic in topics)
            ),
            p5=self._application.get(peer, 0.0),
            p6=stats.group.penalty if connected else 0.0,
            p7=stats.p7,
            slow_peer=stats.slow_peer,
            peers_on_address=stats.group.peers if connected else 0,
            behaviour_penalty=stats.behaviour_penalty,
            slow_peer_penalty=stats.slow_peer_penalty,
        )
