"""Who must not graft with us yet, in which topic, and until when.

Source:   libp2p specs, gossipsub v1.1, "PRUNE Backoff and Peer Exchange"; the slack after the end as go.
Differs:  the time doubles with each offence, up to ``max_s``; times that peers ask for are held to ``max_s``,
          too.
Bounds:   PEERS_MAX peers of a topic; those whose time is over first go.
Trust:    a PRUNE's time is hostile input: it costs only links with the peer that said it.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.identity import PeerId

PEERS_MAX = 4096
"""Peers of one topic whose backoff is remembered, connected or not. Our choice: some 1 MB."""

OFFENCES_MAX = 16
"""Offences that are counted. Our choice: the time has long reached its longest."""


class _Record:
    __slots__ = ("ends_at", "is_crossing_forgiven", "offences", "pruned_at")

    def __init__(self) -> None:
        self.ends_at = 0.0
        self.pruned_at = 0.0
        self.offences = 0
        self.is_crossing_forgiven = False


class Backoff:
    """The backoff of all topics.

    Args:
        prune_s: Seconds after a PRUNE.
        max_s: Longest time.
        slack_s: Seconds beyond the end for which we do not graft ourselves, since clocks and heartbeats
            differ.
    """

    def __init__(self, prune_s: float, max_s: float, slack_s: float) -> None:
        self._prune_s = prune_s
        self._max_s = max_s
        self._slack_s = slack_s
        self._topics: dict[str, dict[PeerId, _Record]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._topics.values()))

    def add(self, topic: str, peer: PeerId, seconds: float | None, now: float) -> float:
        """A PRUNE went one way or the other; return for how many seconds from now the two do not graft.

        An end that is later already stays.

        Args:
            topic: The topic.
            peer: The peer.
            seconds: For how long; ``None``: as long as this peer deserves.
            now: The time.
        """
        record = self._record(topic, peer)
        if seconds is None:
            seconds = self._prune_s * 2.0**record.offences
        seconds = min(seconds, self._max_s)
        record.pruned_at = now
        if now + seconds < record.ends_at:
            return record.ends_at - now
        record.ends_at = now + seconds
        return seconds

    def is_active(self, topic: str, peer: PeerId, now: float) -> bool:
        """Whether a GRAFT of the peer comes too early."""
        record = self._topics.get(topic, {}).get(peer)
        return record is not None and now < record.ends_at

    def blocks(self, topic: str, peer: PeerId, now: float) -> bool:
        """Whether we must not graft with the peer yet."""
        record = self._topics.get(topic, {}).get(peer)
        return record is not None and now < record.ends_at + self._slack_s

    def offend(self, topic: str, peer: PeerId, now: float, crossing_s: float) -> float | None:
        """A GRAFT came too early: count it; return the seconds since the last PRUNE.

        ``None`` for the first one within ``crossing_s`` of a PRUNE: the two may have crossed on their way.
        """
        record = self._record(topic, peer)
        since_s = now - record.pruned_at
        if since_s <= crossing_s and not record.is_crossing_forgiven:
            record.is_crossing_forgiven = True
            return None
        record.offences = min(record.offences + 1, OFFENCES_MAX)
        return since_s

    def rename(self, peer: PeerId, name: PeerId) -> None:
        """A peer goes by another name; of two records that which ends later stays."""
        for records in self._topics.values():
            record, known = records.pop(peer, None), records.get(name)
            if record is not None and (known is None or known.ends_at < record.ends_at):
                records[name] = record

    def expire(self, now: float) -> None:
        """Forget those whose time is long over: an offence for as long again as it lasted."""
        for topic, records in list(self._topics.items()):
            over = [
                peer
                for peer, record in records.items()
                if record.ends_at + max(self._slack_s, record.offences and record.ends_at - record.pruned_at)
                <= now
            ]
            for peer in over:
                del records[peer]
            if not records:
                del self._topics[topic]

    def _record(self, topic: str, peer: PeerId) -> _Record:
        records = self._topics.setdefault(topic, {})
        record = records.get(peer)
        if record is None:
            if len(records) >= PEERS_MAX:
                del records[min(records, key=lambda each: records[each].ends_at)]
            record = records[peer] = _Record()
        return record
