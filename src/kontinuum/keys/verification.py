"""Whether a statement belongs into a chain: the rules of docs/protocols/key-chain.md, in their order.

The rules look only at the statement, at what it says it follows, and at the births of its issuer's line.
None of them asks what else the chain holds, so that no order of arrival changes the answer: a statement is
valid or not. What a valid statement is worth beside others is for ``kontinuum.keys.verdicts``.

Trust:    the statement is hostile; the chain's statements were verified by these rules.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.keys.bodies import Delegate, Recover, Rekey, Revoke, Scope, StatementId, Transition
from kontinuum.keys.errors import (
    BadCommitmentError,
    BrokenLinkError,
    MissingStatementsError,
    OutrankedError,
    WrongClusterError,
)
from kontinuum.keys.public_keys import commit
from kontinuum.wire.limits import KEY_BRANCHES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.keys.genesis import Genesis
    from kontinuum.keys.registers import Birth, Registers
    from kontinuum.keys.statements import Statement


def links(statement: Statement, genesis: Genesis) -> tuple[StatementId, ...]:
    """The statements that this one builds on and must have been taken before it."""
    issuer = () if statement.issuer == StatementId(genesis.cluster) else (statement.issuer,)
    after = (statement.body.after,) if isinstance(statement.body, Recover) else ()
    return (*issuer, *after, *statement.previous)


def verify_statement(
    statement: Statement, genesis: Genesis, statements: Mapping[StatementId, Statement], registers: Registers
) -> Birth:
    """Check every rule.

    Args:
        statement: Any statement, untrusted.
        genesis: The chain's beginning.
        statements: What the chain holds.
        registers: The same, added up.

    Returns:
        The birth of the issuer's branch.

    Raises:
        WrongClusterError: It is of another cluster.
        MissingStatementsError: It builds on statements that are not here.
        BrokenLinkError: It does not follow what it says it follows.
        OutrankedError: Its issuer may not say this.
        BadCommitmentError: A new branch, or the root's successor, is not the one that was committed to.
        BadSignatureError: Its issuer did not sign it, or the key that it introduces did not.
    """
    if statement.cluster != genesis.cluster:
        raise WrongClusterError("a statement of another cluster")
    missing = [link for link in links(statement, genesis) if link not in statements]
    if missing:
        raise MissingStatementsError(tuple(missing))
    issuer = registers.birth(statement.issuer)
    if issuer is None:
        raise BrokenLinkError("the issuer's branch was made by a statement that makes none")
    _check_sequence(statement, statements)
    _check_body(statement, issuer, genesis, registers)
    statement.verify(issuer.key)
    return issuer


def _check_sequence(statement: Statement, statements: Mapping[StatementId, Statement]) -> None:
    previous = [statements[link] for link in statement.previous]
    if any(before.issuer != statement.issuer for before in previous):
        raise BrokenLinkError("a statement follows only statements of its own issuer")
    if statement.sequence != max((before.sequence + 1 for before in previous), default=0):
        raise BrokenLinkError("a statement's number is one more than that of the last one that it follows")


def _check_body(statement: Statement, issuer: Birth, genesis: Genesis, registers: Registers) -> None:
    match statement.body:
        case Delegate(depth=depth):
            _check_depth(depth, issuer)
        case Recover(depth=depth) as body:
            _check_depth(depth, issuer)
            _check_recovery(body, issuer, registers)
        case Rekey(signing=signing):
            if bytes(signing) == issuer.key:
                raise OutrankedError("a branch's own key is kept apart and never speaks for it on the wire")
        case Revoke() as body:
            _check_revocation(body, issuer)
        case Transition(cluster=cluster, root=root):
            if issuer.path.steps or cluster == genesis.cluster or root == genesis.root:
                raise OutrankedError("only the root leaves its chain, and for another root")
            if genesis.successor is not None and commit(root) != genesis.successor:
                raise BadCommitmentError("the new root is not the one that the genesis committed to")
        case _:
            pass


def _check_depth(depth: int, issuer: Birth) -> None:
    if depth >= issuer.depth:
        raise OutrankedError(f"{issuer.path} may have {issuer.depth} levels below it; a child has fewer")


def _check_recovery(body: Recover, issuer: Birth, registers: Registers) -> None:
    before = registers.birth(body.after)
    if before is None or not before.path.steps or before.path.parent != issuer.path:
        raise OutrankedError("a branch is followed by one that the same parent gives")
    if before.path.branch + 1 >= KEY_BRANCHES_MAX:
        raise OutrankedError(f"a place has at most {KEY_BRANCHES_MAX} branches")
    if commit(body.key) != before.next:
        raise BadCommitmentError(f"the key after {before.path} is not the one that was committed to")


def _check_revocation(body: Revoke, issuer: Birth) -> None:
    itself = issuer.path == body.target
    if not itself and not issuer.path.is_above(body.target):
        raise OutrankedError(f"{issuer.path} is no ancestor of {body.target}")
    if itself and body.scope is Scope.PLACE:
        raise OutrankedError("a branch cannot take its place from the parent that gave it")
