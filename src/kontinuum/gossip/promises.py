"""Who said that he has a message, was asked for it, and has to bring it in time.

Of the ids of one request one is remembered, chosen by lot: a peer cannot know which.

Source:   libp2p specs, gossipsub v1.1, "Spam Protection Measures"; go-libp2p-pubsub, gossip_tracer.go.
Bounds:   as many as requests may be made within ``followup_s``: max_ihave_messages of each peer and
          heartbeat.
Trust:    a promise is kept by whoever brings the message, so that a slow peer is not punished for a fast one.
Pure:     no I/O or clock; the caller draws the lot.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.gossip.peers import Peer


class Promises:
    """The promises that are open.

    Args:
        followup_s: Seconds for which a peer has time.
    """

    def __init__(self, followup_s: float) -> None:
        self._followup_s = followup_s
        self._open: dict[bytes, dict[Peer, float]] = {}
        self._ends: deque[tuple[float, bytes, Peer]] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, message_id: bytes, peer: Peer, now: float) -> None:
        """The peer was asked for that message. A promise of it that is open already stays as it is."""
        peers = self._open.setdefault(message_id, {})
        if peer not in peers:
            peers[peer] = now + self._followup_s
            self._ends.append((peers[peer], message_id, peer))

    def keep(self, message_id: bytes) -> None:
        """The message is here."""
        self._open.pop(message_id, None)

    def forgive(self, message_id: bytes, peer: Peer) -> None:
        """The peer brought it, and we could not take it: that is no fault of its own."""
        if (peers := self._open.get(message_id)) is not None:
            peers.pop(peer, None)
            if not peers:
                del self._open[message_id]

    def broken(self, now: float) -> list[Peer]:
        """Whose time is over, once for each promise; they are told once."""
        out: list[Peer] = []
        while self._ends and self._ends[0][0] <= now:
            ends_at, message_id, peer = self._ends.popleft()
            peers = self._open.get(message_id)
            if peers is not None and peers.get(peer) == ends_at:
                out.append(peer)
                del peers[peer]
                if not peers:
                    del self._open[message_id]
        return out
