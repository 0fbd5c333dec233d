"""A contact: who a peer is, where it can be reached, and the work that it did to join; signed by itself.

The bytes are a deterministic CBOR map (``docs/protocols/contact.md`` and ``.cddl``). The signature covers
every field but itself, under the purpose ``contact``.

Source:   our own format; the freshness rule and the order of contacts are our choices (ADR 0021).
Bounds:   CONTACT_BYTES_MAX, CONTACT_ADDRESSES_MAX, CONTACT_CAPABILITIES_MAX, CONTACT_EXTENSIONS_MAX and the
          other CONTACT_* limits of ``kontinuum.wire.limits``.
Trust:    input is hostile. A Contact that exists obeys every bound and bears its owner's signature; whether
          it is fresh, of our network and worth its work, :meth:`Contact.verify` says.
Pure:     no I/O, clock or randomness; the time of day is an argument.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from kontinuum.base.errors import MisuseError
from kontinuum.identity.errors import (
    ContactExpiredError,
    ContactFromFutureError,
)
from kontinuum.identity.keys import KeyPair, verify
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.identity.peer_id import PeerId
from kontinuum.identity.pow import ProofOfWork
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import (
    CAPABILITY_CHARS_MAX,
    CONTACT_ADDRESSES_MAX,
    CONTACT_BYTES_MAX,
    CONTACT_CAPABILITIES_MAX,
    CONTACT_EXTENSION_BYTES_MAX,
    CONTACT_EXTENSION_KEY_MAX,
    CONTACT_EXTENSION_KEY_MIN,
    CONTACT_EXTENSIONS_MAX,
    CONTACT_ISSUED_AT_MAX,
    CONTACT_SEQUENCE_MAX,
    CONTACT_TEXT_CHARS_MAX,
    NETWORK_ID_BYTES,
    POW_NONCE_MAX,
    SIGNATURE_BYTES,
)

CONTACT_VERSION = 1
"""Version of the format. Another one is refused by name; what old nodes may ignore comes as extensions."""

CONTACT_AGE_MAX_S = 24 * 3600.0
"""Seconds after which a contact is no longer fresh. Our choice (ADR 0021). Older: ContactExpiredError."""

CONTACT_AHEAD_MAX_S = 120.0
"""Seconds that a contact may be ahead of our clock. Our choice (ADR 0021). More: ContactFromFutureError."""

TEXT_PREFIX = "kontinuum:"
"""What a contact's text form begins with."""

_PURPOSE = "contact"

_VERSION, _PEER_ID, _NETWORK_ID, _SEQUENCE, _ISSUED_AT = range(5)
_ADDRESSES, _CAPABILITIES, _NONCE, _SIGNATURE = range(5, 9)
"""Keys of the map, in the order of ``contact.cddl``."""

_CAPABILITY = re.compile(rf"[a-z0-9][a-z0-9./_-]{{0,{CAPABILITY_CHARS_MAX - 1}}}", re.ASCII)

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer's own word about itself. Made by :meth:`issue`, :meth:`decode` and :meth:`from_text`.

    However it is made, construction checks every bound and the signature, so a contact in hand is authentic.

    Raises:
        MalformedError: A field is out of its bounds.
        BadSignatureError: The peer did not sign these fields.
    """

    peer_id: PeerId
    """Who."""

    network_id: bytes
    """Which network, 32 bytes."""

    sequence: int
    """Higher replaces lower. 0 to CONTACT_SEQUENCE_MAX."""

    issued_at: datetime
    """When, aware UTC, whole seconds."""

    addresses: tuple[Multiaddr, ...]
    """Where, the preferred one first; none twice; may be empty (a peer that only dials)."""

    capabilities: tuple[str, ...]
    """What the peer offers: tokens of ``a-z 0-9 . / _ -``, sorted, none twice. Unknown ones mean nothing."""

    pow_nonce: int
    """The proof of work of this identity in this network."""

    extensions: tuple[tuple[int, bytes], ...]
    """Fields of newer versions, key and content, kept so that the signature still fits. Sorted by key."""

    signature: bytes
    """64 bytes over everything above."""

    def __post_init__(self) -> None:
        if not isinstance(self.peer_id, PeerId):
            raise MalformedError("a contact's identity was not checked")
        _check(self)
        if not isinstance(self.signature, bytes) or len(self.signature) != SIGNATURE_BYTES:
            raise MalformedError(f"a contact's signature has {SIGNATURE_BYTES} bytes")
        verify(self.peer_id, _PURPOSE, cbor.encode(_fields(self)), self.signature)

    @classmethod
    def issue(
        cls,
        key_pair: KeyPair,
        addresses: Sequence[Multiaddr],
        *,
        sequence: int,
        issued_at: datetime,
        proof: ProofOfWork,
        capabilities: Sequence[str] = (),
    ) -> Self:
        """Sign a contact of our own.

        Args:
            key_pair: Who we are.
            addresses: Where we can be reached, the preferred one first; none twice.
            sequence: Higher than in every contact of ours before.
            issued_at: Now, aware; fractions of a second are cut off.
            proof: Work of this identity; it also says for which network the contact is.
            capabilities: What we offer, in any order.

        Raises:
            MisuseError: A field is out of its bounds, or the proof is somebody else's.
        """
        if proof.peer_id != key_pair.peer_id:
            raise MisuseError("the proof of work belongs to another identity")
        if issued_at.tzinfo is None:
            raise MisuseError("issued_at needs a time zone")
        draft = _Draft(
            peer_id=key_pair.peer_id,
            network_id=proof.network_id,
            sequence=sequence,
            issued_at=issued_at.astimezone(UTC).replace(microsecond=0),
            addresses=tuple(addresses),
            capabilities=tuple(sorted(capabilities)),
            pow_nonce=proof.nonce,
            extensions=(),
        )
        try:
            _check(draft)
        except MalformedError as error:
            raise MisuseError(str(error)) from None
        signature = key_pair.sign(_PURPOSE, cbor.encode(_fields(draft)))
        return cls(**{name: getattr(draft, name) for name in _Draft.__slots__}, signature=signature)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a contact from bytes, the whole of them, and check its signature.

        Raises:
            MalformedError: It is no contact, or breaks a bound.
            WrongVersionError: It is a contact of a version that we do not know.
            BadIdentityError: Its identity is no usable public key.
            BadSignatureError: It was not signed by this identity, or changed since.
        """
        fields = cbor.decode(data, bytes_max=CONTACT_BYTES_MAX)
        if not isinstance(fields, dict):
            raise MalformedError("a contact is a CBOR map")
        version = _integer(fields, _VERSION, CONTACT_ISSUED_AT_MAX)
        if version != CONTACT_VERSION:
            raise WrongVersionError(f"a contact of version {version}; we know version {CONTACT_VERSION}")
        issued_at = _integer(fields, _ISSUED_AT, CONTACT_ISSUED_AT_MAX)
        return cls(
            peer_id=PeerId(_octets(fields, _PEER_ID)),
            network_id=_octets(fields, _NETWORK_ID),
            sequence=_integer(fields, _SEQUENCE, CONTACT_SEQUENCE_MAX),
            issued_at=datetime.fromtimestamp(issued_at, UTC),
            addresses=tuple(
                Multiaddr.decode(_is_octets(address, "an address"))
                for address in _array(fields, _ADDRESSES, CONTACT_ADDRESSES_MAX)
            ),
            capabilities=tuple(
                _is_text(capability, "a capability")
                for capability in _array(fields, _CAPABILITIES, CONTACT_CAPABILITIES_MAX)
            ),
            pow_nonce=_integer(fields, _NONCE, POW_NONCE_MAX),
            extensions=_extensions(fields),
            signature=_octets(fields, _SIGNATURE),
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the text form; white space around it is ignored.

        Raises:
            PeerError: It is no text form, or what it holds is no contact (see :meth:`decode`).
        """
        if len(text) > CONTACT_TEXT_CHARS_MAX:
            raise MalformedError(f"{len(text)} characters are too many for a contact")
        text = text.strip()
        body = text.removeprefix(TEXT_PREFIX)
        if body == text or not _BASE64URL.fullmatch(body):
            raise MalformedError(f"{text[:20]!r} is no contact: one is a line that begins {TEXT_PREFIX}")
        try:
            data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        except binascii.Error:
            raise MalformedError("the contact's text is cut off") from None
        if _to_text(data) != text:  # Unused bits of the last character may be set: a second spelling.
            raise MalformedError("the contact's text is not in its only spelling")
        return cls.decode(data)

    def encode(self) -> bytes:
        """The bytes of the contact, signature included; :meth:`decode` reads them."""
        return cbor.encode({**_fields(self), _SIGNATURE: self.signature})

    def to_text(self) -> str:
        """One line without blanks that people can send to each other."""
        return _to_text(self.encode())

    @property
    def proof(self) -> ProofOfWork:
        """The work that the contact claims."""
        return ProofOfWork(self.network_id, self.peer_id, self.pow_nonce)

    def verify(
        self, at: datetime, network: bytes, difficulty: int, age_max_s: float = CONTACT_AGE_MAX_S
    ) -> Self:
        """Check that the contact is fresh at ``at``, of ``network`` (its id) and worth ``difficulty`` bits.

        Returns:
            The contact itself.

        Raises:
            WrongNetworkError: It is of another network.
            ContactFromFutureError: It is dated more than CONTACT_AHEAD_MAX_S after ``at``.
            ContactExpiredError: It is more than ``age_max_s`` older than ``at``.
            WeakProofError: It has less than ``difficulty`` bits of work.
        """
        self.verify_lasting(network, difficulty)
        age_s = (at - self.issued_at) / timedelta(seconds=1)
        if age_s < -CONTACT_AHEAD_MAX_S:
            raise ContactFromFutureError(self.issued_at, -age_s)
        if age_s > age_max_s:
            raise ContactExpiredError(self.issued_at, age_max_s)
        return self

    def verify_lasting(self, network: bytes, difficulty: int) -> Self:
        """The part of :meth:`verify` that does not change with time: network and work."""
        self.proof.verify(network, difficulty)
        return self

    def __str__(self) -> str:
        return f"contact {self.sequence} of {self.peer_id.short} ({len(self.addresses)} addresses)"


def newest(first: Contact, second: Contact) -> Contact:
    """Which of two contacts of one peer counts: a total order, so that all nodes agree whatever came first.

    The higher sequence; then the later issue time; then the greater signature, as bytes.

    Raises:
        MisuseError: They are of different peers or networks, so neither replaces the other.
    """
    if first.peer_id != second.peer_id or first.network_id != second.network_id:
        raise MisuseError("only contacts of one peer in one network replace each other")
    return max(first, second, key=lambda contact: (contact.sequence, contact.issued_at, contact.signature))


@dataclass(slots=True)
class _Draft:
    """The fields of a contact before they are signed; their meaning is Contact's."""

    peer_id: PeerId
    network_id: bytes
    sequence: int
    issued_at: datetime
    addresses: tuple[Multiaddr, ...]
    capabilities: tuple[str, ...]
    pow_nonce: int
    extensions: tuple[tuple[int, bytes], ...]


def _check(contact: Contact | _Draft) -> None:
    """Raise MalformedError unless every field but the signature is within its bounds."""
    if len(contact.network_id) != NETWORK_ID_BYTES:
        raise MalformedError(f"a network id has {NETWORK_ID_BYTES} bytes")
    if not 0 <= contact.sequence <= CONTACT_SEQUENCE_MAX:
        raise MalformedError("a contact's sequence number is out of range")
    if not 0 <= contact.pow_nonce <= POW_NONCE_MAX:
        raise MalformedError("a nonce has 64 bits")
    if contact.issued_at.tzinfo is not UTC or contact.issued_at.microsecond:
        raise MalformedError("a contact's issue time is in UTC and whole seconds")
    if not 0 <= _unix_seconds(contact.issued_at) <= CONTACT_ISSUED_AT_MAX:
        raise MalformedError("a contact's issue time is out of range")
    _check_lists(contact)
    _check_extensions(contact.extensions)


def _check_lists(contact: Contact | _Draft) -> None:
    if len(contact.addresses) > CONTACT_ADDRESSES_MAX:
        raise MalformedError(f"a contact has at most {CONTACT_ADDRESSES_MAX} addresses")
    if len(set(contact.addresses)) != len(contact.addresses):
        raise MalformedError("a contact names an address twice")
    if len(contact.capabilities) > CONTACT_CAPABILITIES_MAX:
        raise MalformedError(f"a contact has at most {CONTACT_CAPABILITIES_MAX} capabilities")
    if not all(_CAPABILITY.fullmatch(capability) for capability in contact.capabilities):
        raise MalformedError(f"a capability is 1 to {CAPABILITY_CHARS_MAX} of a-z 0-9 . / _ -")
    if list(contact.capabilities) != sorted(set(contact.capabilities)):
        raise MalformedError("a contact's capabilities are sorted and none is there twice")


def _check_extensions(extensions: tuple[tuple[int, bytes], ...]) -> None:
    if len(extensions) > CONTACT_EXTENSIONS_MAX:
        raise MalformedError(f"a contact has at most {CONTACT_EXTENSIONS_MAX} extensions")
    keys = [key for key, _ in extensions]
    if keys != sorted(set(keys)):
        raise MalformedError("a contact's extensions are sorted and none is there twice")
    for key, content in extensions:
        if not CONTACT_EXTENSION_KEY_MIN <= key <= CONTACT_EXTENSION_KEY_MAX:
            raise MalformedError(f"a contact has no field {key}")
        if len(content) > CONTACT_EXTENSION_BYTES_MAX:
            raise MalformedError(f"a contact's extension has at most {CONTACT_EXTENSION_BYTES_MAX} bytes")


def _fields(contact: Contact | _Draft) -> dict[cbor.CborKey, cbor.CborValue]:
    """The map that is signed: everything but the signature."""
    return {
        _VERSION: CONTACT_VERSION,
        _PEER_ID: contact.peer_id,
        _NETWORK_ID: contact.network_id,
        _SEQUENCE: contact.sequence,
        _ISSUED_AT: _unix_seconds(contact.issued_at),
        _ADDRESSES: [address.encode() for address in contact.addresses],
        _CAPABILITIES: list(contact.capabilities),
        _NONCE: contact.pow_nonce,
        **dict(contact.extensions),
    }


def _unix_seconds(issued_at: datetime) -> int:
    return (issued_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _to_text(data: bytes) -> str:
    return TEXT_PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _extensions(fields: dict[cbor.CborKey, cbor.CborValue]) -> tuple[tuple[int, bytes], ...]:
    extensions: list[tuple[int, bytes]] = []
    for key, content in fields.items():
        if not isinstance(key, int):
            raise MalformedError("a contact's fields have numbers, not names")
        if not _VERSION <= key <= _SIGNATURE:
            extensions.append((key, _is_octets(content, f"extension {key}")))
    return tuple(extensions)


def _field(fields: dict[cbor.CborKey, cbor.CborValue], key: int) -> cbor.CborValue:
    try:
        return fields[key]
    except KeyError:
        raise MalformedError(f"a contact lacks field {key}") from None


def _integer(fields: dict[cbor.CborKey, cbor.CborValue], key: int, maximum: int) -> int:
    value = _field(fields, key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise MalformedError(f"field {key} of a contact is no number from 0 to {maximum}")
    return value


def _octets(fields: dict[cbor.CborKey, cbor.CborValue], key: int) -> bytes:
    return _is_octets(_field(fields, key), f"field {key} of a contact")


def _array(fields: dict[cbor.CborKey, cbor.CborValue], key: int, items_max: int) -> list[cbor.CborValue]:
    value = _field(fields, key)
    if not isinstance(value, list) or len(value) > items_max:
        raise MalformedError(f"field {key} of a contact is no list of at most {items_max}")
    return value


def _is_octets(value: cbor.CborValue, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError(f"{what} is no byte string")
    return value


def _is_text(value: cbor.CborValue, what: str) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{what} is no text")
    return value
