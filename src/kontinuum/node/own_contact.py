"""Our own contact: issued at the start, again while others still take it, and when our addresses change.

Bounds: one contact; a look at the interfaces in ADDRESSES_LOOK_S.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from kontinuum.identity import Contact, Multiaddr
from kontinuum.node.addresses import own_addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.base.clock import Clock
    from kontinuum.identity import KeyPair, ProofOfWork

CONTACT_RENEW_S = 6 * 3600.0
"""Age in seconds at which our contact is issued anew; others take it for a day. Our choice: a quarter."""

ADDRESSES_LOOK_S = 10.0
"""Seconds between two looks at the addresses of this machine. Our choice: a laptop that has moved is found
again soon, and a look costs some 0.2 ms."""


class News(Enum):
    """What became of our contact."""

    NONE = "nothing"
    RENEWED = "it was issued anew"
    MOVED = "our addresses changed"


class OwnContact:
    """Issues our contact. :meth:`look` now and then.

    Args:
        key_pair: Who we are.
        proof: Our work.
        advertised: The addresses that our user wants others to be told; empty: those of this machine.
        bound: The IP address and port of our socket.
        capabilities: What the contact says of us.
        clock: Both clocks.
    """

    def __init__(
        self,
        key_pair: KeyPair,
        proof: ProofOfWork,
        *,
        advertised: Sequence[str],
        bound: tuple[str, int],
        capabilities: Sequence[str],
        clock: Clock,
    ) -> None:
        self._key_pair = key_pair
        self._proof = proof
        self._advertised = tuple(Multiaddr.parse(text) for text in advertised)
        self._bound = bound
        self._capabilities = capabilities
        self._clock = clock
        self._addresses = self._advertised or own_addresses(bound)
        self._looked_at = clock.monotonic()
        self.contact = self._issue()
        """The present one."""

    def look(self) -> News:
        """Issue a new one if it is time."""
        news = News.NONE
        if (self._clock.utc() - self.contact.issued_at).total_seconds() > CONTACT_RENEW_S:
            news = News.RENEWED
        now = self._clock.monotonic()
        if not self._advertised and now - self._looked_at >= ADDRESSES_LOOK_S:
            self._looked_at = now
            addresses = own_addresses(self._bound)
            # Without any network there is nothing to tell, and nobody to hear it.
            if addresses and set(addresses) != set(self._addresses):
                self._addresses = addresses
                news = News.MOVED
        if news is not News.NONE:
            self.contact = self._issue()
        return news

    def adopt(self, key_pair: KeyPair, proof: ProofOfWork) -> None:
        """Go over to another identity: our contact is issued anew, signed by its key."""
        self._key_pair, self._proof = key_pair, proof
        self.contact = self._issue()

    def _issue(self) -> Contact:
        at = self._clock.utc()
        return Contact.issue(
            self._key_pair,
            self._addresses,
            # Milliseconds since 1970 grow over restarts, as long as the clock does.
            sequence=int(at.timestamp() * 1000),
            issued_at=at,
            proof=self._proof,
            capabilities=self._capabilities,
        )
