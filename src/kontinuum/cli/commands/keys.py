"""``kontinuum keys``: a root, its backups, and the proof that they work. Nothing here needs a network."""

import contextlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kontinuum.keys.backup.roots import WrittenRoot
    from kontinuum.keys.keystore import KeyStore, StoredSecret

app = typer.Typer(
    help="The root of a cluster's keys: make one, back it up, rehearse, restore; and who can do what.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Form(StrEnum):
    """How a root is written down."""

    WORDS = "words"
    SHARES = "shares"
    SHEET = "sheet"
    SHARE_SHEETS = "share-sheets"
    AGE = "age"
    STORE = "store"


class Words(StrEnum):
    """How many words a new root has."""

    TWELVE = "12"
    TWENTY_FOUR = "24"


StoreArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The key store.")]
SourceOption = Annotated[
    str,
    typer.Option(
        "--passphrase-source",
        metavar="SOURCE",
        help="Of the key store's passphrase: auto (KONTINUUM_PASSPHRASE, or else the terminal), prompt, "
        "env:NAME, fd:NUMBER, credential:NAME (systemd) or keyring:SERVICE/USER.",
    ),
]
BackupSourceOption = Annotated[
    str,
    typer.Option(
        "--backup-passphrase-source",
        metavar="SOURCE",
        help="Of the backup's own passphrase: the same sources.",
    ),
]
UnprotectedOption = Annotated[
    bool, typer.Option("--unprotected", help="Without a passphrase: whoever reads the disk has the key.")
]
FromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="SOURCE",
        help="A file, fd:NUMBER, or - for standard input; several for shares. Without it you are asked to "
        "type the words.",
    ),
]
EchoOption = Annotated[bool, typer.Option("--echo", help="Show words while they are typed.")]


@app.command("new-root")
def new_root(
    file: StoreArgument,
    words: Annotated[Words, typer.Option("--words", help="Words of its phrase.")] = Words.TWENTY_FOUR,
    unprotected: UnprotectedOption = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    _json: JsonOption = False,
) -> None:
    """Make a root, in a new key store. Back it up before you use it."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.backups import protection
    from kontinuum.keys.backup.roots import ShortSeed
    from kontinuum.keys.derivation import RootSeed
    from kontinuum.keys.keystore import create_store

    _verify_free(file)
    how = protection(passphrase_source, unprotected=unprotected)
    entropy = SystemEntropy()
    root = (ShortSeed if words is Words.TWELVE else RootSeed).generate(entropy)
    store = create_store(file, root, how, entropy=entropy)
    data = {"file": str(file), "root": store.public.hex(), "words": int(words), "protected": store.protected}
    state.output.result(data, f"root key {store.public.hex()}\nin {file}")
    state.output.note(f"it exists once: write it down now, with: kontinuum keys backup {file} --as words")


@app.command("show")
def show(file: StoreArgument, _json: JsonOption = False) -> None:
    """Show what a key store holds; no passphrase is needed, and no secret shown."""
    from kontinuum.cli.output import fields
    from kontinuum.keys.keystore import load_store, previous_of

    store = load_store(file)
    previous = previous_of(file)
    data = {
        "file": str(file),
        "kind": store.kind.name.lower(),
        "public": store.public.hex(),
        "protected": store.protected,
        "version": store.version,
        "previous": str(previous) if previous.exists() else None,
    }
    shown = {
        "holds": f"the secret of {_KINDS[store.kind.name]}",
        "public key": store.public.hex(),
        "protected": "by a passphrase" if store.protected else "NOT, but for the file's mode",
        "version": store.version,
        "before the last change": data["previous"] or "nothing",
    }
    state.output.result(data, fields(shown))


@app.command("passphrase")
def passphrase_(
    file: StoreArgument,
    unprotected: UnprotectedOption = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Do not keep the file that the old passphrase opens.")
    ] = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    new_passphrase_source: Annotated[
        str,
        typer.Option("--new-passphrase-source", metavar="SOURCE", help="Of the new one: the same sources."),
    ] = "prompt",  # noqa: S107 -- a source
    _json: JsonOption = False,
) -> None:
    """Give a key store another passphrase. The file before the change stays beside it, unless --forget."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.backups import protection
    from kontinuum.keys.keystore import forget_previous, load_store, previous_of, replace_store

    secret = _opened(load_store(file), passphrase_source)
    how = protection(new_passphrase_source, unprotected=unprotected, option="--new-passphrase-source")
    store = replace_store(file, secret, how, entropy=SystemEntropy())
    if forget:
        forget_previous(file)
    previous = None if forget else str(previous_of(file))
    data = {
        "file": str(file),
        "public": store.public.hex(),
        "protected": store.protected,
        "previous": previous,
    }
    state.output.result(
        data, f"{file} has another passphrase" if store.protected else f"{file} is unprotected"
    )
    if previous is not None:
        state.output.note(f"what the old passphrase opened is still in {previous}")


@app.command("backup")
def backup(  # noqa: PLR0917 -- typer passes by name
    file: StoreArgument,
    form: Annotated[
        Form,
        typer.Option(
            "--as",
            help="words: 12 or 24; shares: of which some are enough (SLIP-39); sheet, share-sheets: the same "
            "to print (SVG, or PDF); age: a file for a passphrase of its own; store: the same with Argon2id.",
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PATH",
            help="A new file, for shares a new directory; - is standard output. Words and shares are shown "
            "on the terminal without it.",
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="KofN", help="Shares of a group, such as 2of3; several groups."),
    ] = None,
    groups_needed: Annotated[
        int, typer.Option("--groups-needed", min=1, max=16, help="Groups that must be complete.")
    ] = 1,
    pdf: Annotated[
        bool,
        typer.Option("--pdf", help="Sheets as PDF; a sheet whose file ends in .pdf is one anyway."),
    ] = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    backup_passphrase_source: BackupSourceOption = "prompt",  # noqa: S107 -- a source
    _json: JsonOption = False,
) -> None:
    """Write a root down. What was written is read back and compared before this ends."""
    from kontinuum.cli.backup_forms import Written, write_backup
    from kontinuum.cli.backups import group_sizes

    sizes = group_sizes(group or [])
    shared = form in {Form.SHARES, Form.SHARE_SHEETS}
    if shared != bool(sizes):
        raise CliError(
            "shares need at least one --group, such as --group 2of3" if shared else f"{form} has no groups",
            family=Exit.MISUSE,
            code="usage",
        )
    if to is None and (form not in {Form.WORDS, Form.SHARES} or not sys.stdout.isatty()):
        raise CliError(
            "say where to write it", family=Exit.MISUSE, code="usage", hint="--to PATH, or --to - to print it"
        )
    pdf = pdf or (form is Form.SHEET and to is not None and to.lower().endswith(".pdf"))
    paged = form in {Form.SHEET, Form.SHARE_SHEETS}
    if pdf and (not paged or to == "-"):
        raise CliError(
            "a PDF goes into a file" if paged else f"--pdf is for sheets, and {form} are none",
            family=Exit.MISUSE,
            code="usage",
        )
    if to is not None and to != "-":
        _verify_free(Path(to))
    root = _open_root(file, passphrase_source)
    written: Written = write_backup(
        root,
        form,
        to or "-",
        groups=sizes,
        groups_needed=groups_needed,
        passphrase_source=backup_passphrase_source,
        pdf=pdf,
    )
    data = {
        "form": str(form),
        "root": written.root.hex(),
        "files": [str(path) for path in written.files],
        "verified": True,
    }
    if written.texts:
        data["texts"] = list(written.texts)
    state.output.result(data, written.shown)
    state.output.note(
        f"read back and compared: it gives the root {written.root.hex()[:8]}…\n"
        f"rehearse it from the paper, before you need it: kontinuum keys verify-backup {file}"
    )


@app.command("verify-backup")
def verify_backup(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="The key store, or the root's public key (64 hex digits).")
    ],
    sources: FromOption = None,
    backup_passphrase_source: BackupSourceOption = "prompt",  # noqa: S107 -- a source
    echo: EchoOption = False,
    _json: JsonOption = False,
) -> None:
    """Rehearse: prove that a backup gives this root back. Nothing is written and no secret shown."""
    from kontinuum.cli.backups import gather

    expected = _expected(root)
    with _failed_check():
        read = gather(sources or [], backup_passphrase_source, expected=expected, echo=echo)
    data = {"ok": True, "root": expected.hex(), "form": str(read.form), "pieces": read.pieces}
    state.output.result(
        data, f"this backup gives the root {expected.hex()[:8]}… back ({_pieces(read.form, read.pieces)})"
    )


@app.command("restore")
def restore(  # noqa: PLR0917 -- typer passes by name
    file: StoreArgument,
    sources: FromOption = None,
    root: Annotated[
        str | None, typer.Option("--root", metavar="KEY", help="The root's public key, if you know it.")
    ] = None,
    unprotected: UnprotectedOption = False,
    passphrase_source: SourceOption = "auto",  # noqa: S107 -- a source
    backup_passphrase_source: BackupSourceOption = "prompt",  # noqa: S107 -- a source
    echo: EchoOption = False,
    _json: JsonOption = False,
) -> None:
    """Make a key store from a backup. An existing file is never overwritten."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.backups import gather, protection
    from kontinuum.keys.keystore import create_store

    _verify_free(file)
    expected = None if root is None else _expected(root)
    read = gather(sources or [], backup_passphrase_source, expected=expected, echo=echo)
    how = protection(passphrase_source, unprotected=unprotected)
    store = create_store(file, read.root, how, entropy=SystemEntropy())
    data = {
        "file": str(file),
        "root": store.public.hex(),
        "form": str(read.form),
        "pieces": read.pieces,
        "protected": store.protected,
    }
    state.output.result(data, f"root key {store.public.hex()}\nin {file}")
    if expected is None:
        state.output.note("compare the root key with the one on your paper: any words make some root")


@app.command("explain")
def explain(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="A key's name, such as /3.0@7:signing or /3.0, or a key store."),
    ],
    genesis: Annotated[
        Path | None, typer.Option("--genesis", metavar="FILE", help="The cluster's genesis, for what is now.")
    ] = None,
    bundles: Annotated[
        list[Path] | None, typer.Option("--bundle", metavar="FILE", help="Statements of its chain.")
    ] = None,
    _json: JsonOption = False,
) -> None:
    """Explain who can do what to a key, and what its thief could do."""
    from kontinuum.cli.key_powers import explained_name, explained_store
    from kontinuum.keys.keystore import load_store

    if what.startswith("/") and not Path(what).is_file():
        explained = explained_name(what, genesis, bundles or [])
    else:
        explained = explained_store(load_store(Path(what)))
    state.output.result(explained.data, explained.text)


_KINDS = {
    "ROOT": "a root: everything derives from it",
    "BRANCH": "a branch: its epochs, and every branch below it",
    "EPOCH": "an epoch: what a running node holds",
}


def _verify_free(path: Path) -> None:
    """Tell that a name is taken before anybody types a passphrase."""
    from kontinuum.base.errors import AlreadyExistsError

    if path.exists() or path.is_symlink():
        raise AlreadyExistsError(path)


def _open_root(file: Path, source: str) -> "WrittenRoot":
    """The root in a key store."""
    from kontinuum.keys.backup.roots import ShortSeed
    from kontinuum.keys.derivation import RootSeed
    from kontinuum.keys.keystore import load_store

    secret = _opened(_root_only(load_store(file), file), source)
    if isinstance(secret, RootSeed | ShortSeed):
        return secret
    raise AssertionError("the kind of a store was compared when it opened")


def _opened(store: "KeyStore", source: str) -> "StoredSecret":
    """The secret in a key store; a passphrase is asked for only if it has one."""
    from kontinuum.cli.backups import passphrase

    prompt, option = "Passphrase of the key store: ", "--passphrase-source"
    return store.open(passphrase(source, prompt, option) if store.protected else None)


def _root_only(store: "KeyStore", file: Path) -> "KeyStore":
    from kontinuum.keys.keystore import StoredKind

    if store.kind is not StoredKind.ROOT:
        raise CliError(
            f"{file} holds the secret of {_KINDS[store.kind.name]}; only a root is backed up",
            family=Exit.MISUSE,
            code="not_a_root",
            hint="whatever is below a root comes back with it",
        )
    return store


def _expected(root: str) -> bytes:
    """The public key that is meant by a text or a key store's name."""
    from kontinuum.cli.backups import root_key
    from kontinuum.keys.keystore import load_store

    key = root_key(root)
    if key is not None:
        return key
    if not Path(root).exists():
        raise CliError(
            f"{root} is neither a key store nor a root's public key of 64 hexadecimal digits",
            family=Exit.MISUSE,
            code="usage",
        )
    return _root_only(load_store(Path(root)), Path(root)).public


@contextlib.contextmanager
def _failed_check() -> "Iterator[None]":
    """A backup that fails its rehearsal is a failed check (1), not a wrong command line (2)."""
    from kontinuum.cli.output import code_of
    from kontinuum.identity import KeyFileError
    from kontinuum.keys.backup.errors import BackupError

    try:
        yield
    except (BackupError, KeyFileError) as error:
        hint = "make another backup while you still have the key"
        raise CliError(str(error), family=Exit.FAILURE, code=code_of(error), hint=hint) from error


def _pieces(form: str, count: int) -> str:
    return f"{count} shares" if form == "shares" else str(form)
