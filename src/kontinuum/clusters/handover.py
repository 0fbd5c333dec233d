r"""What a parent gives a child, as one sealed file: its secrets, the chain that names it, whom to trust.

A handover makes another data directory a node: it is all that machine needs, and whoever opens it *is* that
node. So it is sealed: by a passphrase, to a key of the machine that it is for, or, if its owner says so, not.

::

    "kontinuum handover\n" | version (1) | sealed or open (1) | content
    content: the CBOR map, or an age file with it

Source:   our own format, docs/protocols/cluster-files.md; C2SP age.md.
Bounds:   HANDOVER_BYTES_MAX, HANDOVER_CONTACTS_MAX, the bounds of chains and of the list of trust.
Trust:    any bytes give a Handover or a HandoverError. Its chain is verified, and its secrets must be those
          that the chain names.
Secrets:  what is sealed is opened into types that do not show it; no error holds content.
Not pure: :func:`take_over` changes the node's files. All else does no I/O; sealing takes an Entropy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

from kontinuum.base.errors import KontinuumError, MisuseError, PeerError
from kontinuum.clusters.errors import HandoverError, TruncatedHandoverError
from kontinuum.clusters.trust import TrustEntry, decode_entries, encode_entries
from kontinuum.identity import Contact, Secret
from kontinuum.identity.errors import PassphraseNeededError, WrongPassphraseError
from kontinuum.keys.bundles import bundles, decode_bundle, load_chain
from kontinuum.keys.fields import Fields
from kontinuum.keys.keystore import ByPassphrase, Unprotected
from kontinuum.keys.room import without_the_dead
from kontinuum.keys.secret_forms import (
    decode_branch_secret,
    decode_epoch_secret,
    encode_branch_secret,
    encode_epoch_secret,
)
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import CONTACT_TEXT_CHARS_MAX, NETWORK_NAME_BYTES_MAX, POW_DIFFICULTY_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kontinuum.base.entropy import Entropy
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.store import ClusterStore
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.keys.envelope import AgeKey, AgeRecipient
    from kontinuum.keys.statements import Statement

HANDOVER_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of a file. Our choice: a chain that is full has some 13 MB. Longer: HandoverError before decoding."""

HANDOVER_CONTACTS_MAX = 16
"""Contacts that a child meets first. Our choice. More: HandoverError; of ours, the first ones."""

HANDOVER_FORMER_MAX = 32
"""Earlier epochs in a handover. Our choice: as many as a node opens at its start. More: HandoverError; of
ours, the newest ones.
"""

HANDOVER_VERSION = 1
"""Version of the format. A newer one is refused by name."""

MAGIC = b"kontinuum handover\n"
"""How every version begins; a person who looks into the file can read it."""

_OPEN, _SEALED = range(2)
_GENESIS, _BUNDLES, _BRANCH, _EPOCH, _TRUST, _CONTACTS, _SUCCESSION, _FORMER, _NETWORK = range(9)
"""Keys of the map."""

_NETWORK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)

_HEAD_BYTES = len(MAGIC) + 2
_ITEMS_MAX = 4096

Sealing: TypeAlias = "ByPassphrase | AgeRecipient | Unprotected"
"""How a handover is sealed; there is no default."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What a child begins with.

    Raises:
        HandoverError: The chain does not name these secrets as one node's.
    """

    chain: Chain
    """Its cluster's."""

    branch: BranchSecret
    """Its branch: it keeps it apart from what it runs with."""

    epoch: EpochSecret
    """What it runs with."""

    trust: tuple[TrustEntry, ...] = ()
    """Whom its cluster trusts."""

    contacts: tuple[str, ...] = field(default=())
    """Whom to connect to first: contacts in their text form. They may be old."""

    succession: tuple[Statement, ...] = ()
    """If the cluster has another root now: the old root's last word, and what it builds on."""

    former: tuple[EpochSecret, ...] = ()
    """Earlier epochs of the same place, newest first: what the node sealed with them opens again."""

    network: tuple[str, int] | None = None
    """The network that the node is in: its name, and the bits of work that it demands; None: not said."""

    def __post_init__(self) -> None:
        registers = self.chain.registers
        born = any(birth.key == self.branch.public for birth in registers.births_at(self.branch.path))
        key = self.epoch.signing().peer_id
        declared = [use for use in registers.uses(key) if use.path == self.branch.path]
        if not born or not declared or self.epoch.path != self.branch.path:
            raise HandoverError("its secrets are not those of one node that its chain names")
        if any(epoch.path.place != self.branch.path.place for epoch in self.former):
            raise HandoverError("earlier secrets in it are another node's")

    def encode(self) -> Secret:
        """The content, open."""
        fields: dict[cbor.CborKey, cbor.CborValue] = {
            _GENESIS: self.chain.genesis.encode(),
            _BUNDLES: list(bundles(self._given())),
            _BRANCH: encode_branch_secret(self.branch),
            _EPOCH: encode_epoch_secret(self.epoch),
            _TRUST: list(encode_entries(self.trust)),
            _CONTACTS: list(self.contacts[:HANDOVER_CONTACTS_MAX]),
            _SUCCESSION: list(bundles(self.succession)),
            _FORMER: [encode_epoch_secret(epoch) for epoch in self.former[:HANDOVER_FORMER_MAX]],
        }
        if self.network is not None:
            fields[_NETWORK] = list(self.network)
        return Secret(cbor.encode(fields))

    def _given(self) -> Iterable[Statement]:
        """The chain; of one that a thief filled, what counts: he must not keep a parent from giving keys."""
        if sum(len(statement.encode()) for statement in self.chain) <= HANDOVER_BYTES_MAX // 2:
            return self.chain
        statements = {statement.id: statement for statement in self.chain}
        return without_the_dead(statements, self.chain.registers, self.chain.genesis).values()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the content.

        Raises:
            HandoverError: It is none.
        """
        try:
            fields = Fields(
                cbor.decode(data, bytes_max=HANDOVER_BYTES_MAX, items_max=_ITEMS_MAX), "a handover"
            )
            fields.only(*range(_NETWORK + 1))
            genesis, branch, epoch = (_octets(fields.value(key)) for key in (_GENESIS, _BRANCH, _EPOCH))
            chain = load_chain(genesis, [_octets(item) for item in _items(fields, _BUNDLES)])
            entries = [entry for item in _items(fields, _TRUST) for entry in decode_entries(_octets(item))]
            contacts = [_contact(item) for item in _items(fields, _CONTACTS)]
            said = [each for item in _items(fields, _SUCCESSION) for each in decode_bundle(_octets(item))]
            former = [decode_epoch_secret(_octets(item)) for item in _items(fields, _FORMER)]
            return cls(
                chain,
                decode_branch_secret(branch),
                decode_epoch_secret(epoch),
                tuple(entries),
                tuple(contacts),
                tuple(said),
                tuple(former),
                _network(fields.value(_NETWORK)) if _NETWORK in fields else None,
            )
        except HandoverError:
            raise
        except (
            KontinuumError
        ) as error:  # A chain that lacks statements is unavailable elsewhere; here, damage.
            raise HandoverError(
                f"this handover cannot be used ({error}); let the parent make another"
            ) from None


def seal_handover(handover: Handover, sealing: Sealing, *, entropy: Entropy) -> bytes:
    """The content of a handover file.

    Args:
        handover: What is given.
        sealing: To whom: who knows a passphrase, a key (``age1...``), or everybody who reads the file.
        entropy: For salt and keys.

    Raises:
        MisuseError: An empty or too long passphrase, or a chain that is too large.
    """
    content: bytes = handover.encode()
    if len(content) > HANDOVER_BYTES_MAX - 4096:
        raise MisuseError("the chain is too large for a handover")
    if isinstance(sealing, Unprotected):
        return _head(_OPEN) + content
    from kontinuum.keys.argon2_passphrase import Argon2Passphrase
    from kontinuum.keys.envelope import seal_age

    if isinstance(sealing, ByPassphrase):
        sealed = seal_age([Argon2Passphrase(sealing.passphrase, sealing.cost)], [content], entropy=entropy)
    else:
        sealed = seal_age([sealing], [content], entropy=entropy)
    return _head(_SEALED) + b"".join(sealed)


def needs_key(data: bytes) -> bool:
    """Whether a handover file is sealed.

    Raises:
        HandoverError: It is none, cut off, or of a newer version; the message says what to do.
    """
    return _content(data)[0]


def open_handover(data: bytes, *, passphrase: str | None = None, keys: Sequence[AgeKey] = ()) -> Handover:
    """Open a handover file.

    Args:
        data: Its content.
        passphrase: What it was sealed by, if it was.
        keys: Keys to which it may be sealed.

    Raises:
        HandoverError: It is none, damaged, cut off, or of a newer version; the message says what to do.
        PassphraseNeededError: It is sealed, and none of ``keys`` opens it.
        WrongPassphraseError: The passphrase does not open it.
    """
    sealed, content = _content(data)
    return Handover.decode(_unsealed(content, passphrase, keys) if sealed else content)


def _unsealed(content: bytes, passphrase: str | None, keys: Sequence[AgeKey]) -> Secret:
    from kontinuum.keys.argon2_passphrase import Argon2Passphrase
    from kontinuum.keys.envelope import EnvelopeError, NoMatchingKeyError, open_age
    from kontinuum.keys.envelope.errors import TruncatedHeaderError, TruncatedPayloadError

    opening = list(keys) if passphrase is None else [*keys, Argon2Passphrase(passphrase)]
    try:
        if not opening:
            raise PassphraseNeededError(
                "the handover is sealed; give its passphrase, or the key it is sealed to"
            )
        return Secret(b"".join(open_age(opening, [content])))
    except NoMatchingKeyError:
        if passphrase is None:
            raise PassphraseNeededError(
                "the handover is sealed to another key, or by a passphrase; give that one"
            ) from None
        raise WrongPassphraseError("the passphrase does not open this handover; try again") from None
    except (TruncatedHeaderError, TruncatedPayloadError):
        raise TruncatedHandoverError("the handover is cut off; copy it again") from None
    except EnvelopeError as error:
        raise HandoverError(f"the handover is damaged ({error}); copy it again") from None


def _content(data: bytes) -> tuple[bool, bytes]:
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data) and data:
            raise TruncatedHandoverError("the handover is cut off; copy it again")
        raise HandoverError("this is no handover; make one with: kontinuum cluster add-node")
    if len(data) > HANDOVER_BYTES_MAX:
        raise HandoverError(f"a handover has at most {HANDOVER_BYTES_MAX} bytes")
    if len(data) <= _HEAD_BYTES:
        raise TruncatedHandoverError("the handover is cut off; copy it again")
    version, form = data[len(MAGIC) : _HEAD_BYTES]
    if version > HANDOVER_VERSION or form not in (_OPEN, _SEALED):
        raise HandoverError("a handover of a newer version; use a newer Kontinuum")
    return form == _SEALED, data[_HEAD_BYTES:]


def _head(form: int) -> bytes:
    return MAGIC + bytes([HANDOVER_VERSION, form])


def _octets(value: cbor.CborValue) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError("a part of a handover is no byte string")
    return value


def _items(fields: Fields, key: int) -> list[cbor.CborValue]:
    value = fields.value(key)
    if not isinstance(value, list):
        raise MalformedError(f"field {key} of a handover is a list")
    if key == _CONTACTS and len(value) > HANDOVER_CONTACTS_MAX:
        raise MalformedError(f"a handover has at most {HANDOVER_CONTACTS_MAX} contacts")
    if key == _FORMER and len(value) > HANDOVER_FORMER_MAX:
        raise MalformedError(f"a handover has at most {HANDOVER_FORMER_MAX} earlier epochs")
    return value


def _network(value: cbor.CborValue) -> tuple[str, int]:
    match value:
        case [str() as name, int() as bits] if (
            len(name) <= NETWORK_NAME_BYTES_MAX
            and _NETWORK_NAME.fullmatch(name)
            and 0 <= bits <= POW_DIFFICULTY_MAX
        ):
            return name, bits
    raise MalformedError("the network of a handover is a name and a number of bits")


def _contact(value: cbor.CborValue) -> str:
    if not isinstance(value, str) or len(value) > CONTACT_TEXT_CHARS_MAX:
        raise MalformedError("a contact of a handover is a text")
    try:
        Contact.from_text(value)
    except PeerError:
        raise MalformedError("a contact of a handover cannot be read") from None
    return value


def take_over(
    store: ClusterStore,
    book: Book,
    epochs: Sequence[EpochSecret],
    data: bytes,
    ask: Callable[[], str] | None = None,
    *,
    entropy: Entropy | None = None,
) -> Handover:
    """Take what a parent sealed to this node: the keys of its place under the root that follows ours.

    Args:
        store: The node's files; they are changed last, all or nothing.
        book: What it knows.
        epochs: Its secrets.
        data: What came.
        ask: Gives the passphrase of the node's keys; it protects the new ones, if they have one.
        entropy: For salts.

    Raises:
        HandoverError: It is none, or not for this node's place.
        WrongClusterError, ForkedSuccessionError: Our root did not leave for that one.
        PassphraseNeededError: It is sealed to somebody else.
        FileUnavailableError: The disk is full or read-only. Nothing happened.
    """
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.clusters.new_root import follow_root
    from kontinuum.clusters.store import Keys
    from kontinuum.clusters.trust import TrustList
    from kontinuum.keys.envelope import X25519Key
    from kontinuum.keys.keystore import load_store

    if book.own is None or book.path is None:
        raise HandoverError("this node belongs to no cluster that could have another root")
    keys = [X25519Key(epoch.encryption().expose()) for epoch in epochs]
    handover = open_handover(data, keys=keys)
    if handover.branch.path.place != book.path.place:
        raise HandoverError(f"a handover for {handover.branch.path.place}, not for {book.path.place}")
    added = follow_root(book.own, handover.succession, handover.chain)
    protected = load_store(store.keys.epoch_file(epochs[0].epoch)).protected
    protection = ByPassphrase(ask()) if protected and ask is not None else Unprotected()
    store.append(book.own.cluster, added)
    store.begin(
        handover.chain,
        handover.branch.path,
        Keys(handover.epoch, protection, handover.branch, protection, handover.former),
        TrustList(handover.trust),
        entropy=entropy or SystemEntropy(),
    )
    return handover
