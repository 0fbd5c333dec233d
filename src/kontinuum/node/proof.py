"""The proof of work of this node: mined once, kept beside the key.

Trust: the file is verified when it is read; a damaged or foreign one is mined anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.files import read_private, write_atomically
from kontinuum.base.log import RoomLogger
from kontinuum.identity.pow import Mining, ProofOfWork
from kontinuum.wire import cbor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kontinuum.identity import PeerId

PROOF_FILE_BYTES_MAX = 1024
"""Bytes of the file that are looked at; ours has some 50. Our choice."""

_POLL_S = 0.02
"""Seconds between two looks at the search."""

_log = RoomLogger("node")


async def proof_of(
    peer_id: PeerId,
    network: bytes,
    bits: int,
    *,
    path: Path | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ProofOfWork:
    """The proof that ``path`` holds, or a new one, which is then written there.

    Args:
        peer_id: Ours.
        network: Its id, 32 bytes.
        bits: Leading zero bits.
        path: The file, or ``None`` to keep nothing.
        on_progress: Called with the hashes tried and expected while the search runs; cancelling ends it.
    """
    if path is not None and (saved := _load(path, peer_id, network, bits)) is not None:
        return saved
    mining = Mining(network, peer_id, bits)
    try:
        while not (progress := mining.poll()).done:
            if on_progress is not None:
                on_progress(progress.hashes, 1 << bits)
            await asyncio.sleep(_POLL_S)
    finally:
        mining.cancel()
    if progress.proof is None:
        raise AssertionError("a search that nobody cancelled ended without a proof")
    if path is not None and bits:
        write_atomically(path, cbor.encode({1: network, 2: progress.proof.nonce}))
    return progress.proof


def _load(path: Path, peer_id: PeerId, network: bytes, bits: int) -> ProofOfWork | None:
    if not path.exists():
        return None
    try:
        match cbor.decode(read_private(path, PROOF_FILE_BYTES_MAX)):
            case {1: bytes() as saved, 2: int() as nonce} if saved == network:
                return ProofOfWork(network, peer_id, nonce).verify(network, bits)
    except KontinuumError as error:
        _log.warning("the saved proof of work is of no use and is mined anew", reason=str(error))
    return None
