"""In which order statements travel when not all of them fit: nobody's flood keeps others' words back.

The root's come first. Then each place right below the root, with all below it, has its turn, one statement
at a time; of its own, what is in use and higher up comes first. Whoever takes statements in this order has
at each moment what the next one builds on, for a strand hangs on higher ones only.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from itertools import zip_longest
from operator import itemgetter
from typing import TYPE_CHECKING

from kontinuum.keys.verdicts import branch_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.keys.registers import Registers
    from kontinuum.keys.statements import Statement


def in_turns(statements: Iterable[Statement], registers: Registers) -> list[Statement]:
    """Order statements of a chain, each given after those that it builds on, for sending.

    Args:
        statements: Some or all of them.
        registers: The chain's.
    """
    ordered: list[Statement] = []
    subtrees: dict[int, list[tuple[tuple[bool, int], Statement]]] = {}
    for statement in statements:
        issuer = registers.birth(statement.issuer)
        if issuer is None or not issuer.path.steps:
            ordered.append(statement)
            continue
        steps = issuer.path.steps
        rank = (not branch_verdict(registers, issuer.path).living, len(steps))
        subtrees.setdefault(steps[0].child, []).append((rank, statement))
    by_rank = itemgetter(0)
    turns = zip_longest(*(sorted(subtree, key=by_rank) for subtree in subtrees.values()))
    for turn in turns:
        ordered += [statement for _, statement in sorted(filter(None, turn), key=by_rank)]
    return ordered
