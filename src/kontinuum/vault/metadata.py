"""What is known of an object beside its content: sealed in its claim, so that only readers see it.

Bounds:   NAME_BYTES_MAX; those of a claim's metadata.
Trust:    metadata is as its sender wrote it: text that may hold anything printable or not.
Pure:     no I/O, clock or randomness; the time comes as ``at``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from kontinuum.keys.envelope import Context
from kontinuum.vault.errors import BadObjectIdError, BadObjectNameError
from kontinuum.vault.object_id import ObjectId
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import ENVELOPE_METADATA_BYTES_MAX

NAME_BYTES_MAX = 255
"""UTF-8 bytes of an object's name, as of a file's. Our choice. Longer: BadObjectNameError; read: refused."""

CREATED_AT_MAX = 253_402_300_799
"""Latest time of an object, in Unix seconds: 9999-12-31T23:59:59Z. Later: refused."""

VAULT_CONTEXT = Context("vault")
"""What objects of a vault are sealed for: an envelope of another purpose is not taken for one."""

_NAME, _CREATED_AT, _REPLACES = range(3)
"""Keys of the map. Further ones are a newer version's, and passed over."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What its owner wrote about an object."""

    name: str
    """For people; several objects may have the same. Empty if it was given none."""

    created_at: datetime
    """When it was put into a vault, aware and in UTC, in whole seconds."""

    replaces: ObjectId | None = None
    """The object that held the same content under older keys, if it was sealed anew."""

    def __post_init__(self) -> None:
        try:
            length = len(self.name.encode())
        except UnicodeEncodeError:
            raise BadObjectNameError("a name is valid Unicode") from None
        if length > NAME_BYTES_MAX:
            raise BadObjectNameError(f"a name has at most {NAME_BYTES_MAX} bytes, not {length}")

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        fields: dict[cbor.CborKey, cbor.CborValue] = {
            _NAME: self.name,
            _CREATED_AT: int(self.created_at.timestamp()),
        }
        return cbor.encode(fields if self.replaces is None else {**fields, _REPLACES: self.replaces})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The reverse.

        Raises:
            MalformedError: It is no metadata of an object.
        """
        match cbor.decode(data, bytes_max=ENVELOPE_METADATA_BYTES_MAX):
            case {0: str() as name, 1: int() as created_at, **more} if 0 <= created_at <= CREATED_AT_MAX:
                replaces = more.get(_REPLACES)
                try:
                    return cls(
                        name,
                        datetime.fromtimestamp(created_at, UTC),
                        ObjectId(replaces) if isinstance(replaces, bytes) else None,
                    )
                except (BadObjectNameError, BadObjectIdError) as error:
                    raise MalformedError(str(error)) from None
        raise MalformedError("the object's metadata cannot be read")
