"""``kontinuum cluster show|log``: who is who, and who said what."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from kontinuum.clusters.book import Book
    from kontinuum.keys.chain import Chain


def show(
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="FILE", help="Write our chain to a file, for those who shall trust it."
        ),
    ] = None,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Show this node's place, the other nodes of its cluster, and whom it trusts. No passphrase is needed."""
    from kontinuum.base.files import create_atomically
    from kontinuum.cli.cluster_views import show_json, show_text
    from kontinuum.cli.clusters import workplace
    from kontinuum.clusters.exported import encode_cluster

    with workplace(directory) as work:
        book, chain = work.own()
        live = work.ask("cluster.show") if work.running else None
        data = show_json(work, book, chain, live)
        if export is not None:
            create_atomically(export, encode_cluster(chain, book.succession()), mode=0o644)
            data["exported"] = str(export)
    state.output.result(data, show_text(data))
    if export is not None:
        state.output.note(
            f"{export} holds nothing secret; there: kontinuum cluster trust {export.name} --name NAME, or "
            f"follow NAME {export.name}, if it was another cluster there before"
        )


def log(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A cluster that we trust. Default: our own.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check every statement again, and look for forks; 1 if there is any."),
    ] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Show what was said about keys, by whom, and what it is worth now; the newest last."""
    from kontinuum.cli.cluster_views import log_json, log_text, problems_of
    from kontinuum.cli.clusters import workplace

    with workplace(directory) as work:
        book, chain = work.own()
        chain = _named(book, chain, name)
        problems = [*work.problems, *(problems_of(chain) if verify else [])]
        data = log_json(chain, name or "home", problems if verify else None)
    state.output.result(data, log_text(data))
    if verify and problems:
        raise typer.Exit(Exit.FAILURE)


def _named(book: "Book", own: "Chain", name: str | None) -> "Chain":
    if name is None or name == "home":
        return own
    found: Any = book.chain(book.trusted_named(name).cluster)
    return found if found is not None else own
