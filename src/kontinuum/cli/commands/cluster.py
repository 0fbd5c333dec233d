"""``kontinuum cluster``: make one, add nodes, take keys out of use, give new ones, and look at all of it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.commands import cluster_look, cluster_rekey, cluster_story, cluster_trust, cluster_watch
from kontinuum.cli.commands.cluster_options import (
    BranchSourceOption,
    ContactOption,
    DepthOption,
    HandoverSourceOption,
    LabelOption,
    ParentOption,
    ParentSourceOption,
    Reasons,
    RecipientOption,
    RequiredRootOption,
    Scopes,
    SourceOption,
    ToOption,
    UnprotectedOption,
    UnsealedOption,
    WhoArgument,
)
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from kontinuum.cli.clusters import Work
    from kontinuum.clusters.acts import Made
    from kontinuum.clusters.handover import Handover
    from kontinuum.keys.derivation import EpochSecret

app = typer.Typer(
    help="The nodes of one owner: begin a cluster, add and remove nodes, rekey, recover; whom it trusts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("show")(cluster_look.show)
app.command("log")(cluster_look.log)
app.command("rekey")(cluster_rekey.rekey)
app.command("trust")(cluster_trust.trust)
app.command("untrust")(cluster_trust.untrust)
app.command("follow")(cluster_trust.follow)
app.command("story")(cluster_story.story)
app.command("watch")(cluster_watch.watch)


@app.command("init")
def init(  # noqa: PLR0917 -- typer passes by name
    root: RequiredRootOption,
    label: LabelOption = "",
    number: Annotated[
        int, typer.Option("--number", min=0, max=255, help="Which of the clusters of this root.")
    ] = 0,
    depth: DepthOption = 0,
    unprotected: UnprotectedOption = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    branch_passphrase_source: BranchSourceOption = "auto",  # noqa: S107 -- a source
    parent_passphrase_source: ParentSourceOption = "auto",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Begin a cluster: its chain, and this data directory as its first node. The root stays where it is."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.cluster_vaults import former_identity, reseal_for, write_settings
    from kontinuum.cli.clusters import new_keys, stored_root, workplace
    from kontinuum.clusters.acts import begin_cluster
    from kontinuum.clusters.errors import AlreadyInClusterError

    with workplace(directory, create=True) as work:
        work.network()  # Settings that are wrong are told before anything is changed.
        if work.store.exists():
            home = work.store.home()
            raise AlreadyInClusterError(
                f"this data directory is {home.path.place} of cluster {home.genesis.cluster.hex()[:8]}; "
                "choose another one with --dir"
            )
        seed = stored_root(work, root, parent_passphrase_source)
        former_identity(work, passphrase_source)  # What does not open is told before anything is changed.
        made = begin_cluster(seed, datetime.now(UTC), number=number, label=label, depth=depth)
        given = made.handover
        keys = new_keys(
            work,
            given.branch,
            given.epoch,
            source=passphrase_source,
            branch_source=branch_passphrase_source,
            unprotected=unprotected,
        )
        work.store.begin(given.chain, given.branch.path, keys, entropy=SystemEntropy())
        write_settings(work.directory)
        reseal_for(work, given.chain, [given.epoch], passphrase_source)
        data = _node_json(given) | {"directory": str(work.directory.path)}
    _tell_former(work)
    state.output.result(data, f"cluster {data['cluster']}\nthis node is {data['place']}, key {data['key']}")
    state.output.note(
        f"the root is needed again to add nodes, and after a loss: put {root} away, its backup elsewhere"
    )


@app.command("add-node")
def add_node(  # noqa: PLR0917 -- typer passes by name
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What you call the new node.")],
    to: ToOption,
    parent: ParentOption = None,
    recipient: RecipientOption = None,
    unsealed: UnsealedOption = False,
    contact: ContactOption = None,
    depth: DepthOption = 0,
    parent_passphrase_source: ParentSourceOption = "auto",  # noqa: S107 -- a source
    handover_passphrase_source: HandoverSourceOption = "prompt",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Make a place for another machine, and a sealed file with its keys: carry it there, and join with it."""
    from kontinuum.cli.clusters import sealing, speaker, verify_free, workplace
    from kontinuum.clusters import acts
    from kontinuum.clusters.errors import BadNameError

    verify_free(to)
    if not label:
        raise BadNameError("a node that is added needs a label, by which people call it")
    with workplace(directory) as work:
        book, chain = work.own()
        branch, _ = speaker(work, chain, parent, parent_passphrase_source)
        how = sealing(work, recipient, handover_passphrase_source, unsealed=unsealed)
        made = acts.add_node(
            chain,
            branch,
            datetime.now(UTC),
            label=label,
            depth=depth,
            trust=tuple(book.trust),
            contacts=work.contacts(contact or []),
        )
        data = _given(made, to, how, work)
    state.output.result(data, f"{data['place']} {label}: its keys are in {to}")
    state.output.note(
        f"carry it to that machine, and there: kontinuum cluster join {to.name}; then delete it"
    )


@app.command("join")
def join(  # noqa: PLR0917 -- typer passes by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What add-node or recover made.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="A file of age keys, if it is sealed to one.")
    ] = None,
    unprotected: UnprotectedOption = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    branch_passphrase_source: BranchSourceOption = "auto",  # noqa: S107 -- a source
    handover_passphrase_source: HandoverSourceOption = "prompt",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Make this data directory the node that a handover is for."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.cluster_vaults import former_identity, remember_contacts, reseal_for, write_settings
    from kontinuum.cli.clusters import NODE_OPTION, NODE_PROMPT, new_keys, workplace
    from kontinuum.cli.handovers import open_file, verify_follows
    from kontinuum.clusters.trust import TrustList

    with workplace(directory, create=True) as work:
        work.network()  # Settings that are wrong are told before anything is changed.
        given = open_file(work, file, key, handover_passphrase_source)
        ask = work.passphrases.asking(passphrase_source, NODE_PROMPT, NODE_OPTION)
        former_identity(work, passphrase_source)  # What does not open is told before anything is changed.
        before: list[EpochSecret] = []
        if work.store.exists():
            verify_follows(work, given)
            before = work.store.epochs(work.book(), ask)
        # If it joined already, perhaps a crash kept it from doing the rest.
        if not before or before[0].path != given.branch.path or given.epoch not in before:
            keys = new_keys(
                work,
                given.branch,
                given.epoch,
                source=passphrase_source,
                branch_source=branch_passphrase_source,
                unprotected=unprotected,
                former=given.former,
            )
            trust = TrustList(given.trust)
            work.store.begin(given.chain, given.branch.path, keys, trust, entropy=SystemEntropy())
        write_settings(work.directory, given.network)
        remembered = remember_contacts(work.directory, given.contacts)
        book, chain = work.own()
        epochs = work.store.epochs(book, ask)
        reseal_for(work, chain, epochs, passphrase_source)
        current = {"key": str(epochs[0].signing().peer_id), "directory": str(work.directory.path)}
        data = _node_json(given) | current
    if not before:
        _tell_former(work)
    state.output.result(data, f"this node is {data['place']} {data['label']}, key {data['key']}")
    where = "" if directory is None else f" --dir {directory}"
    state.output.note(f"start it with: kontinuum node run{where}; then delete {file}")
    if not remembered:
        state.output.note(
            "it knows nobody's address yet: give it one with `bootstrap` in node.toml, or on a LAN"
        )


@app.command("revoke")
def revoke(  # noqa: PLR0917 -- typer passes by name
    who: WhoArgument,
    parent: ParentOption = None,
    reason: Annotated[Reasons, typer.Option("--reason", help="For people.")] = Reasons.UNSPECIFIED,
    scope: Annotated[
        Scopes,
        typer.Option(
            "--scope",
            help="epoch: the keys until now, the node makes the next itself; branch: all that the node "
            "holds, its parent gives it new keys; place: for good.",
        ),
    ] = Scopes.BRANCH,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", metavar="FILE", help="The root, as a proof that it is at hand, for the last node."
        ),
    ] = None,
    keep_trust: Annotated[
        bool,
        typer.Option("--keep-trust", help="Say again what this node alone had said of whom you trust."),
    ] = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    parent_passphrase_source: ParentSourceOption = "auto",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Take a node's keys out of use, for good: /1, a label, or a key. Its sessions are cut."""
    from kontinuum.cli.clusters import speaker, stored_root, workplace
    from kontinuum.clusters import acts

    if keep_trust and reason is Reasons.COMPROMISED:
        raise CliError(
            "a thief may have said whom you trust: meet them again, without --keep-trust",
            family=Exit.MISUSE,
            code="usage",
        )
    with workplace(directory) as work:
        book, chain = work.own()
        target = acts.path_of(chain, who)
        branch, recovery = speaker(work, chain, parent or root, parent_passphrase_source)
        if root is not None and recovery is None:
            _, recovery = acts.root_branch(chain.genesis, stored_root(work, root, parent_passphrase_source))
        friends = [(each, book.chain(each.cluster)) for each in book.trusted()]
        before = len(chain)
        statement = acts.revoke_node(
            chain, branch, target, scope.scope, datetime.now(UTC), reason=reason.reason, recovery=recovery
        )
        left = {each.cluster for each in book.trusted()}
        falling = [(each, known) for each, known in friends if each.cluster not in left]
        told = work.say(chain.cluster, [statement] if len(chain) > before else [])
        for each, known in falling if keep_trust else ():
            if known is not None:
                cluster_trust.say_trusted(work, known, each.name, "given", passphrase_source)
        falls = [] if keep_trust else sorted(each.name for each, _ in falling)
        data = {
            "cluster": chain.cluster.hex(),
            "place": str(target.place),
            "path": str(target),
            "scope": str(scope),
            "reason": str(reason),
            "falls": falls,
            "told": told,
        }
    state.output.result(data, f"{target.place} is out of use ({scope}){_told(told)}")
    if falls:
        state.output.note(
            f"with it falls what it alone said: we trust {', '.join(falls)} no longer. Meet them again, or "
            "trust their file; --keep-trust keeps such words, of a node that nobody has stolen"
        )
    if scope is not Scopes.PLACE:
        state.output.note(_AFTERWARDS[scope].format(place=target.place))


@app.command("order")
def order(
    who: WhoArgument,
    parent: ParentOption = None,
    reason: Annotated[Reasons, typer.Option("--reason", help="For people.")] = Reasons.UNSPECIFIED,
    parent_passphrase_source: ParentSourceOption = "auto",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Order a node to rekey. It obeys when it hears of it; a node must run here to pass it on."""
    import base64

    from kontinuum.cli.clusters import speaker, workplace
    from kontinuum.clusters import acts

    with workplace(directory) as work:
        _, chain = work.own()
        target = acts.path_of(chain, who)
        branch, _ = speaker(work, chain, parent, parent_passphrase_source)
        given = acts.order_rekey(chain, branch, target, datetime.now(UTC), reason=reason.reason)
        if work.running:
            told = int(
                work.ask("cluster.order", {"order": base64.b64encode(given.encode()).decode()})["members"]
            )
        else:
            told = None
            work.store.save_orders(work.store.home().latest, (*work.store.orders(), given))
        data = {
            "cluster": chain.cluster.hex(),
            "place": str(target.place),
            "leave": given.leave,
            "sequence": given.sequence,
            "told": told,
        }
    state.output.result(data, f"{target.place} is ordered to leave its key{_told(told)}")


@app.command("recover")
def recover(  # noqa: PLR0917 -- typer passes by name
    who: Annotated[
        str | None, typer.Argument(metavar="[WHO]", help="The node: /1, its label, or a key of it.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The handover for the new machine; a new file."),
    ] = None,
    parent: ParentOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="After the loss of all machines: from the root and one copy.")
    ] = False,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="FILE", help="With --all: the key store of the root.")
    ] = None,
    copy: Annotated[
        Path | None,
        typer.Option(
            "--copy", metavar="DIR", help="With --all: a copy of a data directory, or of its vault."
        ),
    ] = None,
    number: Annotated[
        int, typer.Option("--number", min=0, max=255, help="With --all: which of the clusters of this root.")
    ] = 0,
    keep_trust: Annotated[
        bool,
        typer.Option("--keep-trust", help="Go on trusting whom only this node had said you trust: if lost."),
    ] = False,
    recipient: RecipientOption = None,
    unsealed: UnsealedOption = False,
    unprotected: UnprotectedOption = False,
    contact: ContactOption = None,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    branch_passphrase_source: BranchSourceOption = "auto",  # noqa: S107 -- a source
    parent_passphrase_source: ParentSourceOption = "auto",  # noqa: S107 -- a source
    handover_passphrase_source: HandoverSourceOption = "prompt",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Give a lost or stolen node new keys for the same place; with --all, begin again from the root alone."""
    from kontinuum.cli.cluster_recovery import recover_all
    from kontinuum.cli.clusters import sealing, speaker, verify_free, workplace
    from kontinuum.clusters import acts

    if everything:
        if root is None or who is not None or to is not None:
            raise CliError(
                "--all takes --root FILE, perhaps --copy DIR, and --dir DIR for the new data directory",
                family=Exit.MISUSE,
                code="usage",
            )
        recover_all(
            root,
            copy,
            directory,
            number=number,
            sources=(passphrase_source, branch_passphrase_source, parent_passphrase_source),
            unprotected=unprotected,
        )
        return
    if who is None or to is None:
        raise CliError("say which node, and --to FILE for its handover", family=Exit.MISUSE, code="usage")
    verify_free(to)
    with workplace(directory) as work:
        book, chain = work.own()
        target = acts.path_of(chain, who)
        branch, _ = speaker(work, chain, parent or root, parent_passphrase_source)
        how = sealing(work, recipient, handover_passphrase_source, unsealed=unsealed)
        friends, at = book.trusted(), datetime.now(UTC)
        made = acts.recover_node(
            chain, branch, target, at, trust=tuple(book.trust), contacts=work.contacts(contact or [])
        )
        kept = {each.cluster for each in book.trusted()}
        fallen = [each for each in friends if each.cluster not in kept]
        if keep_trust and fallen:
            book.trust_again(fallen, made.handover.epoch.signing(), at)
            made = replace(made, handover=replace(made.handover, trust=tuple(book.trust)))
            if not work.running:
                work.store.save_trust(book.trust)
        data = _given(made, to, how, work)
        data["falls"] = [] if keep_trust else [each.name for each in fallen]
    state.output.result(
        data, f"{data['place']} {data['label']}: its new keys are in {to}; the old ones are out of use"
    )
    if data["falls"]:
        state.output.note(
            f"only this node had said that you trust {', '.join(data['falls'])}, and that fell with its old "
            "keys: meet them again (--keep-trust keeps it, for a node that was lost and not stolen)"
        )
    state.output.note(f"carry it to the machine, and there: kontinuum cluster join {to.name}; then delete it")


_AFTERWARDS = {
    Scopes.EPOCH: "the node itself makes its next key: kontinuum cluster rekey, there",
    Scopes.BRANCH: "if its machine comes back, or another one: kontinuum cluster recover {place} --to FILE",
}


def _tell_former(work: "Work") -> None:
    """Who knew the directory's node by the key that it had alone, does not know the new one."""
    if work.directory.key.exists():
        state.output.note(
            f"{work.directory.key} holds the key that this node had until now; whoever calls it by that key "
            "must learn the new one"
        )


def _told(told: int | None) -> str:
    if told is None:
        return "; written down here, and told when this node runs"
    return f"; {told} node{'s' * (told != 1)} of the cluster heard of it at once"


def _node_json(given: "Handover") -> dict[str, Any]:
    from kontinuum.keys.standing import Standing

    path = given.branch.path
    return {
        "cluster": given.chain.cluster.hex(),
        "place": str(path.place),
        "path": str(path),
        "label": Standing(given.chain).of_place(path.place).label,
        "key": str(given.epoch.signing().peer_id),
    }


def _given(made: "Made", to: Path, how: Any, work: "Work") -> dict[str, Any]:
    """Write the handover, then say what makes it true: a crash in between leaves a file that is of no use."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.base.files import create_atomically
    from kontinuum.clusters.handover import seal_handover

    handover = replace(made.handover, network=work.network())
    create_atomically(to, seal_handover(handover, how, entropy=SystemEntropy()))
    told = work.say(made.handover.chain.cluster, made.statements)
    return _node_json(made.handover) | {"handover": str(to), "told": told}
