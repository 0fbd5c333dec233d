"""Which contacts may be used at all: one gate for every way in.

A contact that a connection, a reply, a record, the disk or our user gives is decoded, its signature, network,
proof of work and freshness are checked, and the result is remembered, so that hearing of the same peer again
costs a look-up.

Source:   attacks on earlier systems that checked some ways in and not others; docs/protocols/contact.md.
Bounds:   ``memo_max`` contacts are remembered, of each identity its newest VERSIONS_MAX, and as many bytes
          as that many contacts of CONTACT_BYTES_MEAN have; the one remembered longest is forgotten first.
          To be forgotten costs a contact's next check some 120 us and changes no answer.
Trust:    input is hostile. Only what was found authentic is remembered; freshness is checked every time.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.dht.peer import Peer
from kontinuum.identity import CONTACT_AGE_MAX_S, CONTACT_AHEAD_MAX_S, Contact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kontinuum.identity import PeerId
    from kontinuum.messages.kad import KadPeer

ADMISSION_MEMO_MAX = 2048
"""Contacts that a node remembers as verified, 1.4 kB each with one address, 6 kB with all that we write. Our
choice: several times a full table. Beyond: the oldest is forgotten and verified again when it comes back."""

VERSIONS_MAX = 2
"""Contacts of one identity that are remembered, the newest. Our choice: while a peer's new contact gets
around, some name that one and others the one before. Older ones are verified each time."""

CONTACT_BYTES_MEAN = 512
"""Encoded bytes that a remembered contact may have on average: 1 MiB for ADMISSION_MEMO_MAX of them, which
takes 5 MB of memory at most. Our choice: ours have some 250 with one address, and the fullest, of which 2048
would take 37 MB, have 7,046. Beyond: as for ADMISSION_MEMO_MAX."""

_AHEAD = timedelta(seconds=CONTACT_AHEAD_MAX_S)
_AGE = timedelta(seconds=CONTACT_AGE_MAX_S)


class Admission:
    """Verifies contacts of one network and remembers them. Several nodes of a simulation may share one.

    Args:
        network_id: 32 bytes.
        pow_bits: Work that a contact must carry.
        verify: Check network, work and freshness. Without it, which only simulations do, every contact with a
            signature passes.
        memo_max: How many contacts are remembered.
    """

    __slots__ = (
        "_by_bytes",
        "_by_identity",
        "_bytes",
        "_memo_bytes_max",
        "_memo_max",
        "_network_id",
        "_pow_bits",
        "_verify",
    )

    def __init__(
        self, network_id: bytes, pow_bits: int, *, verify: bool = True, memo_max: int = ADMISSION_MEMO_MAX
    ) -> None:
        self._network_id = network_id
        self._pow_bits = pow_bits
        self._verify = verify
        self._memo_max = memo_max
        self._memo_bytes_max = memo_max * CONTACT_BYTES_MEAN
        self._by_bytes: dict[bytes, Peer] = {}
        self._by_identity: dict[PeerId, list[Peer]] = {}
        """The same peers; of an identity, the newest last."""
        self._bytes = 0

    def check(self, encoded: bytes, at: datetime) -> Peer:
        """The peer whose contact these bytes are; the same object while it is remembered.

        Raises:
            MalformedError: They are no contact.
            BadIdentityError: The contact's identity is no usable public key.
            BadSignatureError: It was not signed by this identity, or changed since.
            WrongNetworkError: It is of another network.
            WeakProofError: It has too little work.
            ContactFromFutureError: It is dated later than clocks may differ.
            ContactExpiredError: It is no longer fresh.
        """
        peer = self._by_bytes.get(encoded)
        if peer is None:
            contact = Contact.decode(encoded)
            self._verify_now(contact, at)
            return self._remember(contact, encoded)
        if not at - _AGE <= peer.contact.issued_at <= at + _AHEAD:
            self._verify_now(peer.contact, at)
        return peer

    def check_contact(self, contact: Contact, at: datetime, *, lasting: bool = False) -> Peer:
        """:meth:`check` for a contact that is decoded already.

        Args:
            contact: Authentic, as every ``Contact`` is.
            at: Now.
            lasting: It comes from our own user, and so may be of any age.

        Raises:
            WrongNetworkError: It is of another network.
            WeakProofError: It has too little work.
            ContactFromFutureError: It is dated later than clocks may differ.
            ContactExpiredError: It is no longer fresh.
        """
        if not lasting:
            self._verify_now(contact, at)
        elif self._verify:
            contact.verify_lasting(self._network_id, self._pow_bits)
        for peer in self._by_identity.get(contact.peer_id, ()):
            if peer.contact == contact:
                return peer
        return self._remember(contact, contact.encode())

    def check_all(self, peers: Sequence[KadPeer], at: datetime, *, count_max: int) -> tuple[list[Peer], int]:
        """The peers of a reply that may be used, in its order, and how many were refused.

        Refused are contacts that :meth:`check` refuses or that are missing, those of another identity than
        the reply says, an identity that was there before, and whatever comes after the first ``count_max``,
        which is not looked at. One of them does not spoil the others.
        """
        found: dict[bytes, Peer] = {}
        oldest, newest = at - _AGE, at + _AHEAD
        known = self._by_bytes.get
        for named in peers[:count_max]:
            peer = known(named.contact)
            if peer is None or not oldest <= peer.contact.issued_at <= newest:
                try:
                    peer = self.check(named.contact, at)
                except PeerError:
                    continue
            if named.peer_id == peer.wire.peer_id:
                found.setdefault(named.peer_id, peer)
        return list(found.values()), len(peers) - len(found)

    def _verify_now(self, contact: Contact, at: datetime) -> None:
        if self._verify:
            contact.verify(at, self._network_id, self._pow_bits)

    def _remember(self, contact: Contact, encoded: bytes) -> Peer:
        peer = Peer(contact, encoded)
        versions = self._by_identity.get(peer.peer_id, [])
        if len(versions) == VERSIONS_MAX:
            if not peer.replaces(versions[0]):
                return peer
            self._forget(versions[0])
        newer = sum(1 for other in versions if other.replaces(peer))
        versions.insert(len(versions) - newer, peer)
        self._by_identity[peer.peer_id] = versions
        self._by_bytes[encoded] = peer
        self._bytes += len(encoded)
        while len(self._by_bytes) > self._memo_max or self._bytes > self._memo_bytes_max:
            self._forget(next(iter(self._by_bytes.values())))
        return peer

    def _forget(self, peer: Peer) -> None:
        del self._by_bytes[peer.wire.contact]
        self._bytes -= len(peer.wire.contact)
        versions = self._by_identity[peer.peer_id]
        versions.remove(peer)
        if not versions:
            del self._by_identity[peer.peer_id]
