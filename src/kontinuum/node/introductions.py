"""How peers learn of each other before there is a DHT: each introduces itself, and names peers it knows.

After a dial both sides exchange their contacts (``kontinuum/hello/1``); then the dialler asks for contacts of
others (``kontinuum/contacts/1``). What comes is verified like any contact from a stranger.
Source: docs/protocols/rpc.md, "Introductions".
Bounds: CONTACTS_PER_REPLY_MAX contacts of at most CONTACT_BYTES_MAX bytes each.
Trust:  a peer can only tell signed contacts, and fills at most one reply's worth of the store at a time.
Pure:   no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.identity import Contact
from kontinuum.wire import MalformedError, decode_cbor, encode_cbor
from kontinuum.wire.limits import CONTACT_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

HELLO = "kontinuum/hello/1"
"""Call: our contact; reply: theirs."""

CONTACTS = "kontinuum/contacts/1"
"""Call: nothing; reply: contacts of other peers."""

PING = "kontinuum/ping/1"
"""Call: anything short; reply: the same."""

PING_BYTES_MAX = 1024
"""Bytes of a ping. Our choice; a longer one is answered with its beginning."""

CONTACTS_PER_REPLY_MAX = 32
"""Contacts in one reply. Our choice: enough to find a network, too few to flood a store of 1,024."""

CONTACTS_REPLY_BYTES_MAX = CONTACTS_PER_REPLY_MAX * (CONTACT_BYTES_MAX + 8)
"""Bytes of such a reply. Longer: refused."""


def encode_contacts(contacts: Iterable[Contact]) -> bytes:
    """The reply that names ``contacts``, at most CONTACTS_PER_REPLY_MAX of them."""
    return encode_cbor([contact.encode() for contact in list(contacts)[:CONTACTS_PER_REPLY_MAX]])


def decode_contacts(data: bytes) -> list[Contact]:
    """The contacts in a reply whose signatures hold. One bad contact does not spoil the others.

    Raises:
        MalformedError: It is no such reply, or has too many contacts.
    """
    entries = decode_cbor(data, bytes_max=CONTACTS_REPLY_BYTES_MAX)
    if not isinstance(entries, list) or len(entries) > CONTACTS_PER_REPLY_MAX:
        raise MalformedError("no list of contacts, or too many of them")
    contacts = []
    for entry in entries:
        if not isinstance(entry, bytes):
            raise MalformedError("a contact is a byte string")
        try:
            contacts.append(Contact.decode(entry))
        except KontinuumError:
            continue
    return contacts
