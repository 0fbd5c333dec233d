"""The key chain: an append-only log of statements about keys, hash-linked to its root.

Anybody who holds the statements and knows the root's key (or the cluster's id, which pins it) can check all
of it, without a server, a clock or another person. Each issuer's statements form a strand: numbered, each
naming the hashes of those before it. Strands hang on the statement that made their issuer's branch, and so
all hang on the genesis.

A chain is a set that only grows: whatever the order in which statements and other chains come in, the result
is the same. Nodes that were apart, or slept, send each other what the other lacks, and agree again.

Source:   our own format, docs/protocols/key-chain.md; the reasons: ADR 0050.
Bounds:   ``kontinuum.keys.room``.
Trust:    statements are hostile until :meth:`Chain.add` took them.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError, UnavailableError
from kontinuum.keys.bodies import Recover, Revoke, StatementId
from kontinuum.keys.errors import ChainFullError, MissingStatementsError
from kontinuum.keys.paths import Path
from kontinuum.keys.registers import Registers
from kontinuum.keys.room import Room, always_fits, without_the_dead
from kontinuum.keys.turns import in_turns
from kontinuum.keys.verdicts import branch_verdict
from kontinuum.keys.verification import links, verify_statement
from kontinuum.wire.limits import CHAIN_BUNDLE_STATEMENTS_MAX, CHAIN_HEADS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kontinuum.keys.genesis import ClusterId, Genesis
    from kontinuum.keys.registers import Birth
    from kontinuum.keys.statements import Statement


@dataclass(slots=True)
class Merged:
    """What became of statements that were merged."""

    added: list[Statement] = field(default_factory=list)
    """New ones, in an order in which another chain can take them."""

    missing: tuple[StatementId, ...] = ()
    """What others of them build on and is not here, sorted: ask for it."""

    refused: list[tuple[Statement, PeerError | UnavailableError]] = field(default_factory=list)
    """Those that do not belong into the chain, find no room, or build on such a one; and why."""


class Chain:
    """The statements of one cluster. :meth:`add` and :meth:`merge` let it grow; everything else reads.

    Args:
        genesis: Where it begins.
    """

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self._registers = Registers(genesis)
        self._clear()

    @property
    def cluster(self) -> ClusterId:
        """Whose chain it is."""
        return self.genesis.cluster

    @property
    def registers(self) -> Registers:
        """What the statements add up to; to read only."""
        return self._registers

    def __len__(self) -> int:
        return len(self._statements)

    def __contains__(self, statement_id: StatementId) -> bool:
        return statement_id in self._statements

    def __iter__(self) -> Iterator[Statement]:
        """All statements, each after those that it builds on."""
        return iter(list(self._statements.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chain):
            return NotImplemented
        return self.genesis == other.genesis and self._statements.keys() == other._statements.keys()

    __hash__ = None  # type: ignore[assignment]  # It changes.

    def copy(self) -> Chain:
        """Another chain with the same statements; the two then go their own ways."""
        other = Chain(self.genesis)
        other.merge(self)
        return other

    def statement(self, statement_id: StatementId) -> Statement | None:
        """The statement with this id."""
        return self._statements.get(statement_id)

    def add(self, statement: Statement) -> bool:
        """Take a statement in, after checking every rule.

        Returns:
            Whether it is new; one that is here already changes nothing.

        Raises:
            MissingStatementsError: It builds on statements that are not here.
            StatementError: It does not belong into this chain.
            BadSignatureError: A signature does not fit.
            ChainFullError: There is no room for it.
        """
        if statement.id in self._statements:
            return False
        issuer = verify_statement(statement, self.genesis, self._statements, self._registers)
        if not self._has_room(issuer) and not always_fits(statement, issuer, self._registers):
            raise ChainFullError(f"no room for a further statement of {issuer.path}")
        self._take(statement, issuer)
        return True

    def merge(self, statements: Iterable[Statement]) -> Merged:
        """Take many statements in, in any order; ``merge(other)`` with another chain takes all of its.

        One that is refused hinders only those that build on it.
        """
        merged = Merged()
        waiting: dict[StatementId, list[Statement]] = {}
        refused: dict[StatementId, None] = {}
        for first in statements:
            ready = [first]
            while ready:
                statement = ready.pop()
                try:
                    if self.add(statement):
                        merged.added.append(statement)
                except (PeerError, UnavailableError) as error:
                    if isinstance(error, MissingStatementsError) and error.missing[0] not in refused:
                        waiting.setdefault(StatementId(error.missing[0]), []).append(statement)
                        continue
                    merged.refused.append((statement, error))
                    refused[statement.id] = None
                ready.extend(reversed(waiting.pop(statement.id, [])))
        merged.missing = tuple(sorted(waiting))
        return merged

    def heads(self, heads_max: int = CHAIN_HEADS_MAX) -> tuple[StatementId, ...]:
        """The last statement of each strand, sorted: they stand for everything that is here.

        Of more than ``heads_max`` some are left out, those of the highest branches last.
        """
        if len(self._heads) <= heads_max:
            return tuple(sorted(self._heads))
        ranked = in_turns((self._statements[head] for head in self._heads), self._registers)
        return tuple(sorted(statement.id for statement in ranked[:heads_max]))

    def missing_since(
        self, heads: Iterable[StatementId], statements_max: int = CHAIN_BUNDLE_STATEMENTS_MAX
    ) -> tuple[Statement, ...]:
        """What somebody with these heads lacks, in an order in which he can take it.

        Heads that are not here are passed over: there, he has more than we do. Of more than
        ``statements_max`` the first ones are returned (``kontinuum.keys.turns`` says which); with them he has
        new heads, and asks again as long as something new comes.
        """
        known = self._builds_on(head for head in heads if head in self._statements)
        lacking = [statement for statement in self._statements.values() if statement.id not in known]
        return tuple(in_turns(lacking, self._registers)[:statements_max])

    def foundation(self, statements: Iterable[StatementId]) -> tuple[Statement, ...]:
        """These statements and everything that they build on: enough to check them without the rest.

        Ids that are not here are passed over. In an order in which another chain can take them.
        """
        wanted = self._builds_on(each for each in statements if each in self._statements)
        return tuple(each for each in self._statements.values() if each.id in wanted)

    def wanted(self) -> tuple[StatementId, ...]:
        """Statements that a checkpoint names and that are not here, sorted: somebody keeps them back.

        Only the latest checkpoint of each issuer counts, and none of a branch that is out of use.
        """
        wanted: dict[StatementId, None] = {}
        for path, checkpoint in self._registers.checkpoints():
            if branch_verdict(self._registers, path).living:
                wanted |= dict.fromkeys(head for head in checkpoint.heads if head not in self._statements)
        return tuple(sorted(wanted))

    def strand(self, birth: StatementId) -> tuple[Statement, ...]:
        """The statements of the branch that ``birth`` made, each after those that it follows."""
        return tuple(each for each in self._statements.values() if each.issuer == birth)

    def strand_heads(self, birth: StatementId) -> tuple[Statement, ...]:
        """The last ones of them, which its next statement follows; several after it spoke in two places."""
        heads = (self._statements[head] for head in self._heads)
        return tuple(sorted((each for each in heads if each.issuer == birth), key=lambda each: each.id))

    def _clear(self) -> None:
        self._statements: dict[StatementId, Statement] = {}
        self._heads: dict[StatementId, None] = {}
        self._registers.clear()
        self._room = Room()
        self._something_died = False

    def _take(self, statement: Statement, issuer: Birth) -> None:
        self._statements[statement.id] = statement
        for link in statement.previous:
            self._heads.pop(link, None)
        self._heads[statement.id] = None
        self._registers.record(statement, issuer)
        self._room.count(issuer.path, len(statement.encode()))
        self._something_died |= isinstance(statement.body, Revoke | Recover)

    def _has_room(self, issuer: Birth) -> bool:
        subtrees = len(self._registers.children(Path()))
        if self._room.has_place_for(issuer.path, subtrees):
            return True
        if not self._something_died:  # Looking for the dead takes time: a flood shall not make us do it.
            return False
        self._drop_the_dead()
        return self._room.has_place_for(issuer.path, subtrees)

    def _drop_the_dead(self) -> None:
        kept = without_the_dead(self._statements, self._registers, self.genesis)
        self._clear()
        for statement in kept.values():
            issuer = self._registers.birth(statement.issuer)
            if issuer is None:
                raise AssertionError("what is kept includes what it builds on")
            self._take(statement, issuer)
        self._something_died = False

    def _builds_on(self, heads: Iterable[StatementId]) -> dict[StatementId, None]:
        """The heads and everything that they build on, directly or not."""
        found: dict[StatementId, None] = {}
        waiting = list(heads)
        while waiting:
            statement_id = waiting.pop()
            if statement_id in found:
                continue
            found[statement_id] = None
            waiting.extend(links(self._statements[statement_id], self.genesis))
        return found
