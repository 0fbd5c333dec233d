"""What one peer did in one topic: the counters of P1 to P4, how they grow, decay, and what they are worth.

Source:   libp2p specs, gossipsub v1.1, "Topic Parameter Calculation and Decay".
Differs:  P3 holds only while the peer is in the mesh, as in rust-libp2p; go-libp2p-pubsub goes on. The
          counters of P3b and P4 stop at COUNTER_MAX and its square. A GRAFT or PRUNE that changes nothing
          has no effect, so that nobody resets the activation of P3 by grafting again.
Bounds:   a few numbers.
Trust:    the router reports what it saw itself.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log
from typing import TYPE_CHECKING

from kontinuum.gossip.score_params import COUNTER_MAX

if TYPE_CHECKING:
    from kontinuum.gossip.score_params import TopicScoreParams


@dataclass(frozen=True, slots=True)
class TopicScoreSnapshot:
    """A peer's counters in one topic and the points that each term gives, for metrics and people."""

    topic: str
    in_mesh: bool
    time_in_mesh_s: float
    """Since the GRAFT, as of the last refresh; 0 outside of the mesh."""
    first_message_deliveries: float
    mesh_message_deliveries: float
    mesh_failure_penalty: float
    invalid_message_deliveries: float
    p1: float
    p2: float
    p3: float
    p3b: float
    p4: float
    """Each term with its own weight and the topic's."""

    @property
    def rewards(self) -> float:
        """What the peer earns here, before the cap over all topics."""
        return self.p1 + self.p2

    @property
    def penalties(self) -> float:
        """What it pays here: 0 or less."""
        return self.p3 + self.p3b + self.p4


def decayed(counter: float, decay: float, to_zero: float) -> float:
    """What one decay interval leaves of a counter."""
    kept = counter * decay
    return kept if kept >= to_zero else 0.0


def ticks_to_zero(counter: float, decay: float, to_zero: float) -> int:
    """Decay intervals after which nothing of a counter is left; one more or less by rounding."""
    if not counter:
        return 0
    return max(1, floor((log(to_zero) - log(counter)) / log(decay)) + 1)


class TopicScore:
    """The counters of one peer in one topic."""

    __slots__ = (
        "first_message_deliveries",
        "grafted_at",
        "in_mesh",
        "invalid_message_deliveries",
        "mesh_failure_penalty",
        "mesh_message_deliveries",
        "mesh_message_deliveries_active",
        "params",
        "time_in_mesh_s",
    )

    def __init__(self, params: TopicScoreParams) -> None:
        self.params = params
        self.in_mesh = False
        self.grafted_at = 0.0
        """When it came into the mesh; means something only while it is there."""
        self.time_in_mesh_s = 0.0
        """Since then, as of the last refresh: the specification works it out lazily."""
        self.mesh_message_deliveries_active = False
        """Whether it has been in the mesh long enough for P3."""
        self.first_message_deliveries = 0.0
        self.mesh_message_deliveries = 0.0
        self.mesh_failure_penalty = 0.0
        self.invalid_message_deliveries = 0.0

    def graft(self, now: float) -> None:
        """It is in the mesh."""
        if not self.in_mesh:
            self.in_mesh = True
            self.grafted_at = now

    def prune(self) -> None:
        """It is no longer in the mesh; what it lacks there sticks to it (P3b)."""
        if self.in_mesh:
            failed = self.mesh_failure_penalty + self.deficit**2
            self.mesh_failure_penalty = min(COUNTER_MAX**2, failed)
            self.in_mesh = self.mesh_message_deliveries_active = False
            self.time_in_mesh_s = 0.0

    def first_delivery(self) -> float:
        """It brought a valid message first; return the points that it gained by P2."""
        params = self.params
        before = self.first_message_deliveries
        self.first_message_deliveries = after = min(params.first_message_deliveries_cap, before + 1.0)
        if self.in_mesh:
            self.mesh_message_deliveries = min(
                params.mesh_message_deliveries_cap, self.mesh_message_deliveries + 1.0
            )
        return (after - before) * params.first_message_deliveries_weight * params.topic_weight

    def near_first_delivery(self) -> None:
        """It brought a valid message soon enough after the first one did."""
        if self.in_mesh:
            self.mesh_message_deliveries = min(
                self.params.mesh_message_deliveries_cap, self.mesh_message_deliveries + 1.0
            )

    def invalid(self) -> None:
        """It brought an invalid message."""
        self.invalid_message_deliveries = min(COUNTER_MAX, self.invalid_message_deliveries + 1.0)

    def decay(self, now: float, to_zero: float) -> bool:
        """One decay interval has passed; return whether the peer has anything left in this topic."""
        params = self.params
        left = self.in_mesh
        if left:
            self.time_in_mesh_s = now - self.grafted_at
            if self.time_in_mesh_s > params.mesh_message_deliveries_activation_s:
                self.mesh_message_deliveries_active = True
        if counter := self.first_message_deliveries:
            counter = decayed(counter, params.first_message_deliveries_decay, to_zero)
            self.first_message_deliveries = counter
            left = left or counter > 0.0
        if counter := self.mesh_message_deliveries:
            counter = decayed(counter, params.mesh_message_deliveries_decay, to_zero)
            self.mesh_message_deliveries = counter
            left = left or counter > 0.0
        if counter := self.mesh_failure_penalty:
            counter = decayed(counter, params.mesh_failure_penalty_decay, to_zero)
            self.mesh_failure_penalty = counter
            left = left or counter > 0.0
        if counter := self.invalid_message_deliveries:
            counter = decayed(counter, params.invalid_message_deliveries_decay, to_zero)
            self.invalid_message_deliveries = counter
            left = left or counter > 0.0
        return left

    def disconnect(self) -> bool:
        """The peer is gone: only what counts against it remains. Return whether anything does."""
        self.prune()
        self.first_message_deliveries = self.mesh_message_deliveries = 0.0
        return self.mesh_failure_penalty > 0.0 or self.invalid_message_deliveries > 0.0

    def absorb(self, other: TopicScore) -> None:
        """What counts against another peer counts here too; of each the worse, since both may be the same."""
        failed = min(COUNTER_MAX**2, other.mesh_failure_penalty + other.deficit**2)
        self.mesh_failure_penalty = max(self.mesh_failure_penalty, failed)
        self.invalid_message_deliveries = max(
            self.invalid_message_deliveries, other.invalid_message_deliveries
        )

    def ticks_to_zero(self, to_zero: float) -> int:
        """Decay intervals after which nothing of what counts against the peer is left."""
        params = self.params
        return max(
            ticks_to_zero(self.mesh_failure_penalty, params.mesh_failure_penalty_decay, to_zero),
            ticks_to_zero(self.invalid_message_deliveries, params.invalid_message_deliveries_decay, to_zero),
        )

    @property
    def is_lacking(self) -> bool:
        """Whether P3 holds and it has delivered too little for it."""
        return (
            self.mesh_message_deliveries_active
            and self.mesh_message_deliveries < self.params.mesh_message_deliveries_threshold
        )

    @property
    def deficit(self) -> float:
        """Deliveries that it lacks for P3."""
        if not self.is_lacking:
            return 0.0
        return self.params.mesh_message_deliveries_threshold - self.mesh_message_deliveries

    @property
    def quanta(self) -> float:
        """Whole quanta of its time in the mesh, as far as they count (P1)."""
        params = self.params
        return min(params.time_in_mesh_cap, self.time_in_mesh_s // params.time_in_mesh_quantum_s)

    @property
    def rewards(self) -> float:
        """P1 and P2, weighted."""
        params = self.params
        points = self.first_message_deliveries * params.first_message_deliveries_weight
        if self.in_mesh:
            points += self.quanta * params.time_in_mesh_weight
        return points * params.topic_weight

    @property
    def penalties(self) -> float:
        """P3, P3b and P4, weighted: 0 or less."""
        params = self.params
        points = 0.0
        if self.is_lacking:
            points += self.deficit**2 * params.mesh_message_deliveries_weight
        if self.mesh_failure_penalty:
            points += self.mesh_failure_penalty * params.mesh_failure_penalty_weight
        if self.invalid_message_deliveries:
            points += self.invalid_message_deliveries**2 * params.invalid_message_deliveries_weight
        return points * params.topic_weight

    def snapshot(self, topic: str) -> TopicScoreSnapshot:
        """Tell it term by term."""
        params, weight = self.params, self.params.topic_weight
        return TopicScoreSnapshot(
            topic=topic,
            in_mesh=self.in_mesh,
            time_in_mesh_s=self.time_in_mesh_s,
            first_message_deliveries=self.first_message_deliveries,
            mesh_message_deliveries=self.mesh_message_deliveries,
            mesh_failure_penalty=self.mesh_failure_penalty,
            invalid_message_deliveries=self.invalid_message_deliveries,
            p1=self.quanta * params.time_in_mesh_weight * weight,
            p2=self.first_message_deliveries * params.first_message_deliveries_weight * weight,
            p3=self.deficit**2 * params.mesh_message_deliveries_weight * weight,
            p3b=self.mesh_failure_penalty * params.mesh_failure_penalty_weight * weight,
            p4=self.invalid_message_deliveries**2 * params.invalid_message_deliveries_weight * weight,
        )
