"""Records ``/signed/`` + identity + ``/`` + name: what a peer says, and may say anew, under a name.

The value is an envelope, a deterministic CBOR map (``docs/protocols/records.md`` and ``records.cddl``). The
signature also covers the network and the name, which the envelope leaves out: so that nobody can move it to
another one.

Source:   our own format.
Bounds:   KAD_VALUE_BYTES_MAX for the envelope, SIGNED_NAME_BYTES_MAX, SIGNED_SEQUENCE_MAX,
          SIGNED_LIFETIME_MAX_S.
Trust:    input is hostile. An envelope that exists obeys every bound; whose it is,
          :meth:`SignedRecord.verify` says.
Pure:     no I/O, clock or randomness; the time of day is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.dht.records.errors import (
    BadRecordError,
    BadRecordKeyError,
    RecordExpiredError,
    RecordFromFutureError,
)
from kontinuum.dht.records.validators import Valid, Validator
from kontinuum.identity import CONTACT_AHEAD_MAX_S, PeerId, verify
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import KAD_VALUE_BYTES_MAX, NETWORK_ID_BYTES, PEER_ID_BYTES, SIGNATURE_BYTES

if TYPE_CHECKING:
    from kontinuum.identity import KeyPair

SIGNED_NAMESPACE = "signed"

SIGNED_VERSION = 1
"""Version of the envelope. Another one is refused by name."""

SIGNED_NAME_BYTES_MAX = 64
"""Bytes of a name; at least one. Our choice: a key stays below KAD_KEY_BYTES_MAX. Longer: refused."""

SIGNED_SEQUENCE_MAX = 2**63 - 1
"""Largest sequence number: fits a signed 64-bit column of any database. Larger: refused."""

SIGNED_EXPIRES_AT_MAX = 253_402_300_799
"""Latest end, in Unix seconds: 9999-12-31T23:59:59Z, the last one of most calendars. Later: refused."""

SIGNED_LIFETIME_MAX_S = 30 * 24 * 3600.0
"""Seconds that the end may be ahead of the reader's clock, besides the 120 s that clocks may differ. Our
choice: a record outlives its owner's holiday, not its owner. More: the record is from the future, refused."""

_PURPOSE = "record"

_VERSION, _NETWORK_ID, _NAME, _SEQUENCE, _EXPIRES_AT, _VALUE, _SIGNATURE = range(7)
"""Keys of the map, in the order of ``records.cddl``."""

_ENVELOPE = {_VERSION, _SEQUENCE, _EXPIRES_AT, _VALUE, _SIGNATURE}

_ITEMS_MAX = 2 * len(_ENVELOPE) + 1

_LIFETIME_MAX = timedelta(seconds=SIGNED_LIFETIME_MAX_S + CONTACT_AHEAD_MAX_S)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def signed_key(peer_id: PeerId, name: bytes) -> bytes:
    """The key of what ``peer_id`` says under ``name``.

    Raises:
        MisuseError: the name is empty or longer than SIGNED_NAME_BYTES_MAX.
    """
    if not 1 <= len(name) <= SIGNED_NAME_BYTES_MAX:
        raise MisuseError(f"a name has 1 to {SIGNED_NAME_BYTES_MAX} bytes, not {len(name)}")
    return b"/signed/" + peer_id + b"/" + name


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """An envelope. Made by :meth:`issue` and :meth:`decode`.

    Raises:
        MalformedError: a field is out of its bounds.
    """

    sequence: int
    """Higher replaces lower. 0 to SIGNED_SEQUENCE_MAX."""
    expires_at: datetime
    """When it is over, aware UTC, whole seconds."""
    value: bytes
    """What is said."""
    signature: bytes
    """64 bytes over everything above, the network and the name."""

    def __post_init__(self) -> None:
        if not 0 <= self.sequence <= SIGNED_SEQUENCE_MAX:
            raise MalformedError("a signed record's sequence number is out of range")
        if self.expires_at.tzinfo is not UTC or self.expires_at.microsecond:
            raise MalformedError("a signed record's end is in UTC and whole seconds")
        if not 0 <= _unix_seconds(self.expires_at) <= SIGNED_EXPIRES_AT_MAX:
            raise MalformedError("a signed record's end is out of range")
        if len(self.signature) != SIGNATURE_BYTES:
            raise MalformedError(f"a signature has {SIGNATURE_BYTES} bytes")

    @classmethod
    def issue(
        cls,
        key_pair: KeyPair,
        name: bytes,
        value: bytes,
        *,
        network_id: bytes,
        sequence: int,
        expires_at: datetime,
    ) -> Self:
        """Say ``value`` under ``name``.

        Args:
            key_pair: who we are.
            name: 1 to SIGNED_NAME_BYTES_MAX bytes.
            value: so long that the envelope has at most KAD_VALUE_BYTES_MAX bytes.
            network_id: where it is said, 32 bytes.
            sequence: higher than in every record of ours of that name before.
            expires_at: its end, aware, at most SIGNED_LIFETIME_MAX_S from now; fractions are cut off.

        Raises:
            MisuseError: a field is out of its bounds.
        """
        signed_key(key_pair.peer_id, name)  # Checks the name.
        if expires_at.tzinfo is None:
            raise MisuseError("expires_at needs a time zone")
        if len(network_id) != NETWORK_ID_BYTES:
            raise MisuseError(f"a network id has {NETWORK_ID_BYTES} bytes")
        end = expires_at.astimezone(UTC).replace(microsecond=0)
        try:
            draft = cls(sequence, end, value, bytes(SIGNATURE_BYTES))
        except MalformedError as error:
            raise MisuseError(str(error)) from None
        record = cls(sequence, end, value, key_pair.sign(_PURPOSE, draft.signed_bytes(name, network_id)))
        if (size := len(record.encode())) > KAD_VALUE_BYTES_MAX:
            raise MisuseError(f"the record would have {size} bytes, where {KAD_VALUE_BYTES_MAX} are the most")
        return record

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an envelope from bytes, the whole of them. Who signed it is not checked here.

        Raises:
            MalformedError: it is none, or breaks a bound.
            WrongVersionError: it is one of a version that we do not know.
        """
        fields = cbor.decode(data, bytes_max=KAD_VALUE_BYTES_MAX, items_max=_ITEMS_MAX)
        if not isinstance(fields, dict):
            raise MalformedError("a signed record is a CBOR map")
        version = fields.get(_VERSION)
        if not isinstance(version, int) or isinstance(version, bool):
            raise MalformedError("a signed record begins with its version")
        if version != SIGNED_VERSION:
            raise WrongVersionError(f"a signed record of version {version}; we know version {SIGNED_VERSION}")
        if set(fields) != _ENVELOPE:
            raise MalformedError("a signed record has exactly the fields of its version")
        return cls(
            sequence=_number(fields[_SEQUENCE], SIGNED_SEQUENCE_MAX),
            expires_at=_EPOCH + timedelta(seconds=_number(fields[_EXPIRES_AT], SIGNED_EXPIRES_AT_MAX)),
            value=_octets(fields[_VALUE]),
            signature=_octets(fields[_SIGNATURE]),
        )

    def encode(self) -> bytes:
        """The bytes of the envelope; :meth:`decode` reads them."""
        return cbor.encode({**self._fields(), _SIGNATURE: self.signature})

    def signed_bytes(self, name: bytes, network_id: bytes) -> bytes:
        """What the signature covers, besides its purpose."""
        return cbor.encode({**self._fields(), _NETWORK_ID: network_id, _NAME: name})

    def verify(self, peer_id: PeerId, name: bytes, network_id: bytes) -> Self:
        """Check that ``peer_id`` said this, under that name and in that network.

        Raises:
            BadSignatureError: it did not.
        """
        verify(peer_id, _PURPOSE, self.signed_bytes(name, network_id), self.signature)
        return self

    def _fields(self) -> dict[cbor.CborKey, cbor.CborValue]:
        return {
            _VERSION: SIGNED_VERSION,
            _SEQUENCE: self.sequence,
            _EXPIRES_AT: _unix_seconds(self.expires_at),
            _VALUE: self.value,
        }


def signed_validator(network_id: bytes) -> Validator:
    """The validator of the namespace in the network of that id, 32 bytes."""

    def validate(name: bytes, value: bytes, at: datetime) -> Valid:
        owner, name = _split(name)
        try:
            record = SignedRecord.decode(value).verify(owner, name, network_id)
        except PeerError as error:
            raise BadRecordError(str(error)) from error
        if record.expires_at <= at:
            raise RecordExpiredError(f"the record ended at {record.expires_at:%Y-%m-%d %H:%M:%S} UTC")
        valid_from = max(record.expires_at, _EPOCH + _LIFETIME_MAX) - _LIFETIME_MAX
        if at < valid_from:
            raise RecordFromFutureError(f"the record cannot be from before {valid_from:%Y-%m-%d %H:%M} UTC")
        return Valid(
            rank=(record.sequence, record.expires_at, record.signature),
            expires_at=record.expires_at,
            owner=owner,
            mutable=True,
            valid_from=valid_from,
        )

    return validate


def _split(name: bytes) -> tuple[PeerId, bytes]:
    """The two parts of a key behind its namespace."""
    owner, slash, own_name = (
        name[:PEER_ID_BYTES],
        name[PEER_ID_BYTES : PEER_ID_BYTES + 1],
        name[PEER_ID_BYTES + 1 :],
    )
    if slash != b"/" or not 1 <= len(own_name) <= SIGNED_NAME_BYTES_MAX:
        raise BadRecordKeyError("the key of a signed record ends with an identity, a slash and a name")
    try:
        return PeerId(owner), own_name
    except PeerError as error:
        raise BadRecordKeyError(str(error)) from error


def _number(value: object, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise MalformedError("a number of a signed record is none, or out of range")
    return value


def _octets(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError("a field of a signed record is no byte string")
    return value


def _unix_seconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(seconds=1)
