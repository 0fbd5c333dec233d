"""Replace a cluster's root: a new chain with the same places, and the old root's last word.

Every node in use gets a branch of the same place, label and depth under the new root. The old root then names
the new one, both sign, and everybody who knew the cluster decides whether to follow. The new cluster trusts
the old one, so that whoever is called by an old key is found.

What was begun and not finished is begun where it was: hand in the chain that was kept.

Bounds:   those of chains.
Trust:    the old chain was merged with what peers know before.
Secrets:  each handover is for its node only.
Pure:     no I/O, clock or randomness; the time of day is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.clusters.acts import root_branch
from kontinuum.clusters.book import Book
from kontinuum.clusters.handover import Handover
from kontinuum.clusters.trust import How, TrustEntry, TrustList
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.backup.roots import seed_of
from kontinuum.keys.chain import Chain
from kontinuum.keys.standing import Standing
from kontinuum.keys.transition import successor, verify_succession

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from kontinuum.clusters.members import Trusted
    from kontinuum.keys.backup.roots import WrittenRoot
    from kontinuum.keys.derivation import BranchSecret
    from kontinuum.keys.paths import Place
    from kontinuum.keys.statements import Statement

FORMER_NAME = "before"
"""What a cluster calls the one that it was under its old root."""


@dataclass(frozen=True, slots=True)
class NewRoot:
    """A cluster under another root."""

    chain: Chain
    """The new one."""

    succession: tuple[Statement, ...]
    """The old root's last word, and what it builds on: to publish, when every node has its handover."""

    handovers: Mapping[Place, Handover]
    """For each node, in order."""


def replace_root(
    old: Chain,
    old_root: WrittenRoot,
    new_root: WrittenRoot,
    at: datetime,
    trusted: Sequence[Trusted] = (),
    *,
    begun: Chain | None = None,
    number: int = 0,
    contacts: Sequence[str] = (),
) -> NewRoot:
    """Make the new chain, every node's handover, and the transition; the old chain is closed afterwards.

    Args:
        old: The cluster's chain; the transition is added to it.
        old_root: Its root.
        new_root: The next one. Its words were checked, or it is not safe to go on.
        at: Now, aware.
        trusted: Whom the cluster trusts.
        begun: What an earlier attempt kept of the new chain.
        number: Which of the new root's clusters it becomes.
        contacts: Whom the nodes meet first.

    Raises:
        WrongRootError: ``old_root`` is another cluster's, or ``begun`` another root's.
        MisuseError: Both roots are the same, or the old one is committed to another successor.
        WrongClusterError, ForkedSuccessionError: The old root left already, for another one.
    """
    before, _ = root_branch(old.genesis, old_root)
    after = seed_of(new_root).cluster(number)
    if after.public == before.public:
        raise MisuseError("the new root is the old one; make another: kontinuum keys new-root")
    chain = begun if begun is not None else found_chain(after)
    _, recovery = root_branch(chain.genesis, new_root)
    if begun is None and any(each.cluster == chain.cluster for each in trusted):
        raise MisuseError("the new root is that of another cluster, which we trust; make another root")
    named = successor(old)
    if named is None:
        places = _give_places(old, chain, after, at)
        Author(old, before).leave(chain.genesis, after, at, recovery=recovery)
    else:
        verify_succession(old, chain.genesis)
        places = _given_places(chain, after)
    succession = old.foundation(statement.id for statement in old.registers.transitions)
    trust = _trust_again(old, chain, trusted, places, at)
    handovers = {
        place: Handover(chain, branch, branch.epoch(epoch), trust, tuple(contacts), succession)
        for place, (branch, epoch) in places.items()
    }
    return NewRoot(chain, succession, handovers)


def follow_root(old: Chain, succession: Sequence[Statement], new: Chain) -> list[Statement]:
    """Check that a handover's cluster is where the old root went. The old chain stays as it is.

    Returns:
        What is new to the old chain: for whoever feeds it, so that everybody hears of it.

    Raises:
        WrongClusterError: The old root did not leave for it.
        ForkedSuccessionError: It named several successors.
    """
    # What a fellow hands us must not slip into the chain that sessions are judged by.
    said = Chain(old.genesis)
    said.merge(old.foundation(statement.id for statement in old.registers.transitions))
    said.merge(succession)
    verify_succession(said, new.genesis)
    return [statement for statement in said if statement.id not in old]


def _give_places(
    old: Chain, chain: Chain, root: BranchSecret, at: datetime
) -> dict[Place, tuple[BranchSecret, int]]:
    """Give every node in use its place in the new chain, unless it has it; return their secrets."""
    speakers = [each.place for each in Standing(old).speakers()]
    for found in Standing(old).places():
        # Also a place that does not speak itself, if it stands between a node and the root.
        wanted = any(found.place == each or found.place.is_above(each) for each in speakers)
        parent_path = Standing(chain).newest_path(found.place.parent)
        if found.path is None or parent_path is None or not wanted:
            continue
        child = found.place.indexes[-1]
        if child not in chain.registers.children(parent_path):
            depth = max(birth.depth for birth in old.registers.births_at(found.path))
            author = Author(chain, root.descendant(parent_path))
            author.delegate(at, label=found.label, child=child, depth=depth)
    return {place: secrets for place, secrets in _given_places(chain, root).items() if place in speakers}


def _given_places(chain: Chain, root: BranchSecret) -> dict[Place, tuple[BranchSecret, int]]:
    """The secrets of every node in use."""
    return {
        found.place: (root.descendant(found.path), found.epoch)
        for found in Standing(chain).speakers()
        if found.path is not None and found.epoch is not None
    }


def _trust_again(
    old: Chain,
    chain: Chain,
    trusted: Sequence[Trusted],
    places: Mapping[Place, tuple[BranchSecret, int]],
    at: datetime,
) -> tuple[TrustEntry, ...]:
    """What the cluster trusted, said again by its first node in the new chain; and the old cluster."""
    if not places:
        return ()
    branch, epoch = next(iter(places.values()))
    signer = branch.epoch(epoch).signing()
    book = Book(chain, branch.path, TrustList())
    others = (each for each in trusted if each.cluster not in {old.cluster, chain.cluster})
    entries = book.trust_again(others, signer, at)
    entry = book.trust_entry(old.genesis, FORMER_NAME, How.TRANSITION, signer, at)
    entries += book.merge_trust([entry])
    return tuple(entries)
