"""Which messages are known already, and which are too old to be new.

A message id is known for ``seen_ttl_s``. What is forgotten then could come back as a replay; so an author's
``floor`` remembers the highest of his sequence numbers that was forgotten, and what is not above it is not
new. That is possible for authors who count upwards from the time, as Kontinuum, go and rust do. js-libp2p
draws sequence numbers by lot, so an author with one that is no plausible time has no floor.

Source:   libp2p specs, gossipsub v1.0, "Message Cache" (seen cache); pubsub, "The Message" (sequence
          numbers).
Differs:  floors are ours; go has something like them as an option (BasicSeqnoValidator).
Bounds:   IDS_MAX ids, AUTHORS_MAX authors; the oldest go.
Trust:    only verified messages raise floors, so nobody can raise another one's.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from kontinuum.identity import PeerId
from kontinuum.wire.limits import PUBSUB_AUTHOR_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.gossip.entry import Entry, State

IDS_MAX = 262_144
"""Message ids that are known at the start of a heartbeat. Our choice: some 50 MB. Of more the oldest go; of
authors with a floor they still are not new."""

AUTHORS_MAX = 65_536
"""Authors whose floor is known. Our choice: some 25 MB. Beyond it goes who was not heard of for longest."""

TIME_MIN_NS = 1_400_000_000 * 10**9
"""Smallest sequence number that can be a time, in Unix nanoseconds: 2014, before libp2p. Below: no floor."""

AHEAD_MAX_NS = 60 * 10**9
"""How far ahead of our clock a sequence number may be and still be a time. Our choice: half of seen_ttl_s, so
that a floor never lies in the future, and a node whose clock was put right is heard."""


class Author:
    """What is known of an author."""

    __slots__ = ("counts_up", "floor", "peer_id")

    def __init__(self, peer_id: PeerId) -> None:
        self.peer_id = peer_id
        self.floor = 0
        """The highest of his sequence numbers that was forgotten."""
        self.counts_up = True
        """All of his sequence numbers were plausible times."""


class Seen:
    """The ids of known messages and the floors of their authors.

    Args:
        ttl_s: Seconds for which an id is known.
        ids_max: Ids known at once.
        authors_max: Authors known at once.
    """

    def __init__(self, ttl_s: float, *, ids_max: int = IDS_MAX, authors_max: int = AUTHORS_MAX) -> None:
        self.known: dict[bytes, Entry | State] = {}
        """By message id: its entry while that matters, then only how it ended. To be read; the methods
        write."""
        self._ttl_s = ttl_s
        self._ids_max = ids_max
        self._authors_max = authors_max
        self._latest: list[bytes] = []
        """The ids of this heartbeat."""
        self._ages: deque[tuple[float, list[bytes]]] = deque()
        """The ids of earlier ones and when they ended, the oldest first."""
        self._authors: OrderedDict[bytes, Author] = OrderedDict()
        """By multihash, who was not heard of for longest first."""

    def __len__(self) -> int:
        return len(self.known)

    def reserve(self, entry: Entry) -> None:
        """A message is here and is still to be verified: ends in :meth:`keep` or :meth:`discard`."""
        self.known[entry.message_id] = entry

    def keep(self, entry: Entry) -> None:
        """The message is known from now on."""
        self.known[entry.message_id] = entry
        self._latest.append(entry.message_id)

    def discard(self, message_id: bytes) -> None:
        """It was a forgery: the true one may still come."""
        del self.known[message_id]

    def settle(self, entries: Iterable[Entry]) -> None:
        """Of these only how they ended is still needed."""
        known = self.known
        for entry in entries:
            if entry.message_id in known:
                known[entry.message_id] = entry.state

    def is_replay(self, author: bytes, seqno: bytes) -> bool:
        """Whether a message that is not known was known once, as far as can be said."""
        found = self._authors.get(author)
        return found is not None and found.counts_up and int.from_bytes(seqno) <= found.floor

    def author(self, multihash: bytes, seqno: int, unix_ns: int) -> PeerId:
        """The author of a verified message, who is remembered.

        Raises:
            BadIdentityError: The key is nobody's.
        """
        found = self._authors.get(multihash)
        if found is None:
            found = self._authors[multihash] = Author(PeerId.from_multihash(multihash))
            if len(self._authors) > self._authors_max:
                self._authors.popitem(last=False)
        else:
            self._authors.move_to_end(multihash)
        if not TIME_MIN_NS <= seqno <= unix_ns + AHEAD_MAX_NS:
            found.counts_up = False
        return found.peer_id

    def tick(self, now: float, unix_ns: int) -> None:
        """A heartbeat: forget what is too old."""
        if self._latest:
            self._ages.append((now, self._latest))
            self._latest = []
        ages = self._ages
        while ages and (ages[0][0] + self._ttl_s <= now or len(self.known) > self._ids_max):
            for message_id in ages.popleft()[1]:
                self._forget(message_id, unix_ns)

    def _forget(self, message_id: bytes, unix_ns: int) -> None:
        del self.known[message_id]
        author = self._authors.get(message_id[:PUBSUB_AUTHOR_BYTES])
        if author is not None:
            seqno = int.from_bytes(message_id[PUBSUB_AUTHOR_BYTES:])
            author.floor = max(author.floor, min(seqno, unix_ns))
