"""Which contacts may be used at all: one gate for every way in.

A contact that a connection, a reply, a record, the disk or our user gives is decoded, its signature, network,
proof of work and freshness are checked, and the result is remembered, so that hearing of the same peer again
costs a look-up.

Source:   attacks on earlier systems that checked some ways in and not others; docs/protocols/contact.md.
Bounds:   ``memo_max`` contacts are remembered; the one remembered longest is forgotten first, which costs its
          next check some 120 us and changes no answer.
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

    from kontinuum.messages.kad import KadPeer

ADMISSION_MEMO_MAX = 2048
"""Contacts that a node remembers as verified, 1.4 kB each with one address, 6 kB with all that we write. Our
choice: several times a full table. Beyond: the oldest is forgotten and verified again when it comes back."""

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

    __slots__ = ("_by_bytes", "_by_contact", "_memo_max", "_network_id", "_pow_bits", "_verify")

    def __init__(
        self, network_id: bytes, pow_bits: int, *, verify: bool = True, memo_max: int = ADMISSION_MEMO_MAX
    ) -> None:
        self._network_id = network_id
        self._pow_bits = pow_bits
        self._verify = verify
        self._memo_max = memo_max
        # Both hold the same peers in the same order, since a contact has one encoding.
        self._by_bytes: dict[bytes, Peer] = {}
        self._by_contact: dict[Contact, Peer] = {}

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
        peer = self._by_contact.get(contact)
        return self._remember(contact, contact.encode()) if peer is None else peer

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
        self._by_bytes[encoded] = peer
        self._by_contact[contact] = peer
        if len(self._by_bytes) > self._memo_max:
            del self._by_bytes[next(iter(self._by_bytes))]
            del self._by_contact[next(iter(self._by_contact))]
        return peer
