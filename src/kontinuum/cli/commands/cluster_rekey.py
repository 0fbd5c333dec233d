"""``kontinuum cluster rekey``: this node's next key, or another root for the whole cluster."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.commands.cluster_options import (
    BranchSourceOption,
    HandoverSourceOption,
    NewRootSourceOption,
    ParentOption,
    ParentSourceOption,
    SourceOption,
    UnsealedOption,
)
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from kontinuum.cli.clusters import Work
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.keys.statements import Statement


def rekey(  # noqa: PLR0917 -- typer passes by name
    root: Annotated[
        Path | None, typer.Option("--root", metavar="FILE", help="Another root: the one until now.")
    ] = None,
    new_root: Annotated[
        Path | None, typer.Option("--new-root", metavar="FILE", help="Another root: the next one, backed up.")
    ] = None,
    handovers: Annotated[
        Path | None,
        typer.Option("--handovers", metavar="DIR", help="Another root: where the other nodes' files go."),
    ] = None,
    parcels: Annotated[
        bool,
        typer.Option(
            "--parcels",
            help="Another root: send the others their keys through the running node, first. Not if the old "
            "root was stolen: its thief can pose as any node.",
        ),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget-old-keys", help="Another root: remove the old keys when all is done.")
    ] = False,
    unsealed: UnsealedOption = False,
    parent: ParentOption = None,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    branch_passphrase_source: BranchSourceOption = "auto",  # noqa: S107 -- a source
    parent_passphrase_source: ParentSourceOption = "auto",  # noqa: S107 -- a source
    new_root_passphrase_source: NewRootSourceOption = None,
    handover_passphrase_source: HandoverSourceOption = "prompt",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Move this node to a new key, which only it can know and everybody can verify; its vault goes with it.

    With --root and --new-root: the whole cluster gets another root, and every node new keys.
    """
    from kontinuum.cli.cluster_new_root import RootChange, Sources, change_root
    from kontinuum.cli.clusters import workplace

    if (root is None) != (new_root is None) or (root is not None and handovers is None):
        raise CliError(
            "another root takes --root OLD, --new-root NEW and --handovers DIR",
            family=Exit.MISUSE,
            code="usage",
        )
    with workplace(directory) as work:
        if root is not None and new_root is not None and handovers is not None:
            change = RootChange(root, new_root, handovers, parcels=parcels, unsealed=unsealed, forget=forget)
            sources = Sources(
                node=passphrase_source,
                branch=branch_passphrase_source,
                root=parent_passphrase_source,
                new_root=new_root_passphrase_source or parent_passphrase_source,
                handover=handover_passphrase_source,
            )
            data = change_root(work, change, sources)
        else:
            above = parent_passphrase_source
            if parent is None and above == "auto":
                above = branch_passphrase_source
            data = _rekey(work, parent, passphrase_source, above)
    state.output.result(data, f"this node is {data['place']}, key {data['key']}")


def _rekey(work: "Work", parent: Path | None, source: str, parent_source: str) -> dict[str, Any]:
    """The next epoch of this node's branch. Its secret is on the disk before the chain names it."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.cluster_vaults import reseal_for
    from kontinuum.cli.clusters import NODE_OPTION, NODE_PROMPT, speaker
    from kontinuum.keys.keystore import ByPassphrase, Unprotected, load_store
    from kontinuum.keys.way_back import Way

    book, chain = work.own()
    keys, ask = work.store.keys, work.passphrases.asking(source, NODE_PROMPT, NODE_OPTION)
    branch = speaker(work, chain, parent, parent_source)[0]
    if work.store.way(book).way is Way.NONE:
        # A passphrase that does not open these is not given to the next.
        opened = work.store.epochs(book, ask)
        if not work.running:
            # What an interrupted rekeying left is finished first, or objects would be there twice.
            reseal_for(work, chain, opened, source)
    statements, secret = _next_epoch(work, chain, branch)
    like = keys.declared(chain)
    file = keys.branch_file() if like is None else keys.epoch_file(like)
    if file.exists() and load_store(file).protected:
        passphrase = work.passphrases.ask(source, NODE_PROMPT, NODE_OPTION, new=like is None)
        keys.write(secret, ByPassphrase(passphrase), entropy=SystemEntropy())
    else:
        keys.write(secret, Unprotected(), entropy=SystemEntropy())
    told = None
    if work.running:
        from kontinuum.keys.bundles import bundles

        encoded = [base64.b64encode(bundle).decode() for bundle in bundles(statements)]
        given = {"bundles": encoded, "branch": secret.path.branch, "epoch": secret.epoch}
        work.ask("cluster.rekeyed", given)
        told = sum(1 for each in work.ask("cluster.show")["members"] if each["connected"])
    elif statements:
        work.store.append(chain.cluster, statements)
    resealed = None
    if work.running:
        state.output.note("the running node seals its vault to the new key; its log says when it is done")
    else:
        book, chain = work.own()
        resealed = reseal_for(work, chain, work.store.epochs(book, ask), source)
    return {
        "cluster": chain.cluster.hex(),
        "before": None,
        "place": str(secret.path.place),
        "path": str(secret.path),
        "epoch": secret.epoch,
        "key": str(secret.signing().peer_id),
        "handovers": {},
        "parcels": [],
        "told": told,
        "resealed": 0 if resealed is None else len(resealed.sealed),
        "left": 0 if resealed is None else len(resealed.left),
    }


def _next_epoch(
    work: "Work", chain: "Chain", ancestor: "BranchSecret"
) -> "tuple[list[Statement], EpochSecret]":
    """What to say, and the secret; nothing to say if it was said elsewhere already."""
    from kontinuum.clusters.errors import WrongParentError
    from kontinuum.keys.author import Author
    from kontinuum.keys.way_back import Way

    path = work.store.home().path
    if ancestor.path != path and not ancestor.path.is_above(path):
        raise WrongParentError(f"{ancestor.path} is not above {path}, and cannot make its next key")
    branch = ancestor.descendant(path)
    way = work.store.way(work.book())
    match way.way:
        case Way.MOVE_ON:
            return [], branch.epoch(way.epoch)
        case Way.NONE | Way.REKEY:
            # On a copy: the chain has it when it is on the disk.
            epoch = way.epoch if way.way is Way.REKEY else None
            made = Author(chain.copy(), branch).rekey(datetime.now(UTC), epoch=epoch)
            return [made.statement], made.secret
    raise CliError(
        f"this node cannot rekey itself: {way.way}",
        family=Exit.MISUSE,
        code="not_living",
        hint="kontinuum cluster show says what to do",
    )
