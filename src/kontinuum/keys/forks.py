"""Signs that a key spoke in two places: what they are, and how much each means.

A branch that spoke in two places at once leaves two ends of its strand, until it speaks again and joins
them. That happens to honest people: the root's words used on two machines, a node restored from a backup.
It is shown, and changes nothing. Two statements that contradict each other do not happen to honest people,
because honest keys derive from numbers: they prove that a secret is in two hands, and take the branch out
of use (``kontinuum.keys.verdicts``).

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kontinuum.keys.bodies import Transition
from kontinuum.keys.paths import Path
from kontinuum.keys.verdicts import contradictions

if TYPE_CHECKING:
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.statements import Statement


class ForkKind(StrEnum):
    """What two statements show."""

    TWO_ENDS = "spoke in two places at once"
    """Two statements of one branch that do not know of each other. Harmless by itself."""

    TWICE_BORN = "was given twice"
    """Two statements that make the same branch with the same key: two machines may share one place."""

    CONTRADICTION = "contradicts itself"
    """A secret is in two hands: the branch is out of use."""

    TWO_SUCCESSORS = "named two successors"
    """The root is in two hands: nobody can follow it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Two statements, and what they show. Both are signed: whoever sees them can check it."""

    kind: ForkKind
    """What."""

    path: Path
    """Whose branch."""

    statements: tuple[Statement, ...]
    """The evidence, sorted by id; one statement where the other is the genesis."""


def find_forks(chain: Chain) -> tuple[Fork, ...]:
    """Every fork of a chain, in the order of its branches; the harmless ones included."""
    registers = chain.registers
    forks: list[Fork] = []
    for path in dict.fromkeys(birth.path for birth in registers.births()):
        births = [birth for birth in registers.births_at(path) if birth.statement is not None]
        evidence = contradictions(registers, path)
        if evidence:
            forks.append(Fork(ForkKind.CONTRADICTION, path, _sorted(evidence)))
        elif len(births) > 1:
            statements = [birth.statement for birth in births if birth.statement is not None]
            forks.append(Fork(ForkKind.TWICE_BORN, path, _sorted(statements)[:2]))
        for birth in registers.births_at(path):
            ends = chain.strand_heads(birth.id)
            if len(ends) > 1:
                forks.append(Fork(ForkKind.TWO_ENDS, path, ends[:2]))
    successors: dict[object, Statement] = {}
    for statement in _sorted(registers.transitions):
        if isinstance(statement.body, Transition):
            successors.setdefault(statement.body, statement)
    if len(successors) > 1:
        forks.append(Fork(ForkKind.TWO_SUCCESSORS, Path(), tuple(successors.values())[:2]))
    return tuple(forks)


def _sorted(statements: tuple[Statement, ...] | list[Statement]) -> tuple[Statement, ...]:
    return tuple(sorted(statements, key=lambda each: each.id))
