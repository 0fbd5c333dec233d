"""What a parent checks and nobody else can: that its descendants' keys are the ones that it can derive.

The public sees that a branch's key signed an epoch, not how the epoch's keys were made. A descendant whose
program cheats could declare keys of its own making, and its ancestors could not open what is encrypted to
them. An ancestor finds that out by deriving, and answers with a revocation.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.keys.verdicts import branch_verdict

if TYPE_CHECKING:
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret
    from kontinuum.keys.paths import Path
    from kontinuum.keys.statements import Statement


@dataclass(frozen=True, slots=True)
class Underived:
    """A statement that names keys which do not derive from the ancestor's secret."""

    path: Path
    """Whose keys."""

    statement: Statement
    """The statement that names them."""


def audit(chain: Chain, ancestor: BranchSecret) -> tuple[Underived, ...]:
    """What was said of keys of ``ancestor`` and its descendants in use that its secret does not derive."""
    registers = chain.registers
    paths = dict.fromkeys(birth.path for birth in registers.births())
    found: list[Underived] = []
    for path in paths:
        related = path == ancestor.path or ancestor.path.is_above(path)
        if not related or not branch_verdict(registers, path).living:
            continue
        branch = ancestor.descendant(path)
        found += [
            Underived(path, birth.statement)
            for birth in registers.births_at(path)
            if birth.key != branch.public and birth.statement is not None
        ]
        for epoch, declarations in registers.epochs(path).items():
            secret = branch.epoch(epoch)
            derived = (secret.signing().peer_id, secret.encryption().public)
            found += [
                Underived(path, each.statement)
                for each in declarations
                if (each.body.signing, each.body.encryption) != derived
            ]
    return tuple(found)
