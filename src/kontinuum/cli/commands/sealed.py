"""``kontinuum seal`` and ``kontinuum open``: files for others, without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.keys.envelope import Context, DecryptionKey, Reader

KEY_FILE_BYTES_MAX = 64 * 1024
"""Bytes of a file of age keys. Our choice: some hundreds of keys. Longer: refused."""


def _context() -> "Context":
    """What these files are for: an object of a vault, or a message, is not taken for one."""
    from kontinuum.keys.envelope import Context

    return Context("file")


def seal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is sealed.")],
    recipients: Annotated[
        list[str],
        typer.Option("--for", metavar="RECIPIENT", help="age1...: who shall open it; several times."),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The sealed file. Default: FILE.age")
    ] = None,
    own: Annotated[bool, typer.Option("--self/--no-self", help="Whether we can open it ourselves.")] = True,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Seal a file for others and sign it with this node's identity. Any age program opens it as well."""
    from datetime import UTC, datetime

    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.cli.output import size_text
    from kontinuum.cli.sealing import Stopwatch, explained, keyring, progress, readers_json
    from kontinuum.keys.envelope import seal_file
    from kontinuum.keys.envelope.readers import ListedReader
    from kontinuum.vault import Metadata

    target = to or file.with_name(file.name + ".age")
    with explained():
        readers = _readers(recipients)
        owner = keyring(directory)
        if own:
            readers = [_own_reader(owner.keys, readers), *readers]
        watch = Stopwatch()
        size = file.stat().st_size if file.is_file() else 0
        with progress(file.name, size) as told:
            sealed = seal_file(
                readers,
                file,
                target,
                signer=owner.signer,
                context=_context(),
                metadata=Metadata(file.name, datetime.now(UTC)).encode(),
                entropy=SystemEntropy(),
                on_progress=told,
            )
    listed = tuple(
        ListedReader(reader.recipient.reader_id, reader.role)
        for reader in readers
        if reader.recipient.reader_id is not None
    )
    result = {
        "to": str(target),
        "bytes": sealed,
        "sender": str(owner.signer.peer_id),
        "readers": readers_json(listed),
        "elapsed_s": watch.seconds(),
    }
    text = f"{target}: {size_text(sealed)} sealed to {len(listed)} key{'s' * (len(listed) > 1)}"
    state.output.result(result, text)


def _readers(recipients: list[str]) -> "list[Reader]":
    from kontinuum.keys.envelope import Reader, Role, parse_recipient

    return [Reader(parse_recipient(text), Role.PEER) for text in recipients]


def _own_reader(keys: "Sequence[DecryptionKey]", readers: "Sequence[Reader]") -> "Reader":
    """Ourselves, by a key of the same kind as the others': kinds are not mixed."""
    from kontinuum.keys.envelope import Reader, Role

    wanted = all(reader.recipient.post_quantum for reader in readers)
    return Reader(next(key.recipient for key in keys if key.recipient.post_quantum == wanted), Role.SELF)


def open_(  # noqa: PLR0917 -- typer passes by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is opened.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The content. Default: FILE without .age")
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="PEER", help="Open it only if this peer sealed it.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="A file of age keys instead of our own.")
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="A plain age file: nothing says who made it.")
    ] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Open a sealed file: verify who sealed it, for whom and for what, and all of its content."""
    from kontinuum.cli.output import printable, size_text
    from kontinuum.cli.sealing import Stopwatch, explained, progress, readers_json, readers_text
    from kontinuum.identity import PeerId
    from kontinuum.keys.envelope import open_file
    from kontinuum.wire import MalformedError

    target = to or _target(file)
    senders = None if sender is None else [PeerId.parse(sender)]
    watch = Stopwatch()
    with explained():
        keys = _keys(key, directory)
        if unsigned:
            if senders:
                raise CliError(
                    "an unsigned file has no sender that --from could ask for",
                    family=Exit.MISUSE,
                    code="usage",
                )
            _open_unsigned(keys, file, target)
            return
        size = file.stat().st_size if file.is_file() else 0
        with progress(file.name, size) as told:
            claim = open_file(keys, file, target, context=_context(), senders=senders, on_progress=told)
    from kontinuum.vault import Metadata

    try:
        name = Metadata.decode(claim.metadata).name
    except MalformedError:
        name = ""
    result: dict[str, Any] = {
        "to": str(target),
        "bytes": claim.size_bytes,
        "name": name,
        "sender": str(claim.sender),
        "readers": readers_json(claim.readers),
        "elapsed_s": watch.seconds(),
    }
    known = "as demanded" if senders else "whom nobody was asked about: compare the identity"
    text = [
        f"{target}: {size_text(claim.size_bytes)}" + (f", called {printable(name)}" if name else ""),
        f"sealed by {claim.sender}, {known}",
        f"readers: {readers_text(claim)}",
    ]
    state.output.result(result, "\n".join(text))


def _target(file: Path) -> Path:
    if file.suffix != ".age" or not file.stem:
        raise CliError(
            f"{file} does not end in .age, so the content needs a name",
            family=Exit.MISUSE,
            code="usage",
            hint="name one with --to",
        )
    return file.with_suffix("")


def _keys(file: Path | None, directory: Path | None) -> "Sequence[DecryptionKey]":
    """Those of a file, or the node's own."""
    from kontinuum.base.files import read_private
    from kontinuum.cli.sealing import keyring
    from kontinuum.identity import Secret
    from kontinuum.keys.envelope import parse_key_file

    if file is None:
        return keyring(directory).keys
    return parse_key_file(Secret(read_private(file, KEY_FILE_BYTES_MAX)))


def _open_unsigned(keys: "Sequence[DecryptionKey]", file: Path, target: Path) -> None:
    """Open a plain age file, its text form as well."""
    from kontinuum.cli.output import size_text
    from kontinuum.cli.sealing import Stopwatch
    from kontinuum.keys.envelope.plain_files import open_age_file

    watch = Stopwatch()
    size = open_age_file(keys, file, target)
    result = {
        "to": str(target),
        "bytes": size,
        "name": "",
        "sender": None,
        "readers": [],
        "elapsed_s": watch.seconds(),
    }
    state.output.result(result, f"{target}: {size_text(size)}; nothing says who sealed it")
