"""Who hosts are: real Ed25519 identities with real contacts and proofs of work, all from one seed.

Keys made here come from a seedable source and so are no secret: they must never leave a simulation.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from kontinuum._native import pow_verify
from kontinuum.dht.keys import key_of_peer
from kontinuum.dht.peer import CLIENT_CAPABILITY, Peer
from kontinuum.identity import Contact, KeyPair, Multiaddr, PeerId, ProofOfWork, network_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.dht.keys import KadKey

NETWORK = network_id("kontinuum simulation")
"""The network of every simulation."""

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of day when a simulation begins."""

PORT = 4433
"""UDP port of every host."""


class Identity:
    """A key pair, its proof of work, and the contact of the day.

    Args:
        seed: 32 bytes, the private key.
        pow_bits: Work that its contacts carry.
        worked: Whether the work was done; otherwise its proof is wrong (if any work is asked for).
    """

    __slots__ = ("key", "nonce", "peer", "peer_id", "seed", "sequence")

    peer: Peer
    """Its current contact; :meth:`move` makes it."""

    def __init__(self, seed: bytes, *, pow_bits: int, worked: bool = True) -> None:
        self.seed = seed
        self.peer_id: PeerId = KeyPair.from_seed(seed).peer_id
        self.key: KadKey = key_of_peer(self.peer_id)
        wanted = worked or not pow_bits
        self.nonce = next(n for n in count() if pow_verify(NETWORK, self.peer_id, n, pow_bits) is wanted)
        self.sequence = 0

    @property
    def key_pair(self) -> KeyPair:
        """The key pair, made anew each time: ten thousand of them are rarely needed."""
        return KeyPair.from_seed(self.seed)

    def move(
        self,
        ip: str,
        issued_at: datetime,
        *,
        serves: bool = True,
        known: Callable[[Contact], Peer] | None = None,
    ) -> None:
        """Issue a newer contact, for that address.

        Args:
            ip: Where it is.
            issued_at: The time of day by its own clock.
            serves: It answers others.
            known: Verifies the contact and gives the Peer that everybody shares.
        """
        self.sequence += 1
        contact = Contact.issue(
            self.key_pair,
            [Multiaddr("ip6" if ":" in ip else "ip4", ip, PORT)],
            sequence=self.sequence,
            issued_at=issued_at,
            proof=ProofOfWork(NETWORK, self.peer_id, self.nonce),
            capabilities=() if serves else (CLIENT_CAPABILITY,),
        )
        self.peer = Peer(contact, contact.encode()) if known is None else known(contact)


def time_of_day(now: float, skew_s: float = 0.0) -> datetime:
    """The time of day by a clock that is wrong by ``skew_s``."""
    return BEGIN + timedelta(seconds=now + skew_s)
