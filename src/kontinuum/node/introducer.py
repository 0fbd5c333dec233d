"""Introduces the node to the peers that it dials, and answers those that introduce themselves.

Bounds: one stored greeting per connection and HELLO_WINDOW_S; one reply with contacts is made
        per CONTACTS_FRESH_S and shared by all who ask. An entry for each connected peer.
Trust:  a greeting is the caller's own contact and is verified like any stranger's; whom it names beside
        itself, and how often it greets, changes nothing.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import Contact, PeerId
from kontinuum.node.introductions import (
    CONTACTS,
    CONTACTS_PER_REPLY_MAX,
    HELLO,
    decode_contacts,
    encode_contacts,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kontinuum.base.clock import Clock
    from kontinuum.base.entropy import Rng
    from kontinuum.node.peer_store import PeerStore
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection

INTRODUCTION_TIMEOUT_S = 5.0
"""Seconds that a peer may take to introduce itself. Our choice; it stays connected if it does not."""

CONTACT_TOLD_S = 12 * 3600.0
"""Age up to which a contact is told to others: half of what they accept, so that it is of use to them."""

HELLO_WINDOW_S = 60.0
"""Seconds in which one greeting of a connection is stored. Our choice: addresses change more rarely. Further
greetings are answered, and forgotten."""

CONTACTS_FRESH_S = 1.0
"""Seconds for which a full reply with contacts is used again. Our choice: many may ask at once, and making
one costs a look at every peer that we know."""

_log = RoomLogger("node")


class Introducer:
    """Both sides of an introduction.

    Args:
        rpc: The calls; the handlers are registered here.
        store: Who is known.
        clock: Both clocks.
        rng: Chance for the choice of whom we name.
        own_contact: Our present contact.
        learn: Verifies and remembers a contact; may raise a KontinuumError.
        connection_of: The connection in use with a peer.
    """

    def __init__(
        self,
        rpc: RpcService,
        store: PeerStore,
        *,
        clock: Clock,
        rng: Rng,
        own_contact: Callable[[], Contact],
        learn: Callable[[Contact], bool],
        connection_of: Callable[[PeerId], Connection | None],
    ) -> None:
        self._rpc = rpc
        self._store = store
        self._clock = clock
        self._rng = rng
        self._own_contact = own_contact
        self._learn = learn
        self._connection_of = connection_of
        self._greeted: dict[PeerId, tuple[Connection | None, float]] = {}
        self._own: tuple[Contact, bytes] | None = None
        self._reply = b""
        self._reply_until = 0.0
        self._reply_known = -1
        rpc.add_handler(HELLO, self._answer_hello)
        rpc.add_handler(CONTACTS, self._answer_contacts)

    async def introduce(self, connection: Connection, *, ask: Callable[[], bool]) -> None:
        """Exchange contacts with a peer that we dialled, and ask whom else it knows if ``ask()``."""
        try:
            reply = await self._rpc.call(connection, HELLO, self._own_encoded(), INTRODUCTION_TIMEOUT_S)
            if (theirs := Contact.decode(reply)).peer_id == connection.peer_id:
                self._learn_all([theirs])
            if ask():
                reply = await self._rpc.call(connection, CONTACTS, b"", INTRODUCTION_TIMEOUT_S)
                self._learn_all(decode_contacts(reply))
        except KontinuumError as error:
            _log.debug("a peer did not introduce itself", peer=connection.peer_id.short, reason=str(error))
        else:
            self._store.succeeded(connection.peer_id, self._clock.utc())

    def forget(self, peer_id: PeerId) -> None:
        """The peer is gone; when it comes back it may greet anew."""
        self._greeted.pop(peer_id, None)

    def _learn_all(self, contacts: list[Contact]) -> None:
        for contact in contacts:
            try:
                self._learn(contact)
            except KontinuumError as error:
                _log.debug("a contact is of no use", peer=contact.peer_id.short, reason=str(error))

    def _answer_hello(self, peer: PeerId, data: bytes) -> bytes:
        connection, now = self._connection_of(peer), self._clock.monotonic()
        known, since = self._greeted.get(peer, (None, 0.0))
        # Checking a signature, and all that follows from news, is what a flood of greetings would cost.
        if connection is not None and (connection is not known or now - since >= HELLO_WINDOW_S):
            self._greeted[peer] = connection, now
            with contextlib.suppress(KontinuumError):
                if (theirs := Contact.decode(data)).peer_id == peer:
                    self._learn(theirs)
        return self._own_encoded()

    def _own_encoded(self) -> bytes:
        contact = self._own_contact()
        if self._own is None or self._own[0] is not contact:
            self._own = contact, contact.encode()
        return self._own[1]

    def _answer_contacts(self, _peer: PeerId, _data: bytes) -> bytes:
        now = self._clock.monotonic()
        # While few are known, each new one matters to who asks next, and looking at few is cheap.
        news = self._reply_known <= CONTACTS_PER_REPLY_MAX and self._reply_known != len(self._store)
        if news or now >= self._reply_until:
            self._reply = self._contacts_reply()
            self._reply_until = now + CONTACTS_FRESH_S
            self._reply_known = len(self._store)
        return self._reply

    def _contacts_reply(self) -> bytes:
        known = self._store.best(4 * CONTACTS_PER_REPLY_MAX)
        chosen = self._rng.sample(known, CONTACTS_PER_REPLY_MAX)
        at = self._clock.utc()
        return encode_contacts(saved.contact for saved in chosen if _is_worth_telling(saved.contact, at))


def _is_worth_telling(contact: Contact, at: datetime) -> bool:
    return (at - contact.issued_at).total_seconds() < CONTACT_TOLD_S
