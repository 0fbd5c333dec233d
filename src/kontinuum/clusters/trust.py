"""Which other clusters ours trusts: signed entries, which all of our nodes collect and read alike.

Each entry says, in the name of one node, that a cluster is trusted from now on, or is not any more. A node
signs with the key that it has on the wire. What counts about a cluster is the entry with the highest number,
by an author whose key was never taken out of use: so whatever a stolen node said falls with its revocation,
and what the others said before counts again.

The list only grows, but for an author's older word about the same cluster; whatever the order in which
entries come in, the list is the same.

Source:   our own format, docs/protocols/cluster-files.md.
Bounds:   TRUSTED_MAX entries of one author, TRUST_ENTRIES_MAX in all, CLUSTER_TRUST_ENTRY_BYTES_MAX bytes of
          each.
Trust:    bytes are hostile. An entry that exists bears its author's signature; whether he may speak for our
          cluster, its chain says (``kontinuum.clusters.book``).
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from kontinuum.base.errors import MisuseError
from kontinuum.clusters.names import CLUSTER_NAME_CHARS_MAX, checked_name, is_cluster_name
from kontinuum.identity import PeerId, verify
from kontinuum.keys.fields import Fields, unix_seconds
from kontinuum.keys.genesis import GENESIS_BYTES_MAX, ClusterId, Genesis, cluster_id
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import (
    CLUSTER_TRUST_ENTRIES_MAX,
    CLUSTER_TRUST_ENTRY_BYTES_MAX,
    PEER_ID_BYTES,
    SIGNATURE_BYTES,
    STATEMENT_HASH_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kontinuum.identity import KeyPair

TRUST_VERSION = 1
"""Version of an entry's format. Another one is refused by name."""

TRUSTED_MAX = 256
"""Clusters that a cluster trusts, and entries of one author. Our choice: each costs a chain in memory. More:
of our own user TooManyTrustedError; of another author they are left out."""

TRUST_ENTRIES_MAX = 4096
"""Entries in all, whoever wrote them. Our choice: 2 MB. More: those of authors out of use make way, then new
ones are left out."""

TRUST_SEQUENCE_MAX = 2**63 - 1
"""Largest number of an entry. Larger: refused. A node that was stolen may use it up: revoke the node."""

_PURPOSE = "cluster-trust"

_VERSION, _OWN, _GENESIS, _NAME, _TRUSTED, _HOW, _SEQUENCE, _ISSUED_AT, _AUTHOR, _SIGNATURE = range(10)
"""Keys of the map, in the order of ``cluster-files.cddl``."""


class How(StrEnum):
    """How a cluster came to be trusted, for people."""

    MEET = "meet"
    """Two of us met its owner: ``kontinuum meet``."""

    GIVEN = "given"
    """Its file came some other way that our user trusted."""

    TRANSITION = "transition"
    """The root of a trusted cluster named it as its successor, and our user followed."""


_HOWS = tuple(How)
"""By the number in an entry. Append only."""


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One node's word about one cluster. Made by :meth:`issue` and :meth:`decode`.

    Raises:
        BadSignatureError: The author did not sign it.
    """

    own: ClusterId
    """In which cluster it is said."""

    genesis: Genesis
    """The beginning of the cluster that it is about."""

    name: str
    """What we call it, as ``names.checked_name`` allows."""

    trusted: bool
    """False: not any more."""

    how: int
    """Which of :class:`How`, or a number that a newer program knows."""

    sequence: int
    """The highest one counts."""

    issued_at: datetime
    """When, aware UTC, whole seconds: for people."""

    author: PeerId
    """The key of the node that says so."""

    signature: bytes
    """64 bytes, by the author, over everything above."""

    _encoded: bytes = field(init=False, repr=False, compare=False)
    """Kept: a whole list is encoded at each change of it, which members cause."""

    def __post_init__(self) -> None:
        verify(self.author, _PURPOSE, cbor.encode(self._fields()), self.signature)
        encoded = cbor.encode({**self._fields(), _SIGNATURE: self.signature})
        object.__setattr__(self, "_encoded", encoded)

    @classmethod
    def issue(
        cls,
        author: KeyPair,
        own: ClusterId,
        genesis: Genesis,
        *,
        name: str,
        trusted: bool,
        how: How,
        sequence: int,
        at: datetime,
    ) -> Self:
        """Say something about a cluster.

        Raises:
            BadNameError: The name cannot be one.
            MisuseError: The cluster is ``own``, the number is too large or the time has no zone.
        """
        checked_name(name)
        if genesis.cluster == own:
            raise MisuseError("a cluster trusts itself without being told")
        if not 0 <= sequence <= TRUST_SEQUENCE_MAX or at.tzinfo is None:
            raise MisuseError("an entry of trust has a number within bounds and an aware time")
        at = at.astimezone(UTC).replace(microsecond=0)
        fields = _fields(own, genesis, name, trusted, _HOWS.index(how), sequence, at, author.peer_id)
        signature = author.sign(_PURPOSE, cbor.encode(fields))
        return cls(own, genesis, name, trusted, _HOWS.index(how), sequence, at, author.peer_id, signature)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an entry from bytes, the whole of them, and check both signatures.

        Raises:
            PeerError: It is none.
        """
        fields = Fields(cbor.decode(data, bytes_max=CLUSTER_TRUST_ENTRY_BYTES_MAX), "an entry of trust")
        version = fields.integer(_VERSION, 2**32)
        if version != TRUST_VERSION:
            raise WrongVersionError(f"an entry of trust of version {version}; we know {TRUST_VERSION}")
        fields.only(*range(_SIGNATURE + 1))
        genesis, trusted = fields.value(_GENESIS), fields.value(_TRUSTED)
        if (
            not isinstance(genesis, bytes)
            or len(genesis) > GENESIS_BYTES_MAX
            or not isinstance(trusted, bool)
        ):
            raise MalformedError("an entry of trust has a genesis, and says yes or no")
        name = fields.text(_NAME, CLUSTER_NAME_CHARS_MAX)
        if not is_cluster_name(name):
            raise MalformedError("an entry of trust names its cluster by a-z, 0-9 and -")
        entry = cls(
            own=cluster_id(fields.octets(_OWN, STATEMENT_HASH_BYTES)),
            genesis=Genesis.decode(genesis),
            name=name,
            trusted=trusted,
            how=fields.integer(_HOW, 255),
            sequence=fields.integer(_SEQUENCE, TRUST_SEQUENCE_MAX),
            issued_at=fields.moment(_ISSUED_AT),
            author=PeerId(fields.octets(_AUTHOR, PEER_ID_BYTES)),
            signature=fields.octets(_SIGNATURE, SIGNATURE_BYTES),
        )
        if entry.cluster == entry.own:
            raise MalformedError("a cluster has no entry about itself")
        return entry

    def encode(self) -> bytes:
        """The bytes that :meth:`decode` reads."""
        return self._encoded

    @property
    def cluster(self) -> ClusterId:
        """Which cluster it is about."""
        return self.genesis.cluster

    def _fields(self) -> dict[cbor.CborKey, cbor.CborValue]:
        return _fields(
            self.own,
            self.genesis,
            self.name,
            self.trusted,
            self.how,
            self.sequence,
            self.issued_at,
            self.author,
        )


def how_text(how: int) -> str:
    """An entry's ``how`` in a word."""
    return _HOWS[how].value if how < len(_HOWS) else "unknown"


class TrustList:
    """The entries of one cluster's nodes: of each author the latest about each cluster.

    Iterating yields them in an order that depends on nothing but the entries.

    Args:
        entries: Those known before.
    """

    def __init__(self, entries: Iterable[TrustEntry] = ()) -> None:
        self._entries: dict[tuple[ClusterId, PeerId], TrustEntry] = {}
        self._by_author: dict[PeerId, int] = {}
        self.version = 0
        """Grows with every change."""
        for entry in entries:
            self.add(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[TrustEntry]:
        return iter([self._entries[key] for key in sorted(self._entries)])

    def __contains__(self, entry: TrustEntry) -> bool:
        return self._entries.get((entry.cluster, entry.author)) == entry

    def add(self, entry: TrustEntry, counts: Callable[[PeerId], bool] = lambda _author: True) -> bool:
        """Take an entry in, unless its author has said something later about the same cluster.

        Args:
            entry: It.
            counts: Whether an author's word counts; asked where room is short.

        Returns:
            Whether it is new. Beyond the bounds nothing is.
        """
        key = (entry.cluster, entry.author)
        before = self._entries.get(key)
        if before is not None:
            if _rank(entry) <= _rank(before):
                return False
        elif self._by_author.get(entry.author, 0) >= TRUSTED_MAX:
            return False
        elif len(self._entries) >= TRUST_ENTRIES_MAX:
            self._drop_others(counts)
            if len(self._entries) >= TRUST_ENTRIES_MAX:
                return False
        if before is None:
            self._by_author[entry.author] = self._by_author.get(entry.author, 0) + 1
        self._entries[key] = entry
        self.version += 1
        return True

    def in_effect(self, counts: Callable[[PeerId], bool]) -> dict[ClusterId, TrustEntry]:
        """What counts about each cluster, by its id, in order: the yes and the no.

        Args:
            counts: Whether an author's word counts.
        """
        decisive: dict[ClusterId, TrustEntry] = {}
        heard = {author: counts(author) for author in self._by_author}
        for entry in self:
            before = decisive.get(entry.cluster)
            if heard[entry.author] and (before is None or _rank(before) < _rank(entry)):
                decisive[entry.cluster] = entry
        return decisive

    def next_sequence(
        self, cluster: ClusterId, counts: Callable[[PeerId], bool] = lambda _author: True
    ) -> int:
        """A number above all that counts of what was said about a cluster.

        Args:
            cluster: Which.
            counts: Whether an author's word counts: a thief's numbers fall with his key.

        Raises:
            MisuseError: There is none left.
        """
        said = (
            entry.sequence
            for (about, author), entry in self._entries.items()
            if about == cluster and counts(author)
        )
        following = max(said, default=0) + 1
        if following > TRUST_SEQUENCE_MAX:
            raise MisuseError("some node used up all numbers of entries about this cluster; revoke that node")
        return following

    def _drop_others(self, counts: Callable[[PeerId], bool]) -> None:
        """Forget what authors out of use said: it has no effect, and never will again."""
        dead = [key for key in self._entries if not counts(key[1])]
        for key in dead:
            del self._entries[key]
            self._by_author[key[1]] -= 1
            self.version += 1


def encode_entries(entries: Iterable[TrustEntry]) -> list[bytes]:
    """The bytes of entries, in lists as long as one message takes: each item is one such list."""
    encoded = [entry.encode() for entry in entries]
    size = CLUSTER_TRUST_ENTRIES_MAX
    return [cbor.encode(encoded[start : start + size]) for start in range(0, len(encoded), size)]


def decode_entries(data: bytes) -> list[TrustEntry]:
    """The entries of one such list.

    Raises:
        PeerError: It is none.
    """
    items_max = CLUSTER_TRUST_ENTRIES_MAX
    bytes_max = items_max * (CLUSTER_TRUST_ENTRY_BYTES_MAX + 3) + 3
    items = cbor.decode(data, bytes_max=bytes_max, items_max=items_max + 1)
    if not isinstance(items, list):
        raise MalformedError("entries of trust come as a list")
    entries: list[TrustEntry] = []
    for item in items:
        if not isinstance(item, bytes):
            raise MalformedError("an entry of trust is a byte string")
        entries.append(TrustEntry.decode(item))
    return entries


def _rank(entry: TrustEntry) -> tuple[int, bool, bytes, bytes]:
    """Which of several counts: the latest; then a no, then the lesser author's; then whatever is fixed."""
    return (entry.sequence, not entry.trusted, bytes(255 - octet for octet in entry.author), entry.signature)


def _fields(  # noqa: PLR0917 -- the fields of the format
    own: ClusterId,
    genesis: Genesis,
    name: str,
    trusted: bool,
    how: int,
    sequence: int,
    at: datetime,
    author: PeerId,
) -> dict[cbor.CborKey, cbor.CborValue]:
    return {
        _VERSION: TRUST_VERSION,
        _OWN: own,
        _GENESIS: genesis.encode(),
        _NAME: name,
        _TRUSTED: trusted,
        _HOW: how,
        _SEQUENCE: sequence,
        _ISSUED_AT: unix_seconds(at),
        _AUTHOR: author,
    }
