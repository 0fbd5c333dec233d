"""What a chain's statements add up to, by place: who was born, which epochs there were, what was revoked.

Every register only grows, and none depends on the order in which statements came: two nodes with the same
statements have the same registers. What they mean is decided in ``kontinuum.keys.verdicts``.

Trust:    statements were verified (``kontinuum.keys.verification``) before they are recorded.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.keys.bodies import Checkpoint, Delegate, Recover, Rekey, Revoke, StatementId, Transition
from kontinuum.keys.paths import Path
from kontinuum.wire.limits import KEY_DEPTH_MAX

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import Genesis
    from kontinuum.keys.public_keys import BranchPublicKey, Commitment
    from kontinuum.keys.statements import Statement
    from kontinuum.keys.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Birth:
    """How a branch came to be: by the genesis, a delegation or a recovery."""

    id: StatementId
    """The statement's id, by which the branch's own statements name their issuer; the cluster's id for the
    root.
    """

    path: Path
    """Which branch."""

    key: BranchPublicKey
    """What its statements are checked with."""

    next: Commitment | None
    """The key of the branch that may follow it; None for the root."""

    depth: int
    """Levels of places that it may have below it."""

    label: str
    """What people call the place; empty for the root."""

    statement: Statement | None
    """None for the root."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation, with who made it."""

    issuer: Path
    """Which branch said so: an ancestor of what is revoked, or that branch itself."""

    body: Revoke
    """What it says."""

    statement: Statement
    """The whole of it."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A rekeying, with whose it is."""

    path: Path
    """Which branch."""

    body: Rekey
    """The epoch and its keys."""

    statement: Statement
    """The whole of it."""


class Registers:
    """The registers of one chain. :meth:`record` fills them; everything else only reads.

    Args:
        genesis: Where the chain begins.
    """

    def __init__(self, genesis: Genesis) -> None:
        self._root = Birth(StatementId(genesis.cluster), Path(), genesis.root, None, KEY_DEPTH_MAX, "", None)
        self.clear()

    def clear(self) -> None:
        """Begin anew with the genesis. Whoever holds this object sees the new state, not the old one."""
        root = self._root
        self._births: dict[StatementId, Birth] = {root.id: root}
        self._at: dict[Path, list[Birth]] = {root.path: [root]}
        self._branches: dict[Path, dict[int, int]] = {}
        self._paths: dict[BranchPublicKey, list[Path]] = {root.key: [root.path]}
        self._epochs: dict[Path, dict[int, list[Declaration]]] = {}
        self._repeated: dict[Path, list[int]] = {}
        self._uses: dict[PeerId, list[Declaration]] = {}
        self._revocations: dict[tuple[Path, int], list[Revocation]] = {}
        self._checkpoints: dict[StatementId, tuple[Path, Checkpoint, Statement]] = {}
        self.transitions: list[Statement] = []
        """Transitions of the root; more than one successor means that the root is in two hands."""
        self.judged: dict[tuple[Path, int], Verdict] = {}
        """What ``kontinuum.keys.verdicts`` found, kept until the next statement: a chain that a thief fills
        with repetitions would make it look for them each time."""

    def birth(self, statement_id: StatementId) -> Birth | None:
        """The branch that a statement made, if it made one."""
        return self._births.get(statement_id)

    def births_at(self, path: Path) -> list[Birth]:
        """All statements that made this branch: one, unless its parent spoke twice."""
        return self._at.get(path, [])

    def is_branch_key(self, key: bytes) -> bool:
        """Whether some branch has this key."""
        return key in self._paths

    def paths_of(self, key: BranchPublicKey) -> list[Path]:
        """The branches that have this key: one at most, unless somebody cheats."""
        return self._paths.get(key, [])

    def children(self, parent: Path) -> dict[int, int]:
        """The newest branch of each child that this branch ever had, by the child's number."""
        return self._branches.get(parent, {})

    def epochs(self, path: Path) -> dict[int, list[Declaration]]:
        """The rekeyings of a branch, by epoch; several of one epoch should say the same."""
        return self._epochs.get(path, {})

    def repeated_epochs(self, path: Path) -> list[int]:
        """The epochs that a branch declared more than once."""
        return self._repeated.get(path, [])

    def uses(self, key: PeerId) -> list[Declaration]:
        """Where a key speaks or spoke: one branch and epoch at most, unless somebody cheats."""
        return self._uses.get(key, [])

    def revocations(self, parent: Path, child: int) -> list[Revocation]:
        """Every revocation that is about this child's branches or epochs."""
        return self._revocations.get((parent, child), [])

    def checkpoints(self) -> list[tuple[Path, Checkpoint]]:
        """The latest checkpoint of each issuer, with his branch."""
        return [(path, body) for path, body, _ in self._checkpoints.values()]

    def births(self) -> list[Birth]:
        """Every branch that ever was, parents before their children."""
        return list(self._births.values())

    def speakers(self) -> list[PeerId]:
        """Every key that ever spoke."""
        return list(self._uses)

    def record(self, statement: Statement, issuer: Birth) -> None:
        """Take a verified statement in."""
        self.judged.clear()
        match statement.body:
            case Delegate(child=child, key=key, next=following, depth=depth, label=label):
                path = issuer.path.child(child)
                self._bear(Birth(statement.id, path, key, following, depth, label, statement))
            case Recover(after=after, key=key, next=following, depth=depth):
                before = self._births[after]
                child, branch = before.path.steps[-1]
                path = issuer.path.child(child, branch + 1)
                self._bear(Birth(statement.id, path, key, following, depth, before.label, statement))
            case Rekey(epoch=epoch, signing=signing) as body:
                declaration = Declaration(issuer.path, body, statement)
                declared = self._epochs.setdefault(issuer.path, {}).setdefault(epoch, [])
                declared.append(declaration)
                if len(declared) == 2:
                    self._repeated.setdefault(issuer.path, []).append(epoch)
                self._uses.setdefault(signing, []).append(declaration)
            case Revoke(target=target) as body:
                slot = (target.parent, target.steps[-1].child)
                revocation = Revocation(issuer.path, body, statement)
                self._revocations.setdefault(slot, []).append(revocation)
            case Checkpoint() as body:
                latest = self._checkpoints.get(issuer.id)
                if latest is None or _order(latest[2]) < _order(statement):
                    self._checkpoints[issuer.id] = (issuer.path, body, statement)
            case Transition():
                self.transitions.append(statement)
            case _:
                pass

    def _bear(self, birth: Birth) -> None:
        self._births[birth.id] = birth
        self._at.setdefault(birth.path, []).append(birth)
        paths = self._paths.setdefault(birth.key, [])
        if birth.path not in paths:
            paths.append(birth.path)
        children = self._branches.setdefault(birth.path.parent, {})
        child, branch = birth.path.steps[-1]
        children[child] = max(branch, children.get(child, 0))


def _order(statement: Statement) -> tuple[int, StatementId]:
    """A total order of one issuer's statements that does not depend on which came first to us."""
    return (statement.sequence, statement.id)
