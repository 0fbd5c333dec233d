"""After the loss of all machines: a cluster's first node again, from its root and one copy of its data.

The copy may be a whole data directory, or what is left of one: with its chain, the new node gets the next
branch of the same place; without it, the chain is begun anew from the root, which gives the same cluster,
and the branches that the vault was sealed to are passed over. Run again, it does what is left.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kontinuum.cli import state
from kontinuum.cli.cluster_vaults import report, write_settings
from kontinuum.cli.clusters import NODE_OPTION, NODE_PROMPT, new_keys, stored_root, workplace
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.sealing import progress

if TYPE_CHECKING:
    from pathlib import Path

    from kontinuum.cli.clusters import Work
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.handover import Handover
    from kontinuum.keys.backup.roots import WrittenRoot
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret, EpochSecret


def recover_all(
    root: Path,
    copy: Path | None,
    directory: Path | None,
    *,
    number: int,
    sources: tuple[str, str, str],
    unprotected: bool,
) -> None:
    """Make a new data directory the cluster's first node, and seal the copied vault to its key.

    Args:
        root: The key store of the root.
        copy: What is left of a data directory.
        directory: The new one.
        number: Which of the clusters of the root, if the copy has no chain.
        sources: Of the passphrases of the node's key, its branch, and the root.
        unprotected: Keys without a passphrase.
    """
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.trust import TrustList

    with workplace(directory, create=True) as work:
        _verify_apart(work, copy)
        seed = stored_root(work, root, sources[2])
        book = _left_of(copy)
        friends = book.trusted()  # Before the root's new words take its authors' keys out of use.
        chain, branch = _chain(seed, book, number)
        vault = None if copy is None else _vault_in(copy)
        owners = _owners(vault, branch, chain)
        if not work.store.exists():
            given = _next_branch(chain, branch, book, owners)
            keys = new_keys(
                work,
                given.branch,
                given.epoch,
                source=sources[0],
                branch_source=sources[1],
                unprotected=unprotected,
            )
            again = Book(chain, given.branch.path, TrustList(book.trust))
            again.trust_again(friends, given.epoch.signing(), datetime.now(UTC))
            _begin(work, given, keys, again.trust)
            for cluster in book.clusters()[1:]:
                other = book.chain(cluster)
                if other is not None:
                    work.store.append(cluster, other)
            write_settings(work.directory)
        after = work.book()
        _verify_same(after, chain)
        current = work.store.current_epoch(
            after, work.passphrases.asking(sources[0], NODE_PROMPT, NODE_OPTION)
        )
        opened, left = _restore_vault(work, vault, after, current, owners)
        data = {
            "cluster": chain.cluster.hex(),
            "place": str(current.path.place),
            "path": str(current.path),
            "key": str(current.signing().peer_id),
            "directory": str(work.directory.path),
            "opened": opened,
            "left": left,
        }
    text = f"this node is {data['place']}, key {data['key']}"
    text += f"\n{opened} objects of the vault are here, {left} are not"
    state.output.result(data, text)
    state.output.note("other nodes get new keys with: kontinuum cluster recover WHO --to FILE --root FILE")
    if left:
        raise SystemExit(Exit.FAILURE)


def _left_of(copy: Path | None) -> Book:
    """What a copy still says of clusters; an empty book if nothing."""
    from kontinuum.base.errors import KontinuumError
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.store import ClusterStore

    if copy is None:
        return Book()
    for directory in (copy / "cluster", copy):
        store = ClusterStore(directory, read_only=True)
        if not store.exists():
            continue
        try:
            book = store.load_book()
        except KontinuumError as error:
            state.output.note(f"the copy's chain cannot be used, and is begun anew from the root: {error}")
            break
        for problem in store.problems:
            state.output.note(problem)
        return book
    return Book()


def _chain(seed: WrittenRoot, book: Book, number: int) -> tuple[Chain, BranchSecret]:
    """The chain to go on with, and its root's branch."""
    from kontinuum.clusters.acts import root_branch
    from kontinuum.keys.author import found_chain
    from kontinuum.keys.backup.roots import seed_of

    if book.own is not None:
        return book.own, root_branch(book.own.genesis, seed)[0]
    branch = seed_of(seed).cluster(number)
    return found_chain(branch), branch


def _next_branch(chain: Chain, root: BranchSecret, book: Book, owners: list[EpochSecret]) -> Handover:
    """New keys for the first place: of a branch that nobody had."""
    from kontinuum.clusters.handover import Handover
    from kontinuum.keys.author import Author
    from kontinuum.keys.standing import Standing

    at = datetime.now(UTC)
    author = Author(chain, root)
    first = book.path if book.path is not None else None
    child = 0 if first is None else first.steps[0].child
    if child not in chain.registers.children(root.path):
        former = owners[0].path if owners and owners[0].path.steps else None
        child = child if former is None else former.steps[0].child
        author.delegate(at, child=child)
    used = [
        owner.path.steps[0].branch
        for owner in owners
        if owner.path.steps[:1] and owner.path.steps[0].child == child
    ]
    while True:
        made = author.recover(child, at)
        if made.branch.path.branch > max(used, default=-1):
            break
    if not Standing(chain).of_place(made.branch.path.place).verdict.living:
        raise CliError(
            "the root's own words took this place out of use for good", family=Exit.MISUSE, code="not_living"
        )
    return Handover(chain, made.branch, made.epoch)


def _begin(work: Work, given: Handover, keys: object, trust: object) -> None:
    from kontinuum.base.entropy import SystemEntropy

    work.store.begin(given.chain, given.branch.path, keys, trust, entropy=SystemEntropy())  # type: ignore[arg-type]


def _vault_in(copy: Path) -> Path | None:
    """Where the vault is in a copy: of a data directory, or of the vault itself."""
    if (copy / "vault").is_dir():
        return copy / "vault"
    return copy if (copy / "objects").is_dir() else None


def _owners(vault: Path | None, root: BranchSecret, chain: Chain) -> list[EpochSecret]:
    from kontinuum.node.vault_recovery import find_owners

    if vault is None:
        return []
    state.output.note("looking for the keys of the vault, from the root ...")
    return find_owners(vault, root, chain)


def _restore_vault(
    work: Work, vault: Path | None, book: Book, current: EpochSecret, owners: list[EpochSecret]
) -> tuple[int, int]:
    """Copy the vault and seal it to the new key. Returns how many objects open, and how many do not."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.node.vault import DIRECTORY
    from kontinuum.node.vault_recovery import cluster_keyring, copy_vault, reseal

    if vault is None or book.own is None:
        return 0, 0
    at = datetime.now(UTC)
    target = work.directory.path / DIRECTORY
    damaged = copy_vault(vault, target, at=at)
    for object_id, why in damaged:
        state.output.note(f"object {object_id.short} of the copy is damaged: {why}")
    new = cluster_keyring(book.own, [current])
    old = cluster_keyring(book.own, [current, *owners])
    total = sum(path.stat().st_size for path in target.rglob("*.age"))
    with progress("sealing the vault anew", total) as told:
        resealed = reseal(
            target, old, new, at=at, entropy=SystemEntropy(), on_progress=lambda done, _total: told(done)
        )
    if resealed is None:
        return 0, len(damaged)
    report(resealed)
    return len(resealed.sealed) + resealed.current, len(resealed.left) + len(damaged)


def _verify_apart(work: Work, copy: Path | None) -> None:
    if copy is not None and not copy.is_dir():
        raise CliError(f"{copy} is no directory", family=Exit.MISUSE, code="usage")
    if copy is not None and copy.resolve() == work.directory.path.resolve():
        raise CliError(
            "the new data directory is the copy itself; it is not changed",
            family=Exit.MISUSE,
            code="usage",
            hint="--dir NEWDIR",
        )


def _verify_same(book: Book, chain: Chain) -> None:
    if book.cluster != chain.cluster:
        raise CliError(
            "the new data directory is of another cluster", family=Exit.MISUSE, code="already_in_cluster"
        )
