"""``cluster.cbor``: which cluster a node is of, which branch it has, and what was ordered.

Source:   our own format, docs/protocols/cluster-files.md.
Bounds:   HOME_BYTES_MAX, FORMER_KEYS_MAX.
Trust:    any bytes give a Home or a PeerError.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from kontinuum._native import blake3_256
from kontinuum.keys.bodies import StatementId
from kontinuum.keys.fields import Fields
from kontinuum.keys.genesis import GENESIS_BYTES_MAX, Genesis
from kontinuum.keys.orders import Order
from kontinuum.keys.paths import Path
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import KEY_ORDER_BYTES_MAX, KEY_ORDER_SEQUENCE_MAX, STATEMENT_HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME_BYTES_MAX = 256 * 1024
"""Bytes of the file. Our choice: 256 pending orders and the numbers of a few issuers have 80 kB. Longer:
FileTooLargeError when read, MisuseError when written."""

FORMER_KEYS_MAX = 64
"""Earlier branches and clusters whose secrets a node keeps. Our choice. More: the oldest are not listed any
more; their files stay."""

HOME_VERSION = 1
"""Version of the format. Another one is refused by name."""

_VERSION, _GENESIS, _PATH, _KEYS, _LATEST, _PENDING, _FORMER, _CHECKSUM = range(8)
"""Keys of the map."""

_KEYS_NAME = re.compile(r"keys(-[1-9][0-9]{0,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a node belongs."""

    genesis: Genesis
    """The beginning of its cluster's chain."""

    path: Path
    """Its branch."""

    keys: str = "keys"
    """The directory of its secrets."""

    latest: Mapping[StatementId, int] = field(default_factory=dict)
    """The highest number of an order of each issuer."""

    pending: tuple[Order, ...] = ()
    """Orders, to anybody, that were not obeyed yet."""

    former: tuple[tuple[str, Path], ...] = ()
    """Earlier directories of secrets and whose they are, oldest first."""

    def after(self, before: Home) -> Self:
        """This one as the successor of another: with a directory of its own."""
        former = (*before.former, (before.keys, before.path))
        latest = max(_number(name) for name, _ in former)
        return replace(self, keys=f"keys-{latest + 1}", former=former[-FORMER_KEYS_MAX:])

    def elsewhere(self) -> Self:
        """The same, with another directory for its secrets."""
        return replace(self, keys=f"keys-{_number(self.keys) + 1}")

    def encode(self) -> bytes:
        """The bytes that :meth:`decode` reads."""
        fields: dict[cbor.CborKey, cbor.CborValue] = {
            _VERSION: HOME_VERSION,
            _GENESIS: self.genesis.encode(),
            _PATH: self.path.encode(),
            _KEYS: self.keys,
            _LATEST: [[issuer, number] for issuer, number in sorted(self.latest.items())],
            _PENDING: [order.encode() for order in self.pending],
            _FORMER: [[name, path.encode()] for name, path in self.former],
        }
        return cbor.encode({**fields, _CHECKSUM: _checksum(fields)})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a file's content.

        Raises:
            WrongVersionError: A newer program wrote it.
            PeerError: It is none, or damaged.
        """
        value = cbor.decode(data, bytes_max=HOME_BYTES_MAX)
        fields = Fields(value, "a node's home")
        if fields.integer(_VERSION, 2**32) != HOME_VERSION:
            raise WrongVersionError("a node's home of another version")
        fields.only(*range(_CHECKSUM + 1))
        if not isinstance(value, dict):
            raise MalformedError("a node's home is a map")
        said = {key: content for key, content in value.items() if key != _CHECKSUM}
        if fields.octets(_CHECKSUM, 8) != _checksum(said):
            raise MalformedError("its checksum differs")
        genesis = fields.value(_GENESIS)
        if not isinstance(genesis, bytes) or len(genesis) > GENESIS_BYTES_MAX:
            raise MalformedError("a node's home has a genesis")
        return cls(
            genesis=Genesis.decode(genesis),
            path=Path.decode(fields.value(_PATH)),
            keys=_keys_name(fields.value(_KEYS)),
            latest=dict(_latest(item) for item in _items(fields, _LATEST)),
            pending=tuple(_order(item) for item in _items(fields, _PENDING)),
            former=tuple(_former(item) for item in _items(fields, _FORMER)),
        )


def _number(keys: str) -> int:
    return int(keys.partition("-")[2] or 1)


def _items(fields: Fields, key: int) -> list[cbor.CborValue]:
    value = fields.value(key)
    if not isinstance(value, list):
        raise MalformedError(f"field {key} of a node's home is a list")
    return value


def _keys_name(value: cbor.CborValue) -> str:
    if not isinstance(value, str) or not _KEYS_NAME.fullmatch(value):
        raise MalformedError("the keys of a node are in a directory keys or keys-NUMBER")
    return value


def _latest(value: cbor.CborValue) -> tuple[StatementId, int]:
    match value:
        case [bytes() as issuer, int() as number] if (
            len(issuer) == STATEMENT_HASH_BYTES and 0 <= number <= KEY_ORDER_SEQUENCE_MAX
        ):
            return StatementId(issuer), number
    raise MalformedError("the latest order of an issuer is his id and a number")


def _order(value: cbor.CborValue) -> Order:
    if not isinstance(value, bytes) or len(value) > KEY_ORDER_BYTES_MAX:
        raise MalformedError("an order is a short byte string")
    return Order.decode(value)


def _former(value: cbor.CborValue) -> tuple[str, Path]:
    match value:
        case [name, path]:
            return _keys_name(name), Path.decode(path)
    raise MalformedError("earlier keys are a directory and a path")


def _checksum(fields: Mapping[cbor.CborKey, cbor.CborValue]) -> bytes:
    return blake3_256(b"kontinuum/cluster-home\0" + cbor.encode(dict(fields)))[:8]
