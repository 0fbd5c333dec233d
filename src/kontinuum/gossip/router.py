"""The gossip router of one node: the machine that all parts of this room belong to.

Events in, effects out (``events.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kontinuum.base.entropy import Rng
    from kontinuum.gossip.events import Effect, Event
    from kontinuum.gossip.params import GossipParams
    from kontinuum.gossip.peer_score import PeerScore
    from kontinuum.gossip.score_params import PeerScoreThresholds
    from kontinuum.identity import PeerId

SignedBytes: TypeAlias = tuple[bytes, bytes, bytes]
"""Public key (32 bytes), the bytes that were signed, signature (64 bytes)."""


class Router:
    """The gossip router of one node.

    Feed it with :meth:`handle`, or better :meth:`handle_batch` with all that came at once: the signatures of a
    batch are verified in one call, and what goes to the same peer shares RPCs. Perform effects in order. Every
    ``now`` is monotonic seconds and never goes backwards.

    Args:
        local: Who we are.
        params: The settings.
        scores: Keeps the score of each peer. With all weights 0 and ``thresholds`` at minus infinity, scoring
            is off.
        thresholds: From which score on a peer gets and gives what.
        rng: Chance for choices that are no secret.
        sign: The 64-byte Ed25519 signature by our key over exactly these bytes.
        verify: For each triple whether the signature is valid. Called once per batch, after the seen check.
        unix_ns: The Unix time in nanoseconds at a monotonic time: sequence numbers.
        open_record: Check a signed peer record that somebody gave us for a peer (peer, record); false if it is
            not of that peer. Raises nothing.
        record_of: The signed peer record that we have of a peer, or empty bytes.
    """

    def __init__(
        self,
        local: PeerId,
        params: GossipParams,
        *,
        scores: PeerScore,
        thresholds: PeerScoreThresholds,
        rng: Rng,
        sign: Callable[[bytes], bytes],
        verify: Callable[[Sequence[SignedBytes]], Sequence[bool]],
        unix_ns: Callable[[float], int],
        open_record: Callable[[PeerId, bytes], bool] | None = None,
        record_of: Callable[[PeerId], bytes] | None = None,
    ) -> None:
        raise NotImplementedError

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return what shall be done about it, in order.

        Raises nothing for anything that a peer sent. A topic of our own program that is none (empty, too long)
        is a MisuseError, and nothing has changed.
        """
        raise NotImplementedError

    def handle_batch(self, events: Sequence[Event], now: float) -> list[Effect]:
        """:meth:`handle` for several events that came at the same time, cheaper than one by one."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> list[Effect]:
        """Heartbeat, decay of scores, deadlines."""
        raise NotImplementedError

    def next_deadline(self) -> float:
        """When :meth:`handle_timeout` wants to be called. The first heartbeat is due at once."""
        raise NotImplementedError

    def topics(self) -> list[str]:
        """The topics that we are in."""
        raise NotImplementedError

    def topic_peers(self, topic: str) -> list[PeerId]:
        """Connected peers that are in a topic, whether or not we are."""
        raise NotImplementedError

    def mesh_peers(self, topic: str) -> list[PeerId]:
        """Those of them in our mesh."""
        raise NotImplementedError

    def counters(self) -> Mapping[str, int]:
        """What happened since the start, by name, for metrics: see ``counters.py`` for the names."""
        raise NotImplementedError

    def snapshot(self) -> Snapshot:
        """The state of peers and topics, for people: costs time by their number."""
        raise NotImplementedError


class Snapshot:
    """Peers, topics and counters at one moment (fields follow)."""
