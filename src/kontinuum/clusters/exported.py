r"""A cluster in a file, for those who shall trust it: its genesis and its chain. Nothing in it is secret.

::

    "kontinuum cluster\n" | version (1) | the CBOR list [genesis, [bundle, ...], [bundle, ...]]

The second bundles are the succession, if the cluster had another root before: that one's last word, and what
it builds on. Who trusted the old cluster can follow by it.

Whoever trusts it must know by other means that the file is the right one: compare the cluster's id.

Source:   our own format, docs/protocols/cluster-files.md.
Bounds:   EXPORTED_BYTES_MAX.
Trust:    any bytes give a Chain, whose statements were verified, or an ExportedError.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.clusters.errors import ExportedError
from kontinuum.keys.bundles import bundles, decode_bundle, load_chain
from kontinuum.wire import cbor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.keys.chain import Chain
    from kontinuum.keys.statements import Statement

EXPORTED_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of a file. Our choice: a chain that is full has some 13 MB. Longer: ExportedError before decoding."""

EXPORTED_VERSION = 1
"""Version of the format. A newer one is refused by name."""

MAGIC = b"kontinuum cluster\n"
"""How every version begins; a person who looks into the file can read it."""

_ITEMS_MAX = 4096


@dataclass(frozen=True, slots=True)
class ExportedCluster:
    """What a file holds."""

    chain: Chain
    """The cluster's, verified."""

    succession: tuple[Statement, ...]
    """How it followed on another one; not verified yet."""


def encode_cluster(chain: Chain, succession: Iterable[Statement] = ()) -> bytes:
    """The content of a file."""
    listed: list[cbor.CborValue] = [chain.genesis.encode(), list(bundles(chain)), list(bundles(succession))]
    return MAGIC + bytes([EXPORTED_VERSION]) + cbor.encode(listed)


def decode_cluster(data: bytes) -> ExportedCluster:
    """Read a file's content.

    Raises:
        ExportedError: It is none, damaged, cut off, or of a newer version; the message says what to do.
    """
    head = len(MAGIC) + 1
    if not data.startswith(MAGIC) or len(data) <= head:
        raise ExportedError(
            "this is no file of a cluster; make one there with: kontinuum cluster show --export"
        )
    if data[len(MAGIC)] > EXPORTED_VERSION:
        raise ExportedError("a cluster's file of a newer version; use a newer Kontinuum")
    try:
        value = cbor.decode(data[head:], bytes_max=EXPORTED_BYTES_MAX, items_max=_ITEMS_MAX)
        match value:
            case [bytes() as genesis, list() as listed, list() as before]:
                chain = load_chain(genesis, [each for each in listed if isinstance(each, bytes)])
                said = (decode_bundle(each) for each in before if isinstance(each, bytes))
                return ExportedCluster(chain, tuple(statement for each in said for statement in each))
    except KontinuumError as error:  # A chain that lacks statements is unavailable elsewhere; here, damage.
        raise ExportedError(
            f"this file of a cluster is damaged or cut off ({error}); copy it again"
        ) from None
    raise ExportedError("this file of a cluster is damaged; copy it again")
