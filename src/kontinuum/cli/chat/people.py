"""Who is who: nicknames beside the keys that they stand for, and which of them are not what they seem.

A nickname proves nothing. So each is shown with a few digits of its owner's key and in a colour of that key;
and one that looks like a name which another key has had before, or which was verified, is marked.

Bounds:   PEOPLE_MAX people; the one who was heard of the longest ago gives way, those outside the rooms
          first, verified ones never.
Trust:    nicknames come from peers and were made safe to show; keys were proven.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum._native import blake3_256
from kontinuum.cli.chat.lines import LineError
from kontinuum.cli.chat.safe import safe_nick, skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kontinuum.identity import PeerId

PEOPLE_MAX = 2048
"""People remembered. Our choice: far more than a room holds that anybody can follow."""

FINGERPRINT_DIGITS = 8
"""Hexadecimal digits of a key beside a name: 32 bits, against mistakes. Against an attacker who makes keys
until they look alike there is ``/verify``."""

CODE_GROUPS = 8
"""Groups of five digits in a verification code: 133 bits, so that no key can be made to fit."""

COLOURS = (
    "#e5484d",
    "#f76b15",
    "#d6a300",
    "#5bb318",
    "#12a594",
    "#00a2c7",
    "#3e63dd",
    "#6e56cf",
    "#ab4aba",
    "#d6409f",
    "#a18072",
    "#8b8d98",
)
"""Colours of people: told apart on dark and on light ground."""


@dataclass(slots=True)
class Person:
    """One key, and what it is called."""

    peer_id: PeerId
    nick: str
    """Safe to show; empty until it said one."""
    verified: bool = False
    """The codes were compared."""
    mistaken_for: PeerId | None = None
    """Somebody else whose name this looks like."""

    @property
    def fingerprint(self) -> str:
        """The first digits of the key."""
        return self.peer_id.hex()[:FINGERPRINT_DIGITS]

    @property
    def name(self) -> str:
        """What to type to name this person alone: ``nick#fingerprint``."""
        return f"{self.nick or 'someone'}#{self.fingerprint}"

    @property
    def colour(self) -> str:
        """A colour of the key, not of the name."""
        return COLOURS[blake3_256(b"kontinuum/chat/colour" + self.peer_id)[0] % len(COLOURS)]


class People:
    """Everybody that this chat has heard of, ourselves among them.

    Args:
        me: Our key.
        nick: What we want to be called.
        verified: Keys whose codes were compared in earlier chats.
        present: Gives those who are in a room.
    """

    def __init__(
        self,
        me: PeerId,
        nick: str,
        verified: frozenset[PeerId] = frozenset(),
        present: Callable[[], Iterable[PeerId]] = tuple,
    ) -> None:
        self._present = present
        self._people: dict[PeerId, Person] = {}
        self._owners: dict[str, PeerId] = {}
        self._verified = dict.fromkeys(sorted(verified))
        self.me = self.hear(me, nick)

    @property
    def verified(self) -> list[PeerId]:
        """Keys whose codes were compared, those of this chat last."""
        return list(self._verified)

    def hear(self, peer_id: PeerId, nick: str = "") -> Person:
        """Somebody was heard, and perhaps says how it is called. Returns who it is."""
        person = self._people.pop(peer_id, None)
        if person is None:
            person = Person(peer_id, "", verified=peer_id in self._verified)
            self._make_room()
        self._people[peer_id] = person  # Behind the others: heard the latest.
        shown = safe_nick(nick)
        if shown and shown != person.nick:
            self._give(person, shown)
        return person

    def find(self, name: str) -> Person:
        """Return the one person that ``name`` means: a nickname, ``nick#digits``, digits or a whole key.

        Raises:
            LineError: Nobody, or several.
        """
        nick, _, digits = name.partition("#")
        found = [
            person for person in self._people.values() if digits and person.fingerprint == digits.lower()
        ]
        if not digits:
            found = [person for person in self._people.values() if person.nick == nick]
            found += [
                person
                for person in self._people.values()
                if person not in found
                and len(nick) >= FINGERPRINT_DIGITS
                and person.peer_id.hex().startswith(nick)
            ]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(person.name for person in found)
            raise LineError(f"several are called {nick}: {names}")
        raise LineError(f"nobody here is called {name}; see /peers")

    def verify(self, person: Person) -> None:
        """The codes were compared: this name belongs to this key from now on."""
        self._verified[person.peer_id] = None
        person.verified = True
        self._own(person)

    def code(self, person: Person) -> str:
        """Return the code that both of us see: to be compared face to face, or by voice."""
        first, second = sorted((self.me.peer_id, person.peer_id))
        digest = blake3_256(b"kontinuum/chat/verify/v1\x00" + first + second)
        number = int.from_bytes(digest)
        groups = []
        for _ in range(CODE_GROUPS):
            number, group = divmod(number, 100_000)
            groups.append(f"{group:05d}")
        return " ".join(groups)

    def _own(self, person: Person) -> None:
        """The name is this person's: whoever is called like that is somebody else."""
        shape = skeleton(person.nick)
        self._owners[shape] = person.peer_id
        person.mistaken_for = None
        for other in self._people.values():
            if other is not person and skeleton(other.nick) == shape:
                other.mistaken_for = person.peer_id

    def _give(self, person: Person, nick: str) -> None:
        if self._owners.get(skeleton(person.nick)) == person.peer_id:
            del self._owners[skeleton(person.nick)]
        person.nick = nick
        owner = self._people.get(self._owners.setdefault(skeleton(nick), person.peer_id))
        if owner is None or owner is person or (person.verified and not owner.verified):
            self._own(person)
        else:
            person.mistaken_for = owner.peer_id

    def _make_room(self) -> None:
        if len(self._people) < PEOPLE_MAX:
            return
        present = frozenset(self._present())
        strangers = [each for each in self._people.values() if not each.verified and each is not self.me]
        outside = (each for each in strangers if each.peer_id not in present)
        if (person := next(outside, strangers[0] if strangers else None)) is not None:
            del self._people[person.peer_id]
            if self._owners.get(skeleton(person.nick)) == person.peer_id:
                del self._owners[skeleton(person.nick)]
