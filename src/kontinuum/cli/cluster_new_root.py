"""Another root for a whole cluster, step by step, so that whatever ends it, the same command goes on.

1. The new chain is made, and kept in the directory of handovers.
2. Every other node gets its handover: a file, or a parcel through the running node.
3. Without the node: the old root says its last word, this directory moves to its new keys, the vault is
   sealed to them. The old keys are kept.

Secrets:  handovers are sealed; what is kept of the new chain holds none.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kontinuum.cli import state
from kontinuum.cli.cluster_vaults import reseal_for
from kontinuum.cli.clusters import NODE_OPTION, NODE_PROMPT, sealing, stored_root
from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from pathlib import Path

    from kontinuum.cli.clusters import Work
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.handover import Sealing
    from kontinuum.clusters.new_root import NewRoot
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.keystore import Protection
    from kontinuum.keys.paths import Place

CHAIN_FILE = "new-chain.cluster"
"""What is kept of the new chain in the directory of handovers."""


@dataclass(frozen=True, slots=True)
class RootChange:
    """What was asked for."""

    root: Path
    """The key store of the root until now."""

    new_root: Path
    """That of the next one."""

    handovers: Path
    """A directory, made if it is missing."""

    parcels: bool
    """Send what can be sent through the running node, and no more."""

    unsealed: bool
    """Handovers are open."""

    forget: bool
    """Remove the old keys when all is done."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the passphrases come from."""

    node: str
    """What this node runs with, before and after."""

    branch: str
    """Its new branch."""

    root: str
    """The root until now."""

    new_root: str
    """The next one."""

    handover: str
    """The files for others."""


def change_root(work: Work, change: RootChange, sources: Sources) -> dict[str, Any]:
    """Do the steps that are left.

    Args:
        work: The data directory.
        change: What was asked for.
        sources: Of the passphrases.
    """
    if work.running and not change.parcels:
        raise CliError(
            "the node must not run while its directory goes over to another root",
            family=Exit.MISUSE,
            code="running",
            hint="kontinuum node stop; or first, with the node, --parcels",
        )
    if change.parcels and not work.running:
        raise CliError("--parcels takes a running node", family=Exit.MISUSE, code="not_running")
    old_root = stored_root(work, change.root, sources.root)
    new_root = stored_root(work, change.new_root, sources.new_root, "--new-root-passphrase-source")
    book, old = _old(work, old_root)
    # Before anything is made: a person may have no passphrase at hand.
    how = sealing(work, None, sources.handover, unsealed=change.unsealed)
    before = old.cluster
    made = _made(old, old_root, new_root, book, change)
    sent: dict[Place, None] = {}
    if change.parcels:
        sent = _send(work, old, book, made)
    files = _write_files(work, made, book, change.handovers, how, sent)
    epoch = made.handovers.get(_place(book))
    if epoch is None:
        raise CliError("this node has no place under the new root", family=Exit.MISUSE, code="not_living")
    resealed = None
    if not work.running:
        _move(work, made, book, sources)
        again = work.book()
        ask = work.passphrases.asking(sources.node, NODE_PROMPT, NODE_OPTION)
        resealed = reseal_for(work, made.chain, work.store.epochs(again, ask), sources.node)
        if change.forget and (resealed is None or not resealed.left):
            work.store.forget_former_keys()
    else:
        state.output.note(
            "now stop the node (kontinuum node stop), and run the same command without --parcels"
        )
    return {
        "cluster": made.chain.cluster.hex(),
        "before": before.hex(),
        "place": str(epoch.branch.path.place),
        "path": str(epoch.branch.path),
        "epoch": epoch.epoch.epoch,
        "key": str(epoch.epoch.signing().peer_id),
        "handovers": {str(place): str(file) for place, file in files.items()},
        "parcels": [str(place) for place in sent],
        "told": None,
        "resealed": 0 if resealed is None else len(resealed.sealed),
        "left": 0 if resealed is None else len(resealed.left),
    }


def _place(book: Book) -> Place:
    if book.place is None:
        raise AssertionError("a book that was loaded from a home has a place")
    return book.place


def _old(work: Work, old_root: Any) -> tuple[Book, Chain]:
    """The chain of the old root: ours, or, if we moved already, the one that we were of before."""
    from kontinuum.clusters.acts import root_branch
    from kontinuum.keys.errors import WrongRootError

    book, own = work.own()
    candidates = [own, *(chain for cluster in book.clusters()[1:] if (chain := book.chain(cluster)))]
    for chain in candidates:
        try:
            root_branch(chain.genesis, old_root)
        except WrongRootError:
            continue
        return book, chain.copy()
    raise WrongRootError("--root is not the root of this cluster, nor of the one that it was before")


def _made(old: Chain, old_root: Any, new_root: Any, book: Book, change: RootChange) -> NewRoot:
    """The new chain, begun where it was left, and kept."""
    from kontinuum.base.files import write_atomically
    from kontinuum.clusters.acts import root_branch
    from kontinuum.clusters.exported import decode_cluster, encode_cluster
    from kontinuum.clusters.new_root import replace_root
    from kontinuum.keys.errors import WrongRootError

    kept = change.handovers / CHAIN_FILE
    begun = decode_cluster(kept.read_bytes()).chain if kept.exists() else None
    if begun is not None:
        try:
            root_branch(begun.genesis, new_root)
        except WrongRootError:
            raise CliError(
                f"{kept} was begun for another new root; choose another directory",
                family=Exit.MISUSE,
                code="wrong_root",
                hint="--handovers DIR",
            ) from None
    if begun is None and book.cluster != old.cluster:
        begun = book.own  # We moved already.
    made = replace_root(old, old_root, new_root, datetime.now(UTC), book.trusted(), begun=begun)
    change.handovers.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(kept, encode_cluster(made.chain))
    return made


def _send(work: Work, old: Chain, book: Book, made: NewRoot) -> dict[Place, None]:
    """Give the nodes that are connected their keys, sealed to the key that each has until now."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.clusters.handover import seal_handover
    from kontinuum.keys.envelope import X25519Recipient
    from kontinuum.keys.standing import Standing

    sent: dict[Place, None] = {}
    standing = Standing(book.own or old)
    for place, handover in made.handovers.items():
        encryption = standing.of_place(place).encryption
        if place == book.place or encryption is None:
            continue
        data = seal_handover(handover, X25519Recipient(encryption), entropy=SystemEntropy())
        given = {"place": str(place), "data": base64.b64encode(data).decode()}
        if work.ask("cluster.parcel", given)["sent"]:
            sent[place] = None
    return sent


def _write_files(  # noqa: PLR0917 -- who, what, where and how
    work: Work, made: NewRoot, book: Book, directory: Path, how: Sealing, sent: dict[Place, None]
) -> dict[Place, Path]:
    """A file for every other node that was not sent its keys; those of an earlier attempt stay."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.base.files import create_atomically
    from kontinuum.clusters.handover import seal_handover

    files: dict[Place, Path] = {}
    network = work.network()
    for place, handover in made.handovers.items():
        if place == book.place or place in sent:
            continue
        file = directory / f"node-{'-'.join(map(str, place.indexes))}.handover"
        files[place] = file
        if not file.exists():
            create_atomically(
                file, seal_handover(replace(handover, network=network), how, entropy=SystemEntropy())
            )
    return files


def _move(work: Work, made: NewRoot, book: Book, sources: Sources) -> None:
    """Close the old chain here, and go over to the new keys. What was done already is not done again."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.clusters.store import Keys
    from kontinuum.clusters.trust import TrustList

    if book.cluster == made.chain.cluster:
        return
    handover = made.handovers[_place(book)]
    if book.own is not None:
        work.store.append(book.own.cluster, made.succession)
    keys = Keys(
        handover.epoch,
        _as_before(work, sources.node, branch=False),
        handover.branch,
        _as_before(work, sources.branch, branch=True),
    )
    work.store.begin(
        made.chain, handover.branch.path, keys, TrustList(handover.trust), entropy=SystemEntropy()
    )


def _as_before(work: Work, source: str, *, branch: bool) -> Protection:
    """As the node's key, or its branch's, is protected until now."""
    from kontinuum.cli.clusters import BRANCH_OPTION, BRANCH_PROMPT
    from kontinuum.keys.keystore import ByPassphrase, Unprotected, load_store

    keys = work.store.keys
    epochs = keys.epochs()
    file = keys.branch_file() if branch and keys.has_branch() else keys.epoch_file(epochs[0] if epochs else 0)
    if not file.exists() or not load_store(file).protected:
        return Unprotected()
    prompt, option = (BRANCH_PROMPT, BRANCH_OPTION) if branch else (NODE_PROMPT, NODE_OPTION)
    return ByPassphrase(work.passphrases.ask(source, prompt, option, new=branch))
