"""The last messages in full, to be announced and asked for.

Source:   libp2p specs, gossipsub v1.0, "Message Cache".
Differs:  bounded in bytes; beyond it the oldest go early.
Bounds:   ``bytes_max``; ``length`` windows.
Trust:    only valid messages come in here.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.gossip.entry import Entry


class MessageCache:
    """The messages of the last heartbeats.

    Args:
        length: Windows, one for each heartbeat, for which a message is here (mcache_len).
        gossip: Of these, the latest ones whose messages are announced (mcache_gossip).
        bytes_max: Bytes of messages that are here at once.
    """

    def __init__(self, length: int, gossip: int, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._gossip = gossip
        self._entries: dict[bytes, Entry] = {}
        self._windows: deque[deque[Entry]] = deque((deque() for _ in range(length)), maxlen=length)
        """The latest one last."""
        self.bytes = 0
        """Bytes that the messages take."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, message_id: bytes) -> Entry | None:
        """A message, if it is here."""
        return self._entries.get(message_id)

    def put(self, entry: Entry) -> list[Entry]:
        """Take a message in; return those that had to go for it."""
        self._entries[entry.message_id] = entry
        self._windows[-1].append(entry)
        self.bytes += len(entry.field)
        return self._shrink() if self.bytes > self._bytes_max else []

    def gossip_ids(self) -> dict[str, list[bytes]]:
        """For each topic the messages that are announced now (``get_gossip_ids``), the oldest first."""
        ids: dict[str, list[bytes]] = {}
        for index in range(len(self._windows) - self._gossip, len(self._windows)):
            for entry in self._windows[index]:
                ids.setdefault(entry.topic, []).append(entry.message_id)
        return ids

    def shift(self) -> list[Entry]:
        """A heartbeat: begin a new window; return the messages of the oldest one, which are gone."""
        gone = list(self._windows.popleft())
        self._windows.append(deque())
        for entry in gone:
            self._drop(entry)
        return gone

    def _shrink(self) -> list[Entry]:
        gone: list[Entry] = []
        for window in self._windows:
            while window and self.bytes > self._bytes_max:
                gone.append(window.popleft())
                self._drop(gone[-1])
        return gone

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.message_id]
        self.bytes -= len(entry.field)
