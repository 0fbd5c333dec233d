"""Who an envelope is sealed to: oneself, the peers it is for, and those of their ancestors that policy names.

An ancestor can derive its descendants' keys (docs/adr/0050-self-rekey.md), so it could always read what was
sealed to them. Being a recipient as well has two uses: it opens data with its own key, without deriving
anything, and everybody sees that it can, because recipients are listed in what the sender signs.

Bounds:   ENVELOPE_RECIPIENTS_MAX.
Trust:    whose keys they are is the chain's word; :func:`party_of` asks it, the rest puts them in order.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from kontinuum.keys.envelope.readers import Reader, Role, verify_recipients
from kontinuum.keys.envelope.x25519 import X25519Recipient
from kontinuum.keys.errors import UnknownKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kontinuum.keys.envelope.readers import Recipient
    from kontinuum.keys.paths import Place
    from kontinuum.keys.standing import Standing


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


def party_of(standing: Standing, place: Place, policy: Ancestors = Ancestors.ALL) -> Party:
    """A place of a cluster, by its chain: its current key, and those of the places above it that have one.

    A root that never declared an epoch has no key to seal to; it derives.

    Args:
        standing: Who is who in that cluster.
        place: Whom to seal to.
        policy: Which ancestors read along.

    Raises:
        UnknownKeyError: Nobody speaks for the place, so there is no key of its to seal to.
    """
    own = _key_of(standing, place)
    if own is None:
        raise UnknownKeyError(f"nobody speaks for {place} now, so nothing can be sealed to it")
    ancestors = []
    while place.indexes:
        place = place.parent
        if (key := _key_of(standing, place)) is not None:
            ancestors.append(key)
    return Party(own, tuple(ancestors), policy)


def _key_of(standing: Standing, place: Place) -> X25519Recipient | None:
    """What is sealed to a place now."""
    found = standing.of_place(place)
    if not found.verdict.living or found.encryption is None:
        return None
    return X25519Recipient(found.encryption)


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
