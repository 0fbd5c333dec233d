"""Who is who now: from a name to the key that speaks for it, from a key to its name, and who can do what.

This is what other rooms ask. The rules behind the answers are in ``kontinuum.keys.verdicts``.

Trust:    keys that are asked about come from strangers; what is not known is an error, never a guess.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.keys.errors import RevokedKeyError, SupersededKeyError, UnknownKeyError
from kontinuum.keys.paths import Path, Place
from kontinuum.keys.verdicts import Status, Verdict, branch_verdict, key_verdict

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.public_keys import EncryptionPublicKey
    from kontinuum.keys.registers import Registers


@dataclass(frozen=True, slots=True)
class PlaceStanding:
    """What stands at a place now."""

    place: Place
    """The stable name."""

    label: str
    """What people call it."""

    path: Path | None
    """The newest branch; None if nobody was ever there, or an ancestor has a new branch and nobody is yet."""

    verdict: Verdict
    """Whether its key speaks; if not, why."""

    epoch: int | None
    """Its newest epoch; None if it never declared one."""

    signing: PeerId | None
    """The key of that epoch. It is the identity on the wire only if the verdict is living."""

    encryption: EncryptionPublicKey | None
    """What to encrypt to, likewise."""


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """What a key is worth."""

    key: PeerId
    """Which key."""

    path: Path
    """The branch that declared it."""

    epoch: int
    """As which epoch."""

    verdict: Verdict
    """Whether it speaks; if not, why."""

    current: PeerId | None
    """The key that speaks for the same place now, if one does: whoever knew the old key finds its owner
    there.
    """


@dataclass(frozen=True, slots=True)
class Power:
    """What a branch can do to the keys of a place, for ``keys explain``."""

    path: Path
    """Who: the place's own branch, or an ancestor."""

    label: str
    """What people call it; empty for the root."""

    itself: bool
    """It is the place itself: it holds the keys, or can make them."""

    living: bool
    """It is in use; a branch out of use can decrypt what it could, and revoke nothing."""

    revokes: bool
    """It can take the place's keys out of use."""

    derives: bool
    """It can make the place's private keys, and so open whatever was encrypted to them."""


class Standing:
    """Answers about one chain, always as it is now.

    Args:
        chain: It may go on growing.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    @property
    def _registers(self) -> Registers:
        return self._chain.registers

    def verify_speaker(self, key: PeerId) -> Place:
        """The place that ``key`` speaks for, now.

        Raises:
            UnknownKeyError: No statement here names the key: it is a stranger's, or we lack statements.
            SupersededKeyError: Its owner moved on to a newer key.
            RevokedKeyError: It is out of use.
        """
        standing = self.of_key(key)
        verdict = standing.verdict
        if verdict.living:
            return standing.path.place
        if verdict.status is Status.SUPERSEDED and standing.current is not None:
            raise SupersededKeyError(key, standing.current)
        raise RevokedKeyError(key, verdict.path, verdict.status)

    def of_key(self, key: PeerId) -> KeyStanding:
        """What a key is worth, whether or not it speaks.

        Raises:
            UnknownKeyError: No statement here names it.
        """
        verdict = key_verdict(self._registers, key)
        if verdict is None:
            raise UnknownKeyError(f"{key.short} is named by no statement of this cluster")
        use = max(self._registers.uses(key), key=lambda each: (each.path.steps, each.body.epoch))
        now = self.of_place(use.path.place)
        current = now.signing if now.verdict.living else None
        return KeyStanding(key, use.path, use.body.epoch, verdict, current)

    def of_place(self, place: Place) -> PlaceStanding:
        """What stands at a place; also for places where nobody ever was."""
        path = self.newest_path(place)
        if path is None:
            return PlaceStanding(place, "", None, self._gap(place), None, None, None)
        label = min(self._registers.births_at(path), key=lambda each: each.id).label
        epochs = self._registers.epochs(path)
        if not epochs:
            return PlaceStanding(place, label, path, self.of_branch(path), None, None, None)
        epoch = max(epochs)
        body = min(epochs[epoch], key=lambda each: each.statement.id).body
        return PlaceStanding(place, label, path, self.of_branch(path), epoch, body.signing, body.encryption)

    def of_branch(self, path: Path) -> Verdict:
        """Whether the newest key of a branch speaks; if not, why."""
        epochs = self._registers.epochs(path)
        if not epochs:
            verdict = branch_verdict(self._registers, path)
            return Verdict(Status.UNBORN, path) if verdict.living else verdict
        newest = min(epochs[max(epochs)], key=lambda each: each.statement.id)
        return key_verdict(self._registers, newest.body.signing) or Verdict(Status.UNBORN, path)

    def places(self) -> tuple[PlaceStanding, ...]:
        """Every place where somebody ever was, the root left out, in order."""
        places = {birth.path.place: None for birth in self._registers.births() if birth.path.steps}
        return tuple(self.of_place(place) for place in sorted(places, key=lambda each: each.indexes))

    def speakers(self) -> tuple[PlaceStanding, ...]:
        """The places whose key speaks, the root left out, in order."""
        return tuple(each for each in self.places() if each.verdict.living)

    def newest_path(self, place: Place) -> Path | None:
        """The newest branch of a place, through the newest branches of its ancestors."""
        path = Path()
        for child in place.indexes:
            branch = self._registers.children(path).get(child)
            if branch is None:
                return None
            path = path.child(child, branch)
        return path

    def who_can(self, path: Path) -> tuple[Power, ...]:
        """Who can do what to the keys of a branch, from the root down to itself; nobody else can."""
        powers: list[Power] = []
        for ancestor in path.lineage():
            births = self._registers.births_at(ancestor)
            living = branch_verdict(self._registers, ancestor).living
            powers.append(
                Power(
                    path=ancestor,
                    label=min(births, key=lambda each: each.id).label if births else "",
                    itself=ancestor == path,
                    living=living,
                    revokes=living and bool(path.steps),
                    derives=True,
                )
            )
        return tuple(powers)

    def _gap(self, place: Place) -> Verdict:
        """Why nobody is at a place: an ancestor is out of use, or nobody was put there yet."""
        path = Path()
        for child in place.indexes:
            verdict = branch_verdict(self._registers, path)
            branch = self._registers.children(path).get(child)
            if not verdict.living or branch is None:
                return Verdict(Status.UNBORN, path) if verdict.living else verdict
            path = path.child(child, branch)
        raise AssertionError("a place with a newest path has no gap")
