r"""Proof of work: what it costs to join a network under a new identity.

A nonce proves ``difficulty`` bits when BLAKE3-256 of
``"kontinuum/pow/v1\0" || network id (32) || identity (32) || nonce (8, little-endian)``
begins with that many zero bits. Bound to one network and one identity.

Bounds:   POW_DIFFICULTY_MAX, POW_NONCE_MAX, NETWORK_NAME_BYTES_MAX.
Trust:    nonces come from strangers; verification is one hash.
Pure:     no I/O, clock or randomness. The search runs on native threads, which its owner watches and stops.
"""

from dataclasses import dataclass
from typing import Self

from kontinuum._native import PowMiner, blake3_256, pow_verify
from kontinuum.base.errors import MisuseError
from kontinuum.identity.errors import WeakProofError, WrongNetworkError
from kontinuum.identity.peer_id import PeerId
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import NETWORK_ID_BYTES, NETWORK_NAME_BYTES_MAX, POW_DIFFICULTY_MAX, POW_NONCE_MAX

POW_DIFFICULTY_DEFAULT = 24
"""Leading zero bits of a production network: about 17 million hashes. Our choice; networks may differ."""


def network_id(name: str) -> bytes:
    """The 32-byte id of the network called ``name``: BLAKE3-256 of its UTF-8 bytes.

    Raises:
        MisuseError: The name is empty, longer than NETWORK_NAME_BYTES_MAX or no valid Unicode.
    """
    try:
        data = name.encode()
    except UnicodeEncodeError:
        raise MisuseError("a network's name is valid Unicode") from None
    if not 1 <= len(data) <= NETWORK_NAME_BYTES_MAX:
        raise MisuseError(f"a network's name has 1 to {NETWORK_NAME_BYTES_MAX} bytes, not {len(data)}")
    return blake3_256(data)


@dataclass(frozen=True, slots=True)
class ProofOfWork:
    """A nonce that claims work for one identity in one network. What it is worth, :meth:`verify` says."""

    network_id: bytes
    """32 bytes, see :func:`network_id`."""

    peer_id: PeerId
    """For whom the work was done."""

    nonce: int
    """0 to POW_NONCE_MAX."""

    def __post_init__(self) -> None:
        if len(self.network_id) != NETWORK_ID_BYTES:
            raise MalformedError(f"a network id has {NETWORK_ID_BYTES} bytes, not {len(self.network_id)}")
        if not 0 <= self.nonce <= POW_NONCE_MAX:
            raise MalformedError("a nonce has 64 bits")

    def verify(self, network: bytes, difficulty: int) -> Self:
        """Check the proof for ``network`` (its id) and ``difficulty`` bits; return it.

        Raises:
            WrongNetworkError: It was made for another network.
            WeakProofError: It has fewer bits.
        """
        if self.network_id != network:
            raise WrongNetworkError(self.network_id)
        if not pow_verify(network, self.peer_id, self.nonce, check_difficulty(difficulty)):
            raise WeakProofError(difficulty)
        return self


@dataclass(frozen=True, slots=True)
class MiningProgress:
    """How far a search is."""

    done: bool
    """The search has ended: with a proof, or because it was cancelled."""

    proof: ProofOfWork | None
    """The proof, once there is one."""

    hashes: int
    """Hashes tried. Expected are 2^difficulty; each further 2^difficulty is needed with a chance of 37 %."""


class Mining:
    """A search for a proof, running on native threads since it was made, until it finds one or is cancelled.

    Args:
        network: The network's id, 32 bytes.
        peer_id: For whom.
        difficulty: Leading zero bits, 0 to POW_DIFFICULTY_MAX.
        threads: How many; 0 means one per core.

    Raises:
        MisuseError: An argument is out of range.
    """

    def __init__(self, network: bytes, peer_id: PeerId, difficulty: int, *, threads: int = 0) -> None:
        if len(network) != NETWORK_ID_BYTES:
            raise MisuseError(f"a network id has {NETWORK_ID_BYTES} bytes, not {len(network)}")
        self._network = network
        self._peer_id = peer_id
        self._miner = PowMiner(network, peer_id, check_difficulty(difficulty), threads)

    def poll(self) -> MiningProgress:
        """How far the search is; returns at once."""
        done, nonce, hashes = self._miner.poll()
        proof = None if nonce is None else ProofOfWork(self._network, self._peer_id, nonce)
        return MiningProgress(done, proof, hashes)

    def wait(self, timeout_s: float) -> MiningProgress:
        """Wait at most ``timeout_s`` seconds for the end of the search, other Python threads running on."""
        self._miner.wait(timeout_s)
        return self.poll()

    def cancel(self) -> None:
        """End the search; a proof that was found before stays available. A second call does nothing."""
        self._miner.cancel()


def check_difficulty(difficulty: int) -> int:
    """``difficulty`` itself, if it is one."""
    if not 0 <= difficulty <= POW_DIFFICULTY_MAX:
        raise MisuseError(f"a difficulty has 0 to {POW_DIFFICULTY_MAX} bits, not {difficulty}")
    return difficulty
