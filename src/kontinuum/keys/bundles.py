"""Statements and heads on their way from one node to another, or to the disk.

Source:   our own format, docs/protocols/key-chain.md and .cddl.
Bounds:   CHAIN_BUNDLE_BYTES_MAX, CHAIN_BUNDLE_STATEMENTS_MAX, CHAIN_HEADS_MAX.
Trust:    bytes are hostile; what is in a bundle is as untrusted as a single statement.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.keys.bodies import StatementId
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import MissingStatementsError
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.statements import Statement
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    CHAIN_BUNDLE_BYTES_MAX,
    CHAIN_BUNDLE_STATEMENTS_MAX,
    CHAIN_HEADS_MAX,
    STATEMENT_HASH_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OVERHEAD_BYTES = 8
"""Bytes that a statement costs in a bundle besides its own, at most; and the bundle itself."""


def encode_bundle(statements: Iterable[Statement]) -> bytes:
    """The bytes of a few statements; :func:`bundles` cuts longer lists.

    Raises:
        MisuseError: They are too many for one bundle.
    """
    encoded = [statement.encode() for statement in statements]
    data = cbor.encode(encoded)
    if len(encoded) > CHAIN_BUNDLE_STATEMENTS_MAX or len(data) > CHAIN_BUNDLE_BYTES_MAX:
        raise MisuseError("too many statements for one bundle")
    return data


def decode_bundle(data: bytes) -> tuple[Statement, ...]:
    """The statements of a bundle, in its order.

    Raises:
        PeerError: It is no bundle, or one of its statements is none.
    """
    items = cbor.decode(data, bytes_max=CHAIN_BUNDLE_BYTES_MAX, items_max=CHAIN_BUNDLE_STATEMENTS_MAX + 1)
    if not isinstance(items, list):
        raise MalformedError("a bundle is a list of statements")
    statements: list[Statement] = []
    for item in items:
        if not isinstance(item, bytes):
            raise MalformedError("a bundle holds statements as byte strings")
        statements.append(Statement.decode(item))
    return tuple(statements)


def bundles(statements: Iterable[Statement]) -> Iterator[bytes]:
    """Cut any number of statements into bundles, in order; each is as full as the bounds allow."""
    pending: list[Statement] = []
    size = _OVERHEAD_BYTES
    for statement in statements:
        added = len(statement.encode()) + _OVERHEAD_BYTES
        if pending and (size + added > CHAIN_BUNDLE_BYTES_MAX or len(pending) == CHAIN_BUNDLE_STATEMENTS_MAX):
            yield encode_bundle(pending)
            pending, size = [], _OVERHEAD_BYTES
        pending.append(statement)
        size += added
    if pending:
        yield encode_bundle(pending)


def load_chain(genesis: bytes, stored: Iterable[bytes]) -> Chain:
    """A chain from its genesis and bundles, as they were kept on a disk, in any order.

    Raises:
        PeerError: Something in them is wrong.
        UnavailableError: Something is missing.
    """
    chain = Chain(Genesis.decode(genesis))
    merged = chain.merge(statement for data in stored for statement in decode_bundle(data))
    for _, error in merged.refused:
        raise error
    if merged.missing:
        raise MissingStatementsError(merged.missing)
    return chain


def encode_heads(heads: Iterable[StatementId]) -> bytes:
    """What a node says that it has: the ids that :meth:`Chain.heads` gives.

    Raises:
        MisuseError: They are more than CHAIN_HEADS_MAX.
    """
    listed = sorted(set(heads))
    if len(listed) > CHAIN_HEADS_MAX:
        raise MisuseError(f"at most {CHAIN_HEADS_MAX} heads are named")
    return cbor.encode(listed)


def decode_heads(data: bytes) -> tuple[StatementId, ...]:
    """The ids in a list of heads.

    Raises:
        MalformedError: It is none, or not sorted.
    """
    bytes_max = CHAIN_HEADS_MAX * (STATEMENT_HASH_BYTES + 2) + _OVERHEAD_BYTES
    items = cbor.decode(data, bytes_max=bytes_max, items_max=CHAIN_HEADS_MAX + 1)
    if not isinstance(items, list):
        raise MalformedError("heads are a list of ids")
    heads: list[StatementId] = []
    for item in items:
        if not isinstance(item, bytes) or len(item) != STATEMENT_HASH_BYTES:
            raise MalformedError("a head is the id of a statement")
        heads.append(StatementId(item))
    if heads != sorted(set(heads)):
        raise MalformedError("heads are sorted, and none is there twice")
    return tuple(heads)
