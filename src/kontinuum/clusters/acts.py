"""What a person does to a cluster: begin it, add, remove and restore nodes, give orders, replace the root.

Each act makes statements in a chain that is in memory, and returns what to keep and whom to give what;
nothing is written or sent here. The rules are those of ``kontinuum.keys.author``; here is what several of
them make together, and who may do it: any ancestor, for it can make its descendants' secrets.

Bounds:   those of chains.
Trust:    the chain was merged with what peers know before.
Secrets:  what is returned for a node is for that node only.
Pure:     no I/O, clock or randomness; the time of day is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.clusters.errors import UnknownNameError, WrongParentError
from kontinuum.clusters.handover import Handover
from kontinuum.clusters.names import HOME, checked_label, named_place
from kontinuum.identity import PeerId
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.backup.roots import seed_of
from kontinuum.keys.bodies import Reason, Scope
from kontinuum.keys.derivation import BranchSecret, EpochSecret
from kontinuum.keys.errors import NotLivingError, UnknownKeyError, WrongRootError
from kontinuum.keys.orders import Order
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.keys.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from kontinuum.clusters.trust import TrustEntry
    from kontinuum.keys.backup.roots import WrittenRoot
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.genesis import Genesis
    from kontinuum.keys.keystore import StoredSecret
    from kontinuum.keys.paths import Path, Place
    from kontinuum.keys.statements import Statement


@dataclass(frozen=True, slots=True)
class Made:
    """What an act made for a node."""

    statements: tuple[Statement, ...]
    """What to publish."""

    handover: Handover
    """For the node alone."""


def root_branch(genesis: Genesis, root: WrittenRoot) -> tuple[BranchSecret, CheckedRecovery]:
    """The branch of a cluster's root, and the proof that it is at hand.

    Raises:
        WrongRootError: It is another cluster's root.
    """
    seed = seed_of(root)
    checked = CheckedRecovery(genesis, seed)
    return seed.cluster(checked.number), checked


def branch_of(chain: Chain, secret: StoredSecret) -> tuple[BranchSecret, CheckedRecovery | None]:
    """The branch of this cluster that a stored secret speaks for; with a root, the proof that it is at hand.

    Raises:
        WrongParentError: It speaks for none.
    """
    if isinstance(secret, EpochSecret):
        raise WrongParentError(
            "the secret of an epoch makes no statements about keys; name a branch or a root"
        )
    if isinstance(secret, BranchSecret):
        if not any(birth.key == secret.public for birth in chain.registers.births_at(secret.path)):
            raise WrongParentError(f"this secret of {secret.path} is of another cluster than ours")
        return secret, None
    try:
        return root_branch(chain.genesis, secret)
    except WrongRootError:
        raise WrongParentError("this root is not the root of this cluster") from None


def place_of(chain: Chain, who: str) -> Place:
    """The place that a person means: ``/1``, a label, or a key that it has or had.

    Raises:
        UnknownNameError: Nobody is meant.
        AmbiguousNameError: Several have that label.
    """
    try:
        return Standing(chain).of_key(PeerId.parse(who)).path.place
    except UnknownKeyError:
        raise UnknownNameError(who, "no node of this cluster has or had this key") from None
    except PeerError:
        found = named_place(chain, who, HOME, who.removeprefix(f"{HOME}:"))
    if found.path is None:
        raise UnknownNameError(who, "nobody was ever there")
    return found.place


def path_of(chain: Chain, who: str) -> Path:
    """The newest branch of the place that a person means.

    Raises:
        As :func:`place_of`.
    """
    found = Standing(chain).newest_path(place_of(chain, who))
    if found is None:
        raise UnknownNameError(who, "the branch above it is new, and has nobody there")
    return found


def begin_cluster(
    root: WrittenRoot, at: datetime, *, number: int = 0, label: str = "", depth: int = 0
) -> Made:
    """The chain of a root, with its first node.

    Args:
        root: It; it goes back to where it is kept.
        at: Now, aware.
        number: Which of the root's clusters.
        label: What people call the node.
        depth: Levels of places that the node may have below it.
    """
    branch = seed_of(root).cluster(number)
    chain = found_chain(branch)
    return add_node(chain, branch, at, label=label, depth=depth)


def add_node(
    chain: Chain,
    parent: BranchSecret,
    at: datetime,
    *,
    label: str = "",
    depth: int = 0,
    trust: Sequence[TrustEntry] = (),
    contacts: Sequence[str] = (),
) -> Made:
    """A new place right below a parent.

    Raises:
        WrongParentError: The parent may have none below it.
        BadNameError: The label cannot be one, or is another node's.
        SpentError, NotLivingError, MisuseError: See :meth:`Author.delegate`.
    """
    births = chain.registers.births_at(parent.path)
    if births and not any(birth.depth for birth in births):
        raise WrongParentError(f"{parent.path} may have no nodes below it")
    made = Author(chain, parent).delegate(at, label=checked_label(chain, label), depth=depth)
    handover = Handover(chain, made.branch, made.epoch, tuple(trust), tuple(contacts))
    return Made(made.statements, handover)


def recover_node(
    chain: Chain,
    ancestor: BranchSecret,
    target: Path,
    at: datetime,
    *,
    trust: Sequence[TrustEntry] = (),
    contacts: Sequence[str] = (),
) -> Made:
    """A new branch for a place; what it had before is out of use.

    Args:
        chain: The cluster's.
        ancestor: The place's parent, or anybody above, who can make the parent's secret.
        target: The place's newest branch.
        at: Now, aware.
        trust: Whom the cluster trusts.
        contacts: Whom the node meets first.

    Raises:
        WrongParentError: The ancestor is none.
        SpentError, NotLivingError, MisuseError: See :meth:`Author.recover`.
    """
    parent = _parent(ancestor, target)
    made = Author(chain, parent).recover(target.steps[-1].child, at)
    former = tuple(_former_epochs(chain, parent, made.branch.path))
    handover = Handover(chain, made.branch, made.epoch, tuple(trust), tuple(contacts), former=former)
    return Made(made.statements, handover)


def _former_epochs(chain: Chain, parent: BranchSecret, path: Path) -> Iterator[EpochSecret]:
    """What a place had before its newest branch, newest first: what it sealed shall open again."""
    child, newest = path.steps[-1]
    for number in reversed(range(newest)):
        branch = parent.child(child, number)
        for epoch in sorted(chain.registers.epochs(branch.path), reverse=True):
            yield branch.epoch(epoch)


def revoke_node(
    chain: Chain,
    ancestor: BranchSecret,
    target: Path,
    scope: Scope,
    at: datetime,
    *,
    reason: Reason = Reason.UNSPECIFIED,
    recovery: CheckedRecovery | None = None,
) -> Statement:
    """Take a node's keys out of use: its epochs until now, its branch, or its whole place.

    Whoever said it before does not say it again: what was said then is returned.

    Raises:
        WrongParentError: The ancestor is none, nor the branch itself.
        LastKeyError: No key would be left in use, and nobody showed that the root is at hand.
        NotLivingError, MisuseError: See :meth:`Author.revoke`.
    """
    if ancestor.path != target and not ancestor.path.is_above(target):
        raise WrongParentError(f"{ancestor.path} is not above {target}, and cannot take its keys out of use")
    newest = max(chain.registers.epochs(target), default=0)
    epoch = newest if scope is Scope.EPOCHS else 0
    for said in chain.registers.revocations(target.parent, target.steps[-1].child):
        same = said.issuer == ancestor.path and said.body.target == target and said.body.scope is scope
        if same and said.body.epoch >= epoch:
            return said.statement
    return Author(chain, ancestor).revoke(target, scope, at, epoch=epoch, reason=reason, recovery=recovery)


def order_rekey(
    chain: Chain, ancestor: BranchSecret, target: Path, at: datetime, *, reason: Reason = Reason.UNSPECIFIED
) -> Order:
    """Order a descendant to leave its newest epoch.

    Raises:
        WrongParentError: The ancestor is none.
        NotLivingError: The target's branch is out of use, and makes no further key.
        MisuseError: The target has no epoch.
    """
    if not ancestor.path.is_above(target):
        raise WrongParentError(f"{ancestor.path} is not above {target}, and cannot give it orders")
    verdict = Standing(chain).of_branch(target)
    if not verdict.living:
        raise NotLivingError(f"{target} cannot rekey any more: {verdict.path} {verdict.status}")
    return Order.issue(chain, ancestor, target, sequence=int(at.timestamp() * 1000), at=at, reason=reason)


def _parent(ancestor: BranchSecret, target: Path) -> BranchSecret:
    if not target.steps:
        raise MisuseError("the root has no parent; see: kontinuum cluster rekey --new-root")
    return _descendant(ancestor, target.parent)


def _descendant(ancestor: BranchSecret, path: Path) -> BranchSecret:
    try:
        return ancestor.descendant(path)
    except MisuseError:
        raise WrongParentError(f"{ancestor.path} is not above {path}, and cannot speak for it") from None
