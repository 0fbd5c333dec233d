"""Which of the bootstrap contacts in the settings are of use, and what is wrong with the others.

Age is no reason against one: contacts grow old in a file that nobody touches, its owner has chosen the peers,
and the identity is pinned when dialling, so that an old address can only fail. Nor is a date in the future:
then most likely our own clock is wrong.
Bounds:   BOOTSTRAP_MAX contacts.
Trust:    the settings are our own user's; network and work are checked to help him.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.identity.contact import Contact
from kontinuum.identity.errors import WrongNetworkError
from kontinuum.identity.pow import network_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kontinuum.node.config import NodeConfig


def usable(config: NodeConfig) -> list[Contact]:
    """The contacts to meet first."""
    return [contact for _, contact, problem in _examined(config) if contact is not None and not problem]


def problems(config: NodeConfig) -> Iterator[str]:
    """A sentence for each contact that is of no use, naming it and the fix; another one if none is left."""
    found = [(number, contact, problem) for number, contact, problem in _examined(config) if problem]
    for number, contact, problem in found:
        who = f"contact {number}" + (f" (of {contact.peer_id.short})" if contact is not None else "")
        yield (
            f"{who} is of no use: {problem}; replace it by what `kontinuum contact show` says at that node, "
            "or remove it"
        )
    if config.bootstrap and len(found) == len(config.bootstrap):
        yield "no bootstrap contact can be used: this node meets only who dials it or whom it knew before"


def _examined(config: NodeConfig) -> Iterator[tuple[int, Contact | None, str]]:
    network = network_id(config.network)
    for number, text in enumerate(config.bootstrap, 1):
        contact = None
        try:
            contact = Contact.from_text(text)
            contact.verify_lasting(network, config.pow_bits)
        except WrongNetworkError:
            yield number, contact, f"it belongs to another network than {config.network!r}"
        except KontinuumError as error:
            yield number, contact, str(error)
        else:
            yield number, contact, ""
