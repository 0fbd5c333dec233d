"""Which branches and keys count, given everything that was said: who prevails, and by whose word.

A verdict looks down the line from the root to a branch; the first branch on the way that is out of use
decides for all below it. So an ancestor's word beats a descendant's, whichever came first, and what a
branch says has no effect outside of its own descendants. Among several revocations of one thing the
ancestor's decides, then the earlier.

Nothing here ever turns back: with more statements, what is out of use stays out of use.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kontinuum.keys.bodies import Scope
from kontinuum.keys.paths import Path
from kontinuum.wire.limits import KEY_EPOCHS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.identity import PeerId
    from kontinuum.keys.registers import Registers, Revocation
    from kontinuum.keys.statements import Statement


class Status(StrEnum):
    """What a branch or a key is worth."""

    LIVING = "is in use"
    """The branch makes statements; the key speaks."""

    SUPERSEDED = "moved on to a newer key"
    """Only keys: the same branch has a later epoch."""

    REPLACED = "has a new branch"
    """The parent answered a theft or a loss."""

    REVOKED = "was revoked"
    """An ancestor, or the branch itself, took it out of use."""

    REMOVED = "was removed"
    """An ancestor took the place out of use."""

    DISPUTED = "is in two hands"
    """Its key signed what contradicts itself, or appears where it does not belong."""

    UNBORN = "was not made yet"
    """No statement makes this branch."""

    CLOSED = "was left by its root"
    """The root made a transition: the whole chain is out of use."""


_BRANCH = -1
"""Stands for the branch itself where an epoch's number would stand."""

_SEVERITY = {status: rank for rank, status in enumerate(Status)}
"""Which of several verdicts about one key counts: being in use least, being superseded little."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts, and why."""

    status: Status
    """What it is."""

    path: Path
    """The branch that decides: the one asked for, or an ancestor with which it falls."""

    statements: tuple[Statement, ...] = ()
    """What decides: one statement, or two that contradict each other; none if it is in use or unborn."""

    @property
    def living(self) -> bool:
        """Whether it is in use."""
        return self.status is Status.LIVING


def decisive(revocations: Iterable[Revocation]) -> Revocation:
    """The one of several that decides: the highest ancestor's, then the earlier, then the lesser id."""
    return min(
        revocations,
        key=lambda each: (len(each.issuer.steps), each.statement.issued_at, each.statement.id),
    )


def branch_verdict(registers: Registers, path: Path) -> Verdict:
    """What a branch is worth."""
    kept = registers.judged.get((path, _BRANCH))
    if kept is None:
        kept = _branch_verdict(registers, path)
        if registers.births_at(path):  # Strangers may ask about any path.
            registers.judged[path, _BRANCH] = kept
    return kept


def epoch_verdict(registers: Registers, path: Path, epoch: int) -> Verdict:
    """What the key of one epoch of a branch is worth, besides other uses of the same key."""
    kept = registers.judged.get((path, epoch))
    if kept is None:
        kept = _epoch_verdict(registers, path, epoch)
        if epoch in registers.epochs(path):
            registers.judged[path, epoch] = kept
    return kept


def key_verdict(registers: Registers, key: PeerId) -> Verdict | None:
    """What a key is worth: it speaks only if every use of it does. None if the chain does not know it."""
    uses = registers.uses(key)
    if not uses:
        return None
    verdicts = [epoch_verdict(registers, use.path, use.body.epoch) for use in uses]
    # The worst counts: whoever lost a key for good does not get it back by using it a second time.
    worst = max(verdicts, key=lambda verdict: _SEVERITY[verdict.status])
    if worst.living and (len({use.path for use in uses}) > 1 or registers.is_branch_key(key)):
        evidence = tuple(sorted((use.statement for use in uses), key=lambda each: each.id)[:2])
        return Verdict(Status.DISPUTED, worst.path, evidence)
    return worst


def contradictions(registers: Registers, path: Path) -> tuple[Statement, ...]:
    """Two statements that cannot both be honest, if the branch's key or its parent's signed such.

    Keys derive from numbers, so whoever says honestly the same thing twice names the same keys.
    """
    births = sorted(registers.births_at(path), key=lambda birth: birth.id)
    elsewhere = [
        other
        for birth in births
        for place in registers.paths_of(birth.key)
        for other in registers.births_at(place)
        if other.key == birth.key and place != path
    ]
    for birth in (*births[1:], *elsewhere):
        if birth.key != births[0].key or birth.path != path:
            return tuple(each.statement for each in (births[0], birth) if each.statement is not None)
    for epoch in sorted(registers.repeated_epochs(path)):
        said = sorted(registers.epochs(path)[epoch], key=lambda each: each.statement.id)
        for declaration in said[1:]:
            if declaration.body != said[0].body:
                return (said[0].statement, declaration.statement)
    return ()


def _branch_verdict(registers: Registers, path: Path) -> Verdict:
    if registers.transitions:
        return Verdict(Status.CLOSED, Path(), (_first(registers.transitions),))
    if path.steps:
        above = branch_verdict(registers, path.parent)
        if not above.living:
            return above
    return _own_verdict(registers, path)


def _epoch_verdict(registers: Registers, path: Path, epoch: int) -> Verdict:
    verdict = branch_verdict(registers, path)
    if not verdict.living:
        return verdict
    revoked = _revocations(registers, path, epoch) if path.steps else []
    if revoked:
        return Verdict(Status.REVOKED, path, (decisive(revoked).statement,))
    epochs = registers.epochs(path)
    newest = max(epochs, default=-1)
    if epoch > newest:
        return Verdict(Status.UNBORN, path)
    if epoch < newest:
        return Verdict(Status.SUPERSEDED, path, (_first(each.statement for each in epochs[newest]),))
    return Verdict(Status.LIVING, path)


def _own_verdict(registers: Registers, path: Path) -> Verdict:
    """What a branch is worth if all of its ancestors are in use."""
    if path.steps:
        if not registers.births_at(path):
            return Verdict(Status.UNBORN, path)
        revoked = _revocations(registers, path, KEY_EPOCHS_MAX)
        if revoked:
            for_good = any(each.body.scope is Scope.PLACE for each in revoked)
            status = Status.REMOVED if for_good else Status.REVOKED
            return Verdict(status, path, (decisive(revoked).statement,))
        child = path.steps[-1].child
        newest = path.parent.child(child, registers.children(path.parent)[child])
        if newest != path:
            births = [birth.statement for birth in registers.births_at(newest) if birth.statement is not None]
            return Verdict(Status.REPLACED, path, (_first(births),))
    evidence = contradictions(registers, path)
    if evidence:
        return Verdict(Status.DISPUTED, path, evidence)
    return Verdict(Status.LIVING, path)


def _revocations(registers: Registers, path: Path, epoch: int) -> list[Revocation]:
    """What takes this epoch of this branch out of use; KEY_EPOCHS_MAX stands for the whole branch."""
    reach = (path.branch, epoch)
    slot = registers.revocations(path.parent, path.steps[-1].child)
    line = path.lineage()  # A later branch of the place has no say about this one.
    return [each for each in slot if each.body.through >= reach and each.issuer in line]


def _first(statements: Iterable[Statement]) -> Statement:
    """The same one for everybody, whatever came first."""
    return min(statements, key=lambda each: each.id)
