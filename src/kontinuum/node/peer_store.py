"""The peers that a node remembers over a restart, and which of them it would dial first.

Format:   deterministic CBOR: ``{0: version, 1: [[contact, seen, succeeded, successes, failures, address]]}``;
          times in Unix seconds, 0 for never; the address that worked last, or null.
Bounds:   ``peers_max`` peers; a file of at most that many of the largest contacts.
Trust:    the file may be damaged or forged: every contact is checked again, as if it came from a stranger. A
          file that makes no sense is set aside, for a person to look at, and the node starts without it.
          Contacts from strangers never push out a peer that we once reached.
When:     the caller decides when to save (:attr:`PeerStore.changed`); until then a change is in memory only.
          A file that was not read to its end is never replaced: what it holds is not in memory.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from kontinuum.base.errors import FileUnavailableError, PeerError
from kontinuum.base.files import write_atomically
from kontinuum.identity.contact import Contact, newest
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import CONTACT_BYTES_MAX, MULTIADDR_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from pathlib import Path

    from kontinuum.identity.peer_id import PeerId

PEERS_MAX = 1024
"""Peers remembered. Our choice; beyond it the least useful ones are forgotten."""

SAVED_AGE_MAX_S = 30 * 24 * 3600.0
"""Seconds after which a saved contact is forgotten. Our choice: a node that was off for a holiday still finds
a peer at its old address; the identity is pinned when dialling, so that an old address can only fail."""

FAILURES_MAX = 8
"""Failed dials in a row after which earlier success counts no more. Our choice."""

FORMAT_VERSION = 1
"""Version of the file."""

_VERSION, _PEERS = range(2)
_ENTRY_ITEMS = 7
"""CBOR items of one entry: the array and its six fields."""

_COUNT_MAX = 2**53
"""Greatest count of an entry: what every reader of CBOR and JSON can hold. More: the entry is dropped."""

_SECONDS_MAX = 253_402_300_799
"""Last second of the year 9999, the end of ``datetime``. A later time: the entry is dropped."""

logger = logging.getLogger("kontinuum.node.peers")


@dataclass(frozen=True, slots=True)
class SavedPeer:
    """What is remembered of one peer."""

    contact: Contact
    """Its newest contact."""

    seen_s: int
    """Unix seconds when we last had news of it."""

    succeeded_s: int = 0
    """Unix seconds when a connection to it last succeeded, 0 for never."""

    successes: int = 0
    """Connections that succeeded, ever."""

    failures: int = 0
    """Dials that failed since the last success."""

    address: Multiaddr | None = None
    """The address that worked last; the one to try first."""

    @property
    def usefulness(self) -> tuple[bool, int, int, int]:
        """What the order of peers goes by; the greatest is dialled first, the least forgotten first."""
        proven = self.successes > 0 and self.failures < FAILURES_MAX
        return proven, self.succeeded_s if proven else 0, -self.failures, self.seen_s


@dataclass(frozen=True, slots=True)
class Loaded:
    """What :meth:`PeerStore.load` found."""

    kept: int
    """Peers that are known now."""

    dropped: int
    """Contacts that did not stand the check: expired, of another network, forged."""

    set_aside: Path | None = None
    """Where an unreadable file was moved, if it was one."""


class PeerStore:
    """Saved peers, in memory and in one file.

    Args:
        path: The file, or ``None`` for a node that remembers nothing.
        network_id: Contacts of other networks are refused.
        pow_bits: Contacts with less work are refused.
        peers_max: How many are remembered; memory may hold an eighth more between two saves.
    """

    def __init__(
        self, path: Path | None, *, network_id: bytes, pow_bits: int, peers_max: int = PEERS_MAX
    ) -> None:
        self.path = path
        self.changed = False
        """Whether :meth:`save` would write something new."""
        self._network_id = network_id
        self._pow_bits = pow_bits
        self._peers_max = peers_max
        self._peers: dict[PeerId, SavedPeer] = {}
        self.loaded = path is None
        """Whether what the file holds is in memory. Until then nothing is written over it."""
        self._writing = threading.Lock()
        self._begun = self._written = 0

    def load(self, at: datetime) -> Loaded:
        """Read the whole file into memory; :meth:`loading` at once. A thousand peers take some 0.3 s.

        Raises:
            FileUnavailableError: as :meth:`loading`.
        """
        loaded = Loaded(0, 0)
        for loaded in self.loading(at):  # noqa: B007 -- the last one counts
            pass
        return loaded

    def loading(self, at: datetime) -> Iterator[Loaded]:
        """Read the file peer by peer, the best first: a node can begin to dial before all are checked.

        A missing file is an empty one; a damaged one is set aside. A contact dated in the future is kept:
        more likely our own clock is wrong, and that must not cost us all the peers we know. Until the end,
        and after an error, :meth:`save` does nothing.

        Yields:
            The tally so far, at least once.

        Raises:
            FileUnavailableError: the file is there and cannot be read, or cannot be set aside.
        """
        kept = dropped = 0
        try:
            entries = self._entries()
        except MalformedError as error:
            aside = self._set_aside(error)
            self.loaded = True
            yield Loaded(0, 0, aside)
            return
        for entry in entries:
            if self._take(entry, at):
                kept += 1
            else:
                dropped += 1
                self.changed = True
            yield Loaded(kept, dropped)
        self.loaded = True
        yield Loaded(kept, dropped)

    def save(self) -> bool:
        """Write the peers down if anything changed. Returns whether it did.

        Raises:
            FileUnavailableError: the disk refused; the old file is untouched, and the next save tries again.
        """
        if (write := self.saving()) is None:
            return False
        write()
        return True

    def saving(self) -> Callable[[], None] | None:
        """What :meth:`save` would do, for another thread; ``None`` if there is nothing to write.

        The function encodes and writes the peers as they are now: some 60 ms for a thousand, and as long as
        the disk takes. Several are done one at a time, and never an older one after a newer one. It raises as
        :meth:`save`, and then something is to be saved again.
        """
        if self.path is None or not (self.loaded or _is_missing(self.path)):
            return None
        self._forget_beyond(self._peers_max)
        if not self.changed:
            return None
        self.changed = False
        self._begun += 1
        return partial(self._write, self.path, self.best(len(self)), self._begun)

    def _write(self, path: Path, peers: list[SavedPeer], number: int) -> None:
        try:
            content = cbor.encode(
                {_VERSION: FORMAT_VERSION, _PEERS: [_encode_entry(saved) for saved in peers]}
            )
            with self._writing:
                if number > self._written:
                    write_atomically(path, content)
                    self._written = number
        except BaseException:
            self.changed = True
            raise
        self.loaded = True  # The file is ours.

    def add(self, contact: Contact, at: datetime, *, pinned: bool = False) -> bool:
        """Remember a contact. Returns whether it told anything new.

        Args:
            contact: what a peer says of itself.
            at: now.
            pinned: our own user names this peer: the contact may be of any age.

        Raises:
            PeerError: it is expired, from the future, of another network, or without its work.
        """
        if pinned:
            contact.verify_lasting(self._network_id, self._pow_bits)
        else:
            contact.verify(at, self._network_id, self._pow_bits, SAVED_AGE_MAX_S)
        known = self._peers.get(contact.peer_id)
        if known is not None and newest(known.contact, contact) == known.contact:
            return False
        seen = int(at.timestamp())
        self._put(replace(known, contact=contact, seen_s=seen) if known else SavedPeer(contact, seen))
        return contact.peer_id in self._peers

    def succeeded(self, peer_id: PeerId, at: datetime, address: Multiaddr | None = None) -> None:
        """Note that a connection came about. Unknown peers are ignored: without a contact there is no return.

        Args:
            peer_id: who.
            at: when.
            address: where we reached it; ``None`` if it dialled us.
        """
        if (known := self._peers.get(peer_id)) is None:
            return
        now = int(at.timestamp())
        self._put(
            replace(
                known,
                seen_s=now,
                succeeded_s=now,
                successes=min(known.successes + 1, _COUNT_MAX),
                failures=0,
                address=address or known.address,
            )
        )

    def failed(self, peer_id: PeerId) -> None:
        """Note that a dial failed. Unknown peers are ignored."""
        if (known := self._peers.get(peer_id)) is not None:
            self._put(replace(known, failures=min(known.failures + 1, _COUNT_MAX)))

    def forget(self, peer_id: PeerId) -> None:
        """Remove a peer; nothing happens if it is unknown."""
        if self._peers.pop(peer_id, None) is not None:
            self.changed = True

    def get(self, peer_id: PeerId) -> SavedPeer | None:
        """Return what is known of a peer."""
        return self._peers.get(peer_id)

    def best(self, count: int, *, exclude: Container[PeerId] = ()) -> list[SavedPeer]:
        """Return at most ``count`` peers, those worth dialling first, without ``exclude``."""
        able = (saved for peer_id, saved in self._peers.items() if peer_id not in exclude)
        return sorted(able, key=lambda saved: saved.usefulness, reverse=True)[:count]

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[SavedPeer]:
        return iter(list(self._peers.values()))

    def _entries(self) -> list[cbor.CborValue]:
        if self.path is None:
            return []
        bytes_max = 64 + self._peers_max * (CONTACT_BYTES_MAX + MULTIADDR_BYTES_MAX + 64)
        try:
            with self.path.open("rb") as file:
                content = file.read(bytes_max + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FileUnavailableError(self.path, "read", error.strerror or str(error)) from error
        return _decode(content, bytes_max, 8 + self._peers_max * _ENTRY_ITEMS)

    def _take(self, entry: cbor.CborValue, at: datetime) -> bool:
        """Check one entry and remember it; what was learned since the start counts more."""
        try:
            saved = _decode_entry(entry)
            saved.contact.verify_lasting(self._network_id, self._pow_bits)
        except PeerError as error:
            logger.warning("a saved peer was dropped: %s", error)
            return False
        if at - saved.contact.issued_at > timedelta(seconds=SAVED_AGE_MAX_S):
            return False
        known = self._peers.get(saved.contact.peer_id)
        if known is not None:
            saved = replace(
                max(known, saved, key=lambda each: each.seen_s), contact=newest(known.contact, saved.contact)
            )
        self._peers[saved.contact.peer_id] = saved
        return True

    def _put(self, saved: SavedPeer) -> None:
        self._peers[saved.contact.peer_id] = saved
        self.changed = True
        # Forgetting sorts all peers, so it waits until an eighth too many are there: a flood stays cheap.
        if len(self._peers) > self._peers_max + self._peers_max // 8:
            self._forget_beyond(self._peers_max)

    def _forget_beyond(self, count: int) -> None:
        if len(self._peers) > count:
            self._peers = {saved.contact.peer_id: saved for saved in self.best(count)}
            self.changed = True

    def _set_aside(self, error: MalformedError) -> Path:
        if self.path is None:  # pragma: no cover -- only a file can be set aside
            raise AssertionError
        aside = self.path.with_name(self.path.name + ".corrupt")
        try:
            self.path.replace(aside)
        except OSError as failure:
            raise FileUnavailableError(aside, "write", failure.strerror or str(failure)) from failure
        logger.warning("the saved peers cannot be read (%s); the file was moved to %s", error, aside)
        return aside


def _is_missing(path: Path) -> bool:
    """Whether there is surely no such file."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _decode(content: bytes, bytes_max: int, items_max: int) -> list[cbor.CborValue]:
    top = cbor.decode(content, bytes_max=bytes_max, items_max=items_max)
    if not isinstance(top, dict) or set(top) != {_VERSION, _PEERS} or top[_VERSION] != FORMAT_VERSION:
        raise MalformedError("this is no list of peers of a version that we know")
    entries = top[_PEERS]
    if not isinstance(entries, list):
        raise MalformedError("the peers are no array")
    return entries


def _encode_entry(saved: SavedPeer) -> list[cbor.CborValue]:
    return [
        saved.contact.encode(),
        saved.seen_s,
        saved.succeeded_s,
        saved.successes,
        saved.failures,
        saved.address.encode() if saved.address else None,
    ]


def _decode_entry(entry: cbor.CborValue) -> SavedPeer:
    match entry:
        case [
            bytes(contact),
            int(seen),
            int(succeeded),
            int(successes),
            int(failures),
            bytes() | None as address,
        ] if (
            not any(isinstance(number, bool) for number in (seen, succeeded, successes, failures))
            and 0 <= seen <= _SECONDS_MAX
            and 0 <= succeeded <= _SECONDS_MAX
            and 0 <= successes <= _COUNT_MAX
            and 0 <= failures <= _COUNT_MAX
        ):
            where = Multiaddr.decode(address) if address is not None else None
            return SavedPeer(Contact.decode(contact), seen, succeeded, successes, failures, where)
    raise MalformedError("this is no entry of a peer")
