"""Any bytes are a pointer, or proof, of where a peer went, or a PeerError; nobody is followed by luck."""

import contextlib
from datetime import UTC, datetime

from kontinuum.base import PeerError
from kontinuum.clusters.lineage import encode_lineage, verify_lineage
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.derivation import RootSeed
from kontinuum.node.pointers import decode_pointer, encode_pointer

AT = datetime(2026, 1, 2, tzinfo=UTC)
ROOT = RootSeed(bytes(range(32))).cluster()
CHAIN = found_chain(ROOT)
BORN = Author(CHAIN, ROOT).delegate(AT, label="a")
OLD = BORN.epoch.signing().peer_id
NEW = Author(CHAIN, BORN.branch).rekey(AT).secret.signing().peer_id
STRANGER = KeyPair.from_seed(bytes([9]) * 32).peer_id

SEEDS = [encode_lineage(CHAIN, OLD, NEW), encode_pointer(NEW)]


def fuzz(data: bytes) -> None:
    """One input as both."""
    with contextlib.suppress(PeerError):
        assert encode_pointer(decode_pointer(data)) == data
    with contextlib.suppress(PeerError):
        verify_lineage(data, OLD, NEW)
    try:
        verify_lineage(data, OLD, STRANGER)
    except PeerError:
        return
    raise AssertionError("a stranger was proved to be somebody")
