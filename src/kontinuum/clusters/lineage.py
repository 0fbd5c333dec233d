"""The proof, for a stranger, that a key and an earlier one are of the same place of one cluster.

Who holds a cluster's chain needs none: it looks up whose place a key is. A stranger who knew a node by its
key alone is told where it went by a pointer that the old key signed, which a thief of the old key could sign
as well. So it asks for the statements behind both keys: in that cluster only the branch, or an ancestor,
could make them. Whose cluster it is a stranger cannot tell: a thief of the old key may declare it in one of
his own.

Source:   our own format, docs/protocols/moved.md.
Bounds:   LINEAGE_BYTES_MAX.
Trust:    the proof comes from the peer that it is about; nothing of it is believed before it is checked.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.clusters.errors import LineageError
from kontinuum.keys.bundles import decode_bundle, encode_bundle
from kontinuum.keys.chain import Chain
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.standing import Standing
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import CHAIN_BUNDLE_BYTES_MAX

if TYPE_CHECKING:
    from kontinuum.identity import PeerId

LINEAGE_BYTES_MAX = CHAIN_BUNDLE_BYTES_MAX + 1024
"""Bytes of a proof: one bundle and a genesis, so that it fits the reply of a call. Longer: MalformedError; a
node whose line is longer proves nothing to strangers (MisuseError of the bundle)."""

_GENESIS, _BUNDLE = range(2)
"""Keys of the map."""


def encode_lineage(chain: Chain, *keys: PeerId) -> bytes:
    """What proves whose place these keys are.

    Raises:
        MisuseError: The statements are more than one bundle holds.
    """
    declared = [use.statement.id for key in keys for use in chain.registers.uses(key)]
    bundle = encode_bundle(chain.foundation(declared))
    return cbor.encode({_GENESIS: chain.genesis.encode(), _BUNDLE: bundle})


def verify_lineage(data: bytes, old: PeerId, new: PeerId) -> None:
    """Check that ``new`` speaks for the place that ``old`` spoke for, by statements in use.

    Raises:
        LineageError: It does not, or they do not show it.
        PeerError: ``data`` is no such proof.
    """
    fields = cbor.decode(data, bytes_max=LINEAGE_BYTES_MAX)
    if not isinstance(fields, dict) or fields.keys() != {_GENESIS, _BUNDLE}:
        raise MalformedError("a lineage is a genesis and a bundle")
    genesis, bundle = fields[_GENESIS], fields[_BUNDLE]
    if not isinstance(genesis, bytes) or not isinstance(bundle, bytes):
        raise MalformedError("a lineage's genesis and bundle are byte strings")
    chain = Chain(Genesis.decode(genesis))
    merged = chain.merge(decode_bundle(bundle))
    if merged.refused or merged.missing:
        raise LineageError("a lineage has statements that do not follow from its genesis")
    standing = Standing(chain)
    was, now = standing.of_key(old), standing.of_key(new)
    if was.path.place != now.path.place or not now.verdict.living:
        raise LineageError(f"{new.short} does not speak for the place of {old.short}")
