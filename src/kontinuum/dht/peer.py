"""A peer as the DHT knows it: a verified contact, with what is worked out from it once.

Bounds: one object for each contact; tables and lookups share it.
Trust:  made by ``kontinuum.dht.admission`` only, after the contact was verified.
Pure:   no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.keys import KadKey, key_of_peer
from kontinuum.messages.kad import KadPeer

if TYPE_CHECKING:
    from kontinuum.identity import Contact, PeerId


CLIENT_CAPABILITY = "dht-client"
"""What the contact of a peer says that asks others and answers nobody."""


class Peer:
    """A verified contact and its place in the key space. Never changes; a newer contact is a newer Peer.

    Args:
        contact: Its contact, verified.
        encoded: The contact's bytes.
    """

    __slots__ = ("contact", "ip", "key", "peer_id", "serves", "wire")

    def __init__(self, contact: Contact, encoded: bytes) -> None:
        self.contact = contact
        self.peer_id: PeerId = contact.peer_id
        self.key: KadKey = key_of_peer(contact.peer_id)
        self.ip: str | None = next((a.host for a in contact.addresses if a.kind in ("ip4", "ip6")), None)
        """Its first address that is no name: what it claims until it was seen elsewhere."""
        self.serves = bool(contact.addresses) and CLIENT_CAPABILITY not in contact.capabilities
        """It can be asked, and so be in a table."""
        self.wire = KadPeer(
            peer_id=contact.peer_id.multihash,
            addresses=tuple(address.encode() for address in contact.addresses),
            contact=encoded,
        )
        """How replies name it."""

    def replaces(self, other: Peer) -> bool:
        """This is a newer contact of the same peer."""
        ours, theirs = self.contact, other.contact
        return (ours.sequence, ours.issued_at, ours.signature) > (
            theirs.sequence,
            theirs.issued_at,
            theirs.signature,
        )

    def __repr__(self) -> str:
        return f"<Peer {self.peer_id.short}>"
