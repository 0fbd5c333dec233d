"""What this node publishes, and when it is to be published again.

Holders come and go, and forget: the owner sends its contact every hour and whenever it is new, what it
provides before its contact there grows old, and everything else once a day.

Source: libp2p specs, kad-dht/README.md, "Content provider advertisement" and "Value storage" (republish).
Bounds:   PUBLICATIONS_MAX keys.
Trust:    our own program's values; they were validated when it put them.
Pure:     no I/O, clock or randomness. ``add`` takes both times, since an end in the calendar becomes a
          deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.dht.records.contact_record import contact_key
from kontinuum.identity import CONTACT_AGE_MAX_S

if TYPE_CHECKING:
    from kontinuum.identity import Contact

CONTACT_INTERVAL_S = 3600.0
"""Seconds between two times that our contact is published. The issue of the directory: an hour."""

RECORD_INTERVAL_S = 24 * 3600.0
"""Seconds between two times that a record is published. The issue of the directory: half of
RECORD_LIFETIME_S."""

PROVIDER_INTERVAL_S = 8 * 3600.0
"""Seconds between two times that we say what we provide. Our choice: holders keep that as long as our contact
is fresh, 24 h, and it may be 12 h old when they get it."""

PUBLISH_RETRY_S = 60.0
"""Seconds after which something is due again if nobody said that it was published; doubles each time, up to
its interval. Our choice: who did not answer may be back soon, and who refuses it will go on doing so."""

PUBLICATIONS_MAX = 65_536
"""Keys that one node publishes. Our choice. More: MisuseError, for only our own program publishes."""


@dataclass(slots=True)
class Publication:
    """One key of ours."""

    value: bytes | None
    """The record; ``None`` if there is none to store."""
    provided: bool
    """We say that we provide the key."""
    interval_s: float
    due: float
    """Monotonic."""
    expires: float
    """Monotonic; when the record is over."""
    retry_s: float = PUBLISH_RETRY_S
    """How long to wait if this time nobody says that it was published."""


class Publications:
    """What a node publishes: :meth:`add` it, publish what is :meth:`due`, and say so by :meth:`published`."""

    __slots__ = ("_by_key", "_next")

    def __init__(self) -> None:
        self._by_key: dict[bytes, Publication] = {}
        self._next = inf
        """Nothing is due or over before that; ``-inf`` if it must be worked out anew."""

    def add(
        self,
        key: bytes,
        value: bytes | None,
        *,
        now: float,
        at: datetime,
        expires_at: datetime | None = None,
        interval_s: float | None = None,
    ) -> None:
        """Publish a record (or ``None``: that we provide the key) from now on; it is due at once.

        A key may have both: a record, and that we provide it. A new record replaces the old one.

        Args:
            key: the key.
            value: the record; valid.
            now: monotonic seconds.
            at: the time of day now, aware.
            expires_at: when the record is over and nothing is left to publish; ``None`` for never.
            interval_s: how often; ``None`` for what is usual.

        Raises:
            MisuseError: PUBLICATIONS_MAX keys are there already.
        """
        known = self._by_key.get(key)
        if known is None and len(self._by_key) >= PUBLICATIONS_MAX:
            raise MisuseError(f"a node publishes at most {PUBLICATIONS_MAX} keys")
        provided = value is None or (known is not None and known.provided)
        if value is None and known is not None:
            value, expires = known.value, known.expires
        else:
            expires = inf if expires_at is None else now + (expires_at - at) / timedelta(seconds=1)
        usual_s = PROVIDER_INTERVAL_S if provided else RECORD_INTERVAL_S
        self._by_key[key] = Publication(value, provided, interval_s or usual_s, now, expires)
        self._next = -inf

    def add_contact(self, contact: Contact, *, now: float, at: datetime) -> None:
        """Publish our own contact, every hour; a newer one replaces it and is due at once."""
        self.add(
            contact_key(contact.peer_id),
            contact.encode(),
            now=now,
            at=at,
            expires_at=contact.issued_at + timedelta(seconds=CONTACT_AGE_MAX_S),
            interval_s=CONTACT_INTERVAL_S,
        )

    def renew(
        self, key: bytes, value: bytes, *, now: float, at: datetime, expires_at: datetime | None
    ) -> bool:
        """Replace the record of a key that is published, and publish it at once. Whether there is one."""
        known = self._by_key.get(key)
        if known is None:
            return False
        self.add(key, value, now=now, at=at, expires_at=expires_at, interval_s=known.interval_s)
        return True

    def remove(self, key: bytes) -> None:
        """Publish that key no more; holders forget it in time. Nothing happens if it is unknown."""
        self._by_key.pop(key, None)
        self._next = -inf

    def due(self, now: float, count_max: int = PUBLICATIONS_MAX) -> list[bytes]:
        """Keys to publish now, those that have waited for longest first; what is over is removed.

        At most ``count_max`` of them; the others stay due.

        Each is due again by :meth:`published` after its interval, or else as PUBLISH_RETRY_S says.
        """
        if now < self._next:
            return []
        for key in [key for key, known in self._by_key.items() if known.expires <= now]:
            self._end(key)
        due = [(known.due, key) for key, known in self._by_key.items() if known.due <= now]
        due.sort(key=lambda pair: pair[0])
        keys = [key for _, key in due[:count_max]]
        for key in keys:
            self.begun(key, now)
        self._next = -inf
        return keys

    def begun(self, key: bytes, now: float) -> None:
        """That key is being published just now; whether it comes about is not known yet."""
        if (known := self._by_key.get(key)) is not None:
            known.due = now + min(known.retry_s, known.interval_s)
            known.retry_s = min(2 * known.retry_s, known.interval_s)
            self._next = -inf

    def again(self, now: float) -> None:
        """Everything is due now."""
        for known in self._by_key.values():
            known.due = min(known.due, now)
        self._next = -inf

    def published(self, key: bytes, now: float) -> None:
        """That key was published just now."""
        if (known := self._by_key.get(key)) is not None:
            known.due = now + known.interval_s
            known.retry_s = PUBLISH_RETRY_S
            self._next = -inf

    def next_deadline(self) -> float | None:
        """When :meth:`due` has something to say or to do."""
        if self._next == -inf:
            self._next = min((min(known.due, known.expires) for known in self._by_key.values()), default=inf)
        return None if self._next == inf else self._next

    def get(self, key: bytes) -> Publication | None:
        """What is published under a key."""
        return self._by_key.get(key)

    def value(self, key: bytes) -> bytes | None:
        """The record of a key; ``None`` if we only provide it, or do not publish it."""
        known = self._by_key.get(key)
        return None if known is None else known.value

    def __len__(self) -> int:
        return len(self._by_key)

    def _end(self, key: bytes) -> None:
        """A record is over; that we provide its key is not."""
        known = self._by_key[key]
        if known.provided:
            known.value, known.expires = None, inf
        else:
            del self._by_key[key]
