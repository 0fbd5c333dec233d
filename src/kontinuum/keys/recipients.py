"""Who an envelope is sealed to: oneself, the peers it is for, and those of their ancestors that policy names.

An ancestor can derive its descendants' keys (docs/adr/0050-self-rekey.md), so it could always read what was
sealed to them. Being a recipient as well has two uses: it opens data with its own key, without deriving
anything, and everybody sees that it can, because recipients are listed in what the sender signs.

Bounds:   ENVELOPE_RECIPIENTS_MAX.
Trust:    whether keys belong to whom they should is the chain's business; here they are only put in order.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from kontinuum.keys.envelope.readers import Reader, Role, verify_recipients

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kontinuum.keys.envelope.readers import Recipient


class Ancestors(Enum):
    """Which ancestors of a party become recipients."""

    NONE = "none"
    """Nobody: they would have to derive the key."""

    PARENT = "parent"
    """The nearest one: whoever runs the cluster can help without the root."""

    ALL = "all"
    """Every one, the root last."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody whom data can be sealed to, and who stands above it."""

    recipient: Recipient
    """Its current encryption key."""

    ancestors: tuple[Recipient, ...] = ()
    """Those of its parent, its parent's parent and so on, up to the root."""

    policy: Ancestors = Ancestors.ALL
    """Which of them read along: the party's own choice, which it publishes with its keys."""

    def reading_along(self) -> tuple[Recipient, ...]:
        """The ancestors that become recipients."""
        match self.policy:
            case Ancestors.NONE:
                return ()
            case Ancestors.PARENT:
                return self.ancestors[:1]
            case Ancestors.ALL:
                return self.ancestors


def readers_of(own: Party | None, peers: Iterable[Party] = ()) -> tuple[Reader, ...]:
    """The recipients of one envelope: each key once, ourselves first, then the peers, then the ancestors.

    Args:
        own: The sender, who wants to read it again; ``None`` if it does not.
        peers: Whom it is for.

    Raises:
        RecipientsError: None, too many, or such as do not go together.
    """
    parties = list(peers)
    named: dict[object, Reader] = {}
    for reader in _in_order(own, parties):
        named.setdefault(reader.recipient.reader_id or id(reader.recipient), reader)
    verify_recipients([reader.recipient for reader in named.values()])
    return tuple(named.values())


def _in_order(own: Party | None, peers: list[Party]) -> Iterator[Reader]:
    if own is not None:
        yield Reader(own.recipient, Role.SELF)
    for peer in peers:
        yield Reader(peer.recipient, Role.PEER)
    for party in [*([own] if own is not None else []), *peers]:
        for ancestor in party.reading_along():
            yield Reader(ancestor, Role.ANCESTOR)
