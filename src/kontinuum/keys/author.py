"""The pen of one branch: it makes the branch's statements, and refuses those that would do harm.

What an author makes is in its chain at once. Whoever holds the chain writes it to the disk before he sends
anything: an author that forgets what it said says the same number twice.

Trust:    the chain is merged with what peers know before an author speaks; it cannot know what it did not
          hear.
Secrets:  the branch secret stays inside; :class:`Handover` holds the secrets of a child, for that child only.
Pure:     no I/O, clock or randomness; the time of day is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.keys.bodies import (
    Body,
    Checkpoint,
    Delegate,
    Reason,
    Recover,
    Rekey,
    Revoke,
    Scope,
    Transition,
)
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import LastKeyError, NotLivingError, SpentError, StatementError, WrongRootError
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.standing import Standing
from kontinuum.keys.statements import Signer, Statement
from kontinuum.keys.verdicts import Status, branch_verdict
from kontinuum.keys.way_back import least_epoch
from kontinuum.wire.limits import (
    CHECKPOINT_HEADS_MAX,
    KEY_BRANCHES_MAX,
    KEY_CHILDREN_MAX,
    KEY_EPOCHS_MAX,
    STATEMENT_PREVIOUS_MAX,
)

if TYPE_CHECKING:
    from datetime import datetime

    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.keys.paths import Path
    from kontinuum.keys.public_keys import Commitment
    from kontinuum.keys.recovery import CheckedRecovery
    from kontinuum.keys.registers import Birth


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """A branch's new epoch."""

    statement: Statement
    """What to publish."""

    secret: EpochSecret
    """What the running node holds from now on; the branch secret goes back to where it is kept."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What a parent makes for a child, at its birth or after a loss."""

    statements: tuple[Statement, ...]
    """What to publish: the branch, and its first epoch."""

    branch: BranchSecret
    """The child's branch secret, for the child only: it keeps it apart from what it runs with."""

    epoch: EpochSecret
    """What the child runs with."""


def found_chain(root: BranchSecret, successor: Commitment | None = None) -> Chain:
    """The empty chain of a new root; see :meth:`Genesis.issue` for ``successor``."""
    return Chain(Genesis.issue(root, successor))


class Author:
    """Speaks for one branch.

    Args:
        chain: The branch's cluster; statements are added to it.
        secret: The branch.

    Raises:
        WrongRootError: The chain knows no such branch.
    """

    def __init__(self, chain: Chain, secret: BranchSecret) -> None:
        births = [birth for birth in chain.registers.births_at(secret.path) if birth.key == secret.public]
        if not births:
            raise WrongRootError(f"this cluster has no branch {secret.path} with this key")
        self._chain = chain
        self._secret = secret
        self._birth = min(births, key=_most_able)

    @property
    def path(self) -> Path:
        """Which branch."""
        return self._secret.path

    def rekey(self, at: datetime, *, epoch: int | None = None) -> Rekeyed:
        """Move the branch to a new epoch, alone.

        Args:
            at: Now, aware.
            epoch: Which; by default the next one.

        Raises:
            SpentError: The branch has no further epoch.
            NotLivingError: The branch is out of use.
        """
        self._require_use()
        if epoch is None:
            newest = max(self._chain.registers.epochs(self.path), default=-1)
            epoch = max(newest + 1, least_epoch(self._chain, self.path))
        secret = self._secret.epoch(epoch)
        return Rekeyed(self._rekey(secret, at), secret)

    def delegate(
        self, at: datetime, *, label: str = "", child: int | None = None, depth: int = 0
    ) -> Handover:
        """Make a place below this one, with its first branch and epoch.

        Args:
            at: Now, aware.
            label: What people call it.
            child: Its number; by default the least that was never used by this place. A child that an earlier
                branch of this place had (:meth:`former_children`) keeps its name if it keeps its number.
            depth: Levels of places that it may have below it.

        Raises:
            SpentError: There is no number left.
            MisuseError: The child exists already (:meth:`recover` gives it a new branch), was revoked before
                it was made, or this place may not have so many levels below it.
            NotLivingError: This branch is out of use.
        """
        self._require_use()
        known = self._chain.registers.children(self.path)
        if depth >= self._birth.depth:
            raise MisuseError(f"{self.path} may have {self._birth.depth} levels of places below it")
        if child is None:
            child = self._free_child()
        elif child in known:
            raise MisuseError(f"{self.path} has a child {child}; a lost or stolen one gets a new branch")
        elif self._chain.registers.revocations(self.path, child):
            raise MisuseError(f"child {child} was revoked before it was made; take another number")
        branch = self._secret.child(child)
        body = Delegate(child, branch.public, self._secret.commitment(child, 1), depth, label)
        birth = self._issue(body, at, branch.key)
        first = Author(self._chain, branch).rekey(at)
        return Handover((birth, first.statement), branch, first.secret)

    def former_children(self) -> tuple[Birth, ...]:
        """The children that fell with an earlier branch of this place and have no new branch yet, by number.

        Those that were removed for good are left out. Delegating them again, with their numbers, gives them
        new keys under their old names.
        """
        registers = self._chain.registers
        newest: dict[int, Birth] = {}
        for birth in self._former_births():
            child = birth.path.steps[-1].child
            removed = any(
                each.body.scope is Scope.PLACE for each in registers.revocations(birth.path.parent, child)
            )
            if not removed and child not in registers.children(self.path):
                newest[child] = max(
                    newest.get(child, birth), birth, key=lambda each: (each.path.steps, each.id)
                )
        return tuple(newest[child] for child in sorted(newest))

    def recover(self, child: int, at: datetime, *, depth: int | None = None) -> Handover:
        """Answer the theft or loss of a child: its next branch. Everything that it had before is out of use.

        Args:
            child: Which.
            at: Now, aware.
            depth: Levels of places that it may have below it; by default as many as before.

        Raises:
            SpentError: The place has no further branch.
            MisuseError: There is no such child, it was removed for good, somebody else's keys are there, or
                this place may not have so many levels below it.
            NotLivingError: This branch is out of use.
        """
        registers = self._chain.registers
        said = registers.revocations(self.path, child)
        if child not in registers.children(self.path):
            raise MisuseError(f"{self.path} has no child {child}")
        if any(each.body.scope is Scope.PLACE for each in said):
            raise MisuseError(f"child {child} was removed for good; make a new place")
        statements: list[Statement] = []
        while True:
            birth, branch = self._next_branch(child, depth, at)
            statements.append(birth)
            # An ancestor may have revoked later branches in advance; then the next one follows at once.
            if branch_verdict(registers, branch.path).living:
                break
        first = Author(self._chain, branch).rekey(at)
        return Handover((*statements, first.statement), branch, first.secret)

    def revoke(
        self,
        target: Path,
        scope: Scope,
        at: datetime,
        *,
        epoch: int = 0,
        reason: Reason = Reason.UNSPECIFIED,
        recovery: CheckedRecovery | None = None,
    ) -> Statement:
        """Take keys of a descendant, or of this branch, out of use, for good.

        Args:
            target: Whose.
            scope: How much: see :class:`Scope`.
            at: Now, aware.
            epoch: With Scope.EPOCHS the last one that is taken away.
            reason: For people.
            recovery: That the root is at hand; needed if no key would be left in use.

        Raises:
            LastKeyError: No key would be left in use, and ``recovery`` is missing or of another cluster.
            NotLivingError: This branch is out of use.
            MisuseError: The target is no descendant, or is this branch and the scope its whole place.
        """
        body = Revoke(target, scope, epoch, reason)
        if self._takes_the_last_key(body) and not self._is_recoverable(recovery):
            raise LastKeyError("this would take the last key out of use; show first that the root is at hand")
        return self._issue(body, at)

    def checkpoint(self, at: datetime) -> Statement:
        """Say what this branch has seen, so that nobody can keep it back unnoticed."""
        return self._issue(Checkpoint(self._chain.heads(CHECKPOINT_HEADS_MAX)), at)

    def leave(
        self, successor: Genesis, new_root: BranchSecret, at: datetime, *, recovery: CheckedRecovery
    ) -> Statement:
        """Close this chain for another root's: the last word of the root.

        It can be said of a chain that is closed already, lest a thief's word be the last one.

        Args:
            successor: The new chain's beginning.
            new_root: The new root, which signs as well.
            at: Now, aware.
            recovery: That the *new* root's words were checked: after this, nothing else is left.

        Raises:
            LastKeyError: ``recovery`` is not the new cluster's.
            WrongRootError: ``new_root`` is not the new chain's root.
            MisuseError: This branch is no root, or the genesis committed to another successor.
        """
        if recovery.cluster != successor.cluster:
            raise LastKeyError("check the new root's words or shares before the old root is left")
        if new_root.public != successor.root:
            raise WrongRootError("the new chain has another root")
        body = Transition(successor.cluster, successor.root)
        return self._issue(body, at, new_root.key, although_closed=True)

    def _rekey(self, secret: EpochSecret, at: datetime) -> Statement:
        signing = secret.signing()
        body = Rekey(secret.epoch, signing.peer_id, secret.encryption().public)
        return self._issue(body, at, signing)

    def _issue(
        self, body: Body, at: datetime, introduced: Signer | None = None, *, although_closed: bool = False
    ) -> Statement:
        self._require_use(although_closed=although_closed)
        heads = sorted(self._chain.strand_heads(self._birth.id), key=lambda each: -each.sequence)
        previous = heads[:STATEMENT_PREVIOUS_MAX]
        statement = Statement.issue(
            self._secret.key,
            body,
            cluster=self._chain.cluster,
            issuer=self._birth.id,
            sequence=max((each.sequence + 1 for each in previous), default=0),
            previous=[each.id for each in previous],
            issued_at=at,
            introduced=introduced,
        )
        try:
            self._chain.add(statement)
        except StatementError as error:  # Our caller's wish, not a peer's word, broke the rule.
            raise MisuseError(str(error)) from error
        return statement

    def _next_branch(self, child: int, depth: int | None, at: datetime) -> tuple[Statement, BranchSecret]:
        """Show the branch that was committed to, and commit to the one after it."""
        newest = self._chain.registers.children(self.path)[child]
        if newest + 1 >= KEY_BRANCHES_MAX:
            raise SpentError(f"{self.path} gave child {child} its last branch; make a new place for it")
        committed = self._secret.commitment(child, newest + 1)
        births = self._chain.registers.births_at(self.path.child(child, newest))
        before = [birth for birth in births if birth.next == committed]
        if not before:
            raise MisuseError(f"child {child} was made with keys that this branch does not derive; remove it")
        first = min(before, key=_most_able)
        branch = self._secret.child(child, newest + 1)
        following = self._secret.commitment(child, newest + 2)
        body = Recover(first.id, branch.public, following, first.depth if depth is None else depth)
        return self._issue(body, at, branch.key), branch

    def _require_use(self, *, although_closed: bool = False) -> None:
        verdict = branch_verdict(self._chain.registers, self.path)
        if not verdict.living and not (although_closed and verdict.status is Status.CLOSED):
            raise NotLivingError(f"{self.path} cannot speak: {verdict.path} {verdict.status}")

    def _free_child(self) -> int:
        """The least number that no branch of this place gave; failing that, that this one did not give."""
        registers = self._chain.registers
        former = {birth.path.steps[-1].child for birth in self._former_births()}
        free = [
            number
            for number in range(KEY_CHILDREN_MAX)
            if number not in registers.children(self.path) and not registers.revocations(self.path, number)
        ]
        if not free:
            raise SpentError(f"{self.path} has no number left for a further place")
        return min(free, key=lambda number: (number in former, number))

    def _former_births(self) -> list[Birth]:
        """The births of children that other branches of this place gave."""
        return [
            birth
            for birth in self._chain.registers.births()
            if birth.path.steps
            and birth.path.parent.place == self.path.place
            and birth.path.parent != self.path
        ]

    def _is_recoverable(self, recovery: CheckedRecovery | None) -> bool:
        return recovery is not None and recovery.cluster == self._chain.cluster

    def _takes_the_last_key(self, body: Revoke) -> bool:
        """Whether some place speaks now and none would after ``body`` (the root does not count)."""
        speakers = [
            (standing.path, standing.epoch)
            for standing in Standing(self._chain).speakers()
            if standing.path is not None and standing.epoch is not None
        ]
        return bool(speakers) and all(_hits(body, path, epoch) for path, epoch in speakers)


def _most_able(birth: Birth) -> tuple[int, StatementId]:
    """Order of births of one branch that was given twice: the one that may have most below it comes first."""
    return (-birth.depth, birth.id)


def _hits(body: Revoke, path: Path, epoch: int) -> bool:
    """Whether a revocation takes this epoch of this branch out of use, itself or with an ancestor."""
    target = body.target
    depth = len(target.steps)
    if len(path.steps) < depth or path.steps[: depth - 1] != target.parent.steps:
        return False
    if path.steps[depth - 1].child != target.steps[-1].child:
        return False
    reached = epoch if len(path.steps) == depth else KEY_EPOCHS_MAX
    return (path.steps[depth - 1].branch, reached) <= body.through
