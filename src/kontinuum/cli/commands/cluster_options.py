"""Arguments and options that the commands about clusters share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kontinuum.keys.bodies import Reason, Scope

_SOURCES = (
    "auto (KONTINUUM_PASSPHRASE, or else the terminal), prompt, env:NAME, fd:NUMBER, credential:NAME or "
)
_SOURCES += "keyring:SERVICE/USER."


class Reasons(StrEnum):
    """Why keys are taken out of use."""

    UNSPECIFIED = "unspecified"
    COMPROMISED = "compromised"
    LOST = "lost"
    RETIRED = "retired"

    @property
    def reason(self) -> "Reason":
        """As statements say it."""
        from kontinuum.keys.bodies import Reason

        return Reason.STOLEN if self is Reasons.COMPROMISED else Reason[self.name]


class Scopes(StrEnum):
    """How much is taken out of use."""

    EPOCH = "epoch"
    BRANCH = "branch"
    PLACE = "place"

    @property
    def scope(self) -> "Scope":
        """As statements say it."""
        from kontinuum.keys.bodies import Scope

        return {"epoch": Scope.EPOCHS, "branch": Scope.BRANCH, "place": Scope.PLACE}[self.value]


WhoArgument = Annotated[str, typer.Argument(metavar="WHO", help="The node: /1, its label, or a key of it.")]
RequiredRootOption = Annotated[
    Path, typer.Option("--root", metavar="FILE", help="The key store of the root; it is not copied.")
]
ParentOption = Annotated[
    Path | None,
    typer.Option(
        "--parent",
        metavar="FILE",
        help="The key store that speaks: the root's, or that of a branch above the node. Default: this "
        "node's own branch.",
    ),
]
ParentSourceOption = Annotated[
    str,
    typer.Option(
        "--parent-passphrase-source",
        metavar="SOURCE",
        help=f"Of the passphrase of --parent and --root files: {_SOURCES}",
    ),
]
SourceOption = Annotated[
    str,
    typer.Option(
        "--passphrase-source",
        metavar="SOURCE",
        help="Of the passphrase of what the node runs with; the same.",
    ),
]
BranchSourceOption = Annotated[
    str,
    typer.Option(
        "--branch-passphrase-source",
        metavar="SOURCE",
        help="Of the passphrase of the node's branch, better another one; the same sources.",
    ),
]
NewRootSourceOption = Annotated[
    str | None,
    typer.Option(
        "--new-root-passphrase-source",
        metavar="SOURCE",
        help="Of the passphrase of --new-root; the same sources. Default: as --parent-passphrase-source.",
    ),
]
HandoverSourceOption = Annotated[
    str,
    typer.Option(
        "--handover-passphrase-source",
        metavar="SOURCE",
        help="Of the handover's passphrase; the same sources.",
    ),
]
UnprotectedOption = Annotated[
    bool,
    typer.Option("--unprotected", help="Keys without a passphrase: whoever reads the disk has them."),
]
UnsealedOption = Annotated[
    bool, typer.Option("--unsealed", help="An open handover: whoever reads the file is that node.")
]
RecipientOption = Annotated[
    str | None,
    typer.Option(
        "--recipient", metavar="KEY", help="Seal the handover to a key (age1...), not a passphrase."
    ),
]
ContactOption = Annotated[
    list[str] | None,
    typer.Option(
        "--contact", metavar="CONTACT", help="Whom the new node meets first, besides this one if it runs."
    ),
]
LabelOption = Annotated[str, typer.Option("--label", help="What you call this node.")]
DepthOption = Annotated[
    int,
    typer.Option("--depth", min=0, max=3, help="Levels of nodes that this one may have below it."),
]
ToOption = Annotated[Path, typer.Option("--to", metavar="FILE", help="The handover; a new file.")]
