"""``kontinuum cluster trust|untrust|follow``: whom our cluster trusts."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.commands.cluster_options import SourceOption
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from kontinuum.cli.clusters import Work
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.exported import ExportedCluster
    from kontinuum.keys.chain import Chain


def trust(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The other cluster: what `cluster show --export` made there."),
    ],
    name: Annotated[str, typer.Option("--name", help="What you call it: a-z, 0-9 and -.")],
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ID", help="Its id, or the beginning of it, from its owner: compared."
        ),
    ] = None,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Trust another cluster by its file; all nodes of ours will. In person, `kontinuum meet` does it."""
    from kontinuum.cli.clusters import workplace

    chain = _exported(file).chain
    if cluster is not None and (len(cluster) < 8 or not chain.cluster.hex().startswith(cluster.lower())):
        raise CliError(
            f"the file is of cluster {chain.cluster.hex()}, not of {cluster}",
            family=Exit.PEER,
            code="other_cluster",
        )
    with workplace(directory) as work:
        data = say_trusted(work, chain, name, "given", passphrase_source)
    state.output.result(data, f"we trust {data['name']}, cluster {data['cluster']}")
    if cluster is None:
        state.output.note("compare that id with what its owner sees: kontinuum cluster show")


def untrust(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What we call the cluster.")],
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Trust a cluster no longer; its nodes are strangers to all of ours."""
    from kontinuum.cli.clusters import workplace

    with workplace(directory) as work:
        if work.running:
            data = work.ask("cluster.untrust", {"name": name})
        else:
            book, _ = work.own()
            signer = work.signing_epoch(book, passphrase_source).signing()
            entry = book.distrust_entry(name, signer, datetime.now(UTC))
            book.merge_trust([entry])
            work.store.save_trust(book.trust)
            data = {"name": name, "cluster": entry.cluster.hex()}
    state.output.result(data, f"we trust {data['name']} no longer")


def follow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The cluster whose root left for another.")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="What `cluster show --export` made there, under the new root."),
    ] = None,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Accept that a cluster that we trust has another root: the old one named it, and both signed."""
    from kontinuum.cli.clusters import workplace
    from kontinuum.keys.transition import verify_succession

    with workplace(directory) as work:
        book, _ = work.own()
        before = book.trusted_named(name)
        given = None if file is None else _exported(file)
        if given is not None and before.successor is None:
            # What the old root said last may be news to us; it is checked like anybody's.
            said = book.merge(before.cluster, given.succession).added
            work.say(before.cluster, said)
            before = next(each for each in book.trusted() if each.cluster == before.cluster)
        if before.successor is None:
            raise CliError(
                f"as far as we know, the root of {name} did not leave, or named several successors",
                family=Exit.MISUSE,
                code="no_successor",
                hint="meet its owner again: kontinuum meet",
            )
        if given is None:
            raise CliError(
                f"{name} went on as cluster {before.successor.hex()}",
                family=Exit.MISUSE,
                code="usage",
                hint="get its file from there (kontinuum cluster show --export FILE), then follow NAME FILE",
            )
        chain, old = given.chain, book.chain(before.cluster)
        if old is None:
            raise AssertionError("a trusted cluster has a chain")
        verify_succession(old, chain.genesis)
        data = say_trusted(work, chain, before.name, "transition", passphrase_source)
    state.output.result(data, f"{data['name']} is cluster {data['cluster']} from now on")


def _exported(file: Path) -> "ExportedCluster":
    """What a file of a cluster holds."""
    from kontinuum.base.errors import FileTooLargeError, FileUnavailableError
    from kontinuum.clusters.exported import EXPORTED_BYTES_MAX, decode_cluster

    try:
        with file.open("rb") as stream:
            data = stream.read(EXPORTED_BYTES_MAX + 1)
    except OSError as error:
        raise FileUnavailableError(file, "read", error.strerror or str(error)) from error
    if len(data) > EXPORTED_BYTES_MAX:
        raise FileTooLargeError(file, EXPORTED_BYTES_MAX)
    return decode_cluster(data)


def say_trusted(work: "Work", chain: "Chain", name: str, how: str, source: str) -> dict[str, Any]:
    """Say that a cluster is trusted, and keep what is known of it."""
    from kontinuum.keys.bundles import bundles

    if work.running:
        encoded = [base64.b64encode(bundle).decode() for bundle in bundles(chain)]
        genesis = base64.b64encode(chain.genesis.encode()).decode()
        given = {"genesis": genesis, "bundles": encoded, "name": name, "how": how}
        told = work.ask("cluster.trust", given)
        return {key: told[key] for key in ("name", "cluster", "since", "how", "by")}
    book, _ = work.own()
    signer = work.signing_epoch(book, source).signing()
    entry = book.trust_entry(chain.genesis, name, how, signer, datetime.now(UTC))
    # The chain first: a trusted cluster of which nothing is known is of no use.
    work.store.append(chain.cluster, chain)
    book.merge_trust([entry])
    work.store.save_trust(book.trust)
    return trusted_json(book, chain)


def trusted_json(book: "Book", chain: "Chain") -> dict[str, Any]:
    """A trusted cluster, for programs."""
    found = book.trusted_cluster(chain.cluster)
    return {
        "name": found.name,
        "cluster": found.cluster.hex(),
        "since": found.since.isoformat().replace("+00:00", "Z"),
        "how": found.how,
        "by": str(found.by),
    }
