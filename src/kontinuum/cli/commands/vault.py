"""``kontinuum vault``: sealed objects in a data directory, whether or not its node runs."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from kontinuum.vault import Keyring, ObjectId, StoredObject, VaultStore

app = typer.Typer(
    help="Sealed objects in a data directory: put, get, list, delete, check; and the key that opens them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ObjectArgument = Annotated[
    str, typer.Argument(metavar="OBJECT", help="Its id, six characters of it or more, or its name.")
]


@app.command("put")
def put(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files; - reads standard input.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the vault.")] = None,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Seal to ML-KEM-768 and X25519; needs age 1.3 to open.")
    ] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Seal files into the vault. They are safe on the disk when this ends."""
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.output import printable, size_text
    from kontinuum.cli.sealing import Stopwatch, keyring, progress, vault
    from kontinuum.vault import Metadata

    if name is not None and len(files) > 1:
        raise CliError("--name is for one file", family=Exit.MISUSE, code="usage")
    for file in files:
        if str(file) != "-":
            _verify_readable(file)
    store = vault(directory)
    store.tidy()
    keys = keyring(directory, post_quantum=post_quantum)
    watch, objects, lines = Stopwatch(), [], []
    for file in files:
        source = Path("/dev/stdin") if str(file) == "-" else file
        called = name if name is not None else "" if str(file) == "-" else file.name
        size = file.stat().st_size if file.is_file() else 0
        metadata = Metadata(called, datetime.now(UTC))
        with progress(called, size) as told:
            stored = store.put_file(source, keys, metadata, entropy=SystemEntropy(), on_progress=told)
        objects.append(_object_json(stored) | {"name": called})
        lines.append(f"{stored.object_id}  {printable(called)}")
    total = sum(entry["size_bytes"] for entry in objects)
    state.output.result({"objects": objects, "bytes": total, "elapsed_s": watch.seconds()}, "\n".join(lines))
    state.output.note(f"{size_text(total)} in {watch.seconds():.2f} s")


@app.command("get")
def get(
    what: ObjectArgument,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Where to; - is standard output. Default: its name, here."),
    ] = None,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Open an object: its sender and all of its content are verified. Nothing is overwritten."""
    from kontinuum.cli.output import size_text
    from kontinuum.cli.sealing import Stopwatch, explained, keyring, progress, vault

    store, keys, watch = vault(directory), keyring(directory), Stopwatch()
    with explained():
        object_id = store.find(what, keys)
        with store.open(object_id, keys) as reader:
            described = reader.description
            name = described.metadata.name
            if to is not None and str(to) == "-":
                _write_out(reader.runs())
                return
            target = to or _named(name, object_id)
            with progress(name or object_id.short, described.content_bytes) as told:
                reader.copy_to(target.absolute(), told)
    result = {
        "object_id": str(object_id),
        "name": name,
        "to": str(target),
        "bytes": described.content_bytes,
        "sender": str(described.sender),
        "elapsed_s": watch.seconds(),
    }
    state.output.result(result, f"{target}: {size_text(described.content_bytes)}, verified")


@app.command("list")
def list_(
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Without names: no key is needed, no passphrase asked for.")
    ] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """List the objects, the oldest first."""
    from kontinuum.cli.output import columns, size_text
    from kontinuum.cli.sealing import keyring, vault

    store = vault(directory)
    objects = store.objects()
    keys = None if sealed or not objects else keyring(directory)
    entries = [_object_json(stored) | {"name": _name(store, stored, keys)} for stored in objects]
    rows = [
        [
            entry["object_id"][:12],
            size_text(entry["size_bytes"]) if entry["present"] else "lost",
            entry["stored_at"][:16].replace("T", " "),
            entry["name"] if entry["name"] is not None else "" if sealed else "(sealed to other keys)",
        ]
        for entry in entries
    ]
    text = columns(rows, ["object", "size", "since (UTC)", "" if sealed else "name"])
    total = sum(entry["size_bytes"] for entry in entries if entry["present"])
    state.output.result({"objects": entries, "bytes": total}, text if rows else "the vault is empty")


@app.command("delete")
def delete(
    what: Annotated[
        list[str],
        typer.Argument(metavar="OBJECT...", help="Ids, six characters of them or more, or names."),
    ],
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Delete objects, for good: copies on other nodes do not bring them back."""
    from kontinuum.cli.sealing import vault

    store = vault(directory)
    # All are found before the first one goes: a wrong name deletes nothing.
    found = dict.fromkeys(_found(store, name, directory) for name in what)
    for object_id in found:
        store.delete(object_id, at=datetime.now(UTC))
    deleted = [str(object_id) for object_id in found]
    state.output.result({"deleted": deleted}, "\n".join(f"deleted {object_id}" for object_id in deleted))


@app.command("check")
def check(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Read every object and compare it with its id; no key is needed. Ends with 1 if one is damaged."""
    from kontinuum.cli.sealing import progress, vault

    store = vault(directory)
    total, done = sum(stored.size_bytes for stored in store.objects()), 0
    checked = 0
    with progress("checking", total) as told:

        def show(stored: "StoredObject", _problem: str) -> None:
            nonlocal done, checked
            done, checked = done + stored.size_bytes, checked + 1
            told(done)

        damaged = store.check(show)
    entries = [{"object_id": lost.object_id.hex(), "problem": lost.problem} for lost in damaged]
    lines = [str(lost) for lost in damaged] or [f"{checked} object{'s' * (checked != 1)}, all whole"]
    state.output.result({"ok": not damaged, "objects": checked, "damaged": entries}, "\n".join(lines))
    if damaged:
        raise typer.Exit(Exit.FAILURE)


@app.command("key")
def key(
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write the secret key, for age's programs (0600)."),
    ] = None,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="The key of ML-KEM-768 and X25519; needs age 1.3.")
    ] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Show what others seal to for this node, or export the secret key that opens its objects."""
    from kontinuum.base.files import create_atomically
    from kontinuum.cli.sealing import keyring
    from kontinuum.keys.envelope import HybridKey, X25519Key, encode_key_file

    owner = keyring(directory, post_quantum=post_quantum)
    kind = HybridKey if post_quantum else X25519Key
    secret = next(found for found in owner.keys if isinstance(found, kind))
    recipient = secret.recipient.to_text()
    if export is not None:
        create_atomically(export, encode_key_file(secret, f"vault of {owner.signer.peer_id}"))
        state.output.note(f"whoever reads {export} reads the vault: move it to a safe place")
    result = {"recipient": recipient, "exported": None if export is None else str(export)}
    state.output.result(result, recipient)


@app.command("sync")
def sync(
    nodes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NODE...]", help="Nodes of the cluster: /1, a label, a key. Default: all."),
    ] = None,
    pull_only: Annotated[bool, typer.Option("--pull-only", help="Take copies, give none.")] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Make this vault and those of the cluster's other nodes alike; the node runs. Nothing is deleted."""
    from kontinuum.cli.output import columns, size_text
    from kontinuum.cli.session import run, running_node

    async def ask() -> dict[str, Any]:
        async with running_node(directory) as session:
            given = {"peers": list(nodes)} if nodes else {}
            return await session.ask("vault.sync", {**given, "push": not pull_only})

    synced = run(ask())["synced"]
    rows = [
        [
            each["peer"],
            f"{each['pulled']} objects, {size_text(each['pulled_bytes'])} came" if each["ok"] else "failed",
            f"{size_text(each['pushed_bytes'])} went" if each["ok"] else each["message"],
        ]
        for each in synced
    ]
    ok = all(each["ok"] and not each["missed"] for each in synced)
    text = (
        columns(rows, ["node", "from there", "to there"]) if rows else "no node of the cluster is connected"
    )
    state.output.result({"ok": ok, "synced": synced}, text)
    if not ok:
        raise typer.Exit(Exit.UNAVAILABLE)


def _verify_readable(file: Path) -> None:
    """Tell of a missing file before anything is sealed."""
    from kontinuum.base.errors import FileUnavailableError, NotAFileError

    if file.is_dir():
        raise NotAFileError(file, "a directory")
    if not os.access(file, os.R_OK):
        reason = "Permission denied" if file.exists() else "No such file or directory"
        raise FileUnavailableError(file, "read", reason)


def _object_json(stored: "StoredObject") -> dict[str, Any]:
    return {
        "object_id": str(stored.object_id),
        "size_bytes": stored.size_bytes,
        "stored_at": datetime.fromtimestamp(stored.stored_at, UTC).isoformat().replace("+00:00", "Z"),
        "present": stored.present,
    }


def _name(store: "VaultStore", stored: "StoredObject", keys: "Keyring | None") -> str | None:
    """The name of an object; none if it cannot be opened."""
    from kontinuum.keys.envelope import EnvelopeError
    from kontinuum.vault import DamagedObjectError, NoSuchObjectError

    if keys is None or not stored.present:
        return None
    try:
        return store.describe(stored.object_id, keys).metadata.name
    except (EnvelopeError, DamagedObjectError, NoSuchObjectError):  # The last: deleted meanwhile.
        return None


def _found(store: "VaultStore", what: str, directory: Path | None) -> "ObjectId":
    """The object that is meant; only a name needs a key."""
    from kontinuum.cli.sealing import explained, keyring
    from kontinuum.vault import NoSuchObjectError

    try:
        return store.find(what, None)
    except NoSuchObjectError:
        with explained():
            return store.find(what, keyring(directory))


def _named(name: str, object_id: "ObjectId") -> Path:
    """A file here of the object's name, if that is a name of a file and nothing else."""
    from kontinuum.transfer import BadFileNameError, verify_file_name

    try:
        return Path(verify_file_name(name))
    except BadFileNameError:
        raise CliError(
            f"the object {object_id.short} has no name that a file could have",
            family=Exit.MISUSE,
            code="usage",
            hint="say where to with --to FILE",
        ) from None


def _write_out(runs: Any) -> None:
    """Content to standard output, byte for byte."""
    for run in runs:
        sys.stdout.buffer.write(run)
    sys.stdout.buffer.flush()
