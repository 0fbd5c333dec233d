"""How much a chain holds: enough for the honest, bounded for everybody, and always room for a removal.

Each place right below the root, with all below it, has a share that nobody can take from it; beyond the
shares there is a pool for all. A thief who floods his subtree fills the pool and his share; an ancestor's
removal of him always finds room, and then his statements make way.

Source:   our choice (ADR 0050); what full chains did to others: Tailscale issue 16607, where a cap blocked
          removals.
Bounds:   the constants below: at most 36,864 statements and as many KiB, besides those that
          :func:`always_fits`.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.keys.bodies import Recover, Rekey, Revoke, Scope
from kontinuum.keys.verdicts import Status, branch_verdict, epoch_verdict
from kontinuum.keys.verification import links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.identity import PeerId
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.genesis import Genesis
    from kontinuum.keys.paths import Path
    from kontinuum.keys.registers import Birth, Registers
    from kontinuum.keys.statements import Statement

CHAIN_STATEMENT_BYTES = 1024
"""Bytes of one statement in the counts below; a longer one counts as several. Our choice: honest ones have
300, checkpoints of thirty nodes 1,000. Without it a thief would fill memory with long ones, 12 times over."""

CHAIN_POOL_STATEMENTS = 16_384
"""Statements that a chain holds for whoever needs them. Our choice (ADR 0050): five nodes that rekey daily
for nine years. Full: only shares are left; statements of branches out of use make way first."""

CHAIN_SHARE_STATEMENTS = 64
"""Least statements that each place right below the root may have, with all below it, however full the pool
is; where there are fewer than 256 such places, each may have an equal part of CHAIN_POOL_STATEMENTS. Our
choice (ADR 0050). Beyond it in a full chain: ChainFullError, except for what :func:`always_fits`."""

CHAIN_ROOT_STATEMENTS = 4096
"""The same for the root's own statements. Our choice (ADR 0050)."""


class Room:
    """Counts statements by the place right below the root that they belong to."""

    def __init__(self) -> None:
        self._counts: dict[int | None, int] = {}
        self._total = 0

    def count(self, issuer: Path, length: int) -> None:
        """One more statement of this issuer, of so many bytes."""
        subtree, weight = _subtree(issuer), -(-length // CHAIN_STATEMENT_BYTES)
        self._counts[subtree] = self._counts.get(subtree, 0) + weight
        self._total += weight

    def has_place_for(self, issuer: Path, subtrees: int) -> bool:
        """Whether an ordinary statement of this issuer finds room, with so many places below the root."""
        subtree = _subtree(issuer)
        if subtree is None:
            share = CHAIN_ROOT_STATEMENTS
        else:
            share = max(CHAIN_SHARE_STATEMENTS, CHAIN_POOL_STATEMENTS // max(1, subtrees))
        return self._total < CHAIN_POOL_STATEMENTS or self._counts.get(subtree, 0) < share


def always_fits(statement: Statement, issuer: Birth, registers: Registers) -> bool:
    """Whether a statement must not be refused for want of room.

    That is what takes something out of use that nobody as high took out of use yet, and the first epoch of a
    branch, without which a new branch is no answer to a theft. Both are bounded by what was made before: keys
    that speak, branches, once for each rank above them.
    """
    match statement.body:
        case Rekey():
            return not registers.epochs(issuer.path)
        case Recover(after=after):
            before = registers.birth(after)
            return before is not None and branch_verdict(registers, before.path).living
        case Revoke(target=target, scope=Scope.EPOCHS, epoch=epoch):
            newest = max(registers.epochs(target), default=-1)
            return 0 <= newest <= epoch and epoch_verdict(registers, target, newest).living
        case Revoke(target=target, through=through):
            said = registers.revocations(target.parent, target.steps[-1].child)
            rank = len(issuer.path.steps)
            repeated = any(len(each.issuer.steps) <= rank and each.body.through >= through for each in said)
            return bool(registers.births_at(target)) and not repeated
        case _:
            return False


def without_the_dead(
    statements: Mapping[StatementId, Statement], registers: Registers, genesis: Genesis
) -> dict[StatementId, Statement]:
    """The statements of a chain, without what branches out of use said and nothing else needs.

    A branch's own words that took it out of use stay, or it would come back.
    """
    waiting: list[StatementId] = []
    speaking: dict[Path, None] = {}
    for path in dict.fromkeys(birth.path for birth in registers.births()):
        verdict = branch_verdict(registers, path)
        waiting.extend(statement.id for statement in verdict.statements)
        if verdict.living or verdict.status is Status.CLOSED:
            speaking[path] = None
    for statement in statements.values():
        issuer = registers.birth(statement.issuer)
        if issuer is not None and issuer.path in speaking:
            waiting.append(statement.id)
    for key in registers.speakers():
        waiting.extend(statement.id for statement in _reused(registers, key))
    needed: dict[StatementId, None] = {}
    while waiting:
        statement_id = waiting.pop()
        if statement_id not in needed:
            needed[statement_id] = None
            waiting.extend(links(statements[statement_id], genesis))
    return {key: statement for key, statement in statements.items() if key in needed}


def _reused(registers: Registers, key: PeerId) -> list[Statement]:
    """One use of a key that died with its branch, if the key is used elsewhere: there it must stay dead."""
    uses = registers.uses(key)
    dead = [use.statement for use in uses if not branch_verdict(registers, use.path).living]
    return [min(dead, key=lambda each: each.id)] if 0 < len(dead) < len(uses) else []


def _subtree(issuer: Path) -> int | None:
    """The place right below the root that an issuer is or belongs to; None for the root itself."""
    return issuer.steps[0].child if issuer.steps else None
