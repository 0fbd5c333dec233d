"""``kontinuum keys backup``: each form of a backup, written out and read back before anybody relies on it.

Secrets:  files are 0600 and directories 0700; nothing is ever replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import FileUnavailableError, MisuseError
from kontinuum.base.files import create_atomically, read_private, sync_directory
from kontinuum.cli.backups import passphrase
from kontinuum.keys.backup.roots import WrittenRoot, public_of, verify_root
from kontinuum.keys.backup.shares import Group, combine_shares, split_root
from kontinuum.keys.backup.sheet import Sheet
from kontinuum.keys.backup.words import phrase_of, read_phrase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DIRECTORY_MODE = 0o700
"""Permission bits of a directory with shares."""

_ALONE = (
    "Whoever reads this page owns every key below the root.",
    "Keep it dry, dark, and where nobody else goes.",
    "Do not photograph, scan or type it into a web page.",
    "Rehearse once a year:",
    "kontinuum keys verify-backup",
)
_SHARED = (
    "This share alone gives nothing away.",
    "Keep it apart from the others, and tell nobody which",
    "people hold them but those who must know.",
    "If the owner is gone, bring the shares together:",
    "kontinuum keys restore",
)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and read back."""

    root: bytes
    """The root's public key."""

    files: tuple[Path, ...]
    """The new files; none if it went to standard output."""

    texts: tuple[str, ...]
    """Words or shares for standard output, secret."""

    shown: str
    """What is shown to a person."""


class _Share(NamedTuple):
    """A share and what it is called."""

    name: str
    """In a file system."""

    title: str
    """On a page."""

    text: str
    """Its words."""


def write_backup(
    root: WrittenRoot,
    form: str,
    to: str,
    *,
    groups: Sequence[tuple[int, int]],
    groups_needed: int,
    passphrase_source: str,
    pdf: bool = False,
) -> Written:
    """Write a backup of ``root`` in one of the forms of the command, to a path or ``-``.

    Pages are SVG, or PDF if ``pdf`` says so, which goes into files only.

    Raises:
        AlreadyExistsError: There is something of that name.
        FileUnavailableError: The disk is full or read-only.
        MisuseError: The groups cannot be.
    """
    public = bytes(public_of(root))
    match form:
        case "words" | "sheet":
            words = phrase_of(root)
            verify_root(read_phrase(words), public)
            if form == "words":
                return _one(public, words, to)
            return _one(public, _page("Root", words, public, _ALONE, pdf=pdf), to)
        case "shares" | "share-sheets":
            sizes = [Group(*size) for size in groups]
            shares = split_root(root, sizes, groups_needed, entropy=SystemEntropy())
            _verify_shares(shares, sizes, groups_needed, public)
            labelled = _labelled(shares, sizes)
            if form == "share-sheets":
                notes = _notes(sizes, groups_needed)
                pages = {each.name: _page(each.title, each.text, public, notes, pdf=pdf) for each in labelled}
                return _many(public, pages, ".pdf" if pdf else ".svg", to)
            return _many(public, {each.name: f"# {each.title}\n{each.text}" for each in labelled}, ".txt", to)
    return _file(root, form, public, to, passphrase_source)


def _verify_shares(
    shares: Sequence[Sequence[str]], sizes: Sequence[Group], groups_needed: int, public: bytes
) -> None:
    """Read them back: every share takes part in a set that gives the root."""
    everything = [share for group in shares for share in group]
    verify_root(combine_shares(everything), public)
    least = [share for group, size in zip(shares, sizes, strict=True) for share in group[: size.threshold]]
    count = sum(size.threshold for size in sizes[:groups_needed])
    verify_root(combine_shares(least[:count]), public)


def _labelled(shares: Sequence[Sequence[str]], sizes: Sequence[Group]) -> list[_Share]:
    """Each share with what its page and its file are called."""
    labelled: list[_Share] = []
    for number, (group, size) in enumerate(zip(shares, sizes, strict=True), start=1):
        for index, text in enumerate(group, start=1):
            title = f"share {index} of {size.count}, needs {size.threshold}"
            title = f"Group {number}, {title}" if len(sizes) > 1 else title.capitalize()
            labelled.append(_Share(title.lower().replace(",", "").replace(" ", "-"), title, text))
    return labelled


def _notes(sizes: Sequence[Group], groups_needed: int) -> tuple[str, ...]:
    """What the holder of a share is told; the only share there is says everything to whoever reads it."""
    if len(sizes) == sizes[0].count == 1:
        return _ALONE
    if len(sizes) == 1:
        return _SHARED
    return (*_SHARED, f"It takes {groups_needed} of {len(sizes)} groups, each complete.")


def _page(title: str, words: str, public: bytes, notes: tuple[str, ...], *, pdf: bool) -> str | bytes:
    from kontinuum.keys.backup.sheet_pdf import pdf_page
    from kontinuum.keys.backup.sheet_svg import svg_page

    sheet = Sheet(title, tuple(words.split()), public, datetime.now(UTC).date(), notes)
    return pdf_page(sheet) if pdf else svg_page(sheet)


def _texts(contents: Iterable[str | bytes]) -> tuple[str, ...]:
    """What can go to standard output.

    Raises:
        MisuseError: There is a PDF file among it.
    """
    texts = []
    for content in contents:
        if isinstance(content, bytes):
            raise MisuseError("a PDF page is no text; it goes into a file")
        texts.append(content)
    return tuple(texts)


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode() + b"\n"


def _one(public: bytes, content: str | bytes, to: str) -> Written:
    if to == "-":
        texts = _texts([content])
        return Written(public, (), texts, texts[0])
    path = Path(to)
    _put(path, _bytes(content))
    return Written(public, (path,), (), str(path))


def _many(public: bytes, contents: Mapping[str, str | bytes], suffix: str, to: str) -> Written:
    """A new directory with a file for each share; or all of them on standard output."""
    if to == "-":
        texts = _texts(contents.values())
        return Written(public, (), texts, "\n\n".join(texts))
    directory = Path(to)
    try:
        directory.mkdir(mode=DIRECTORY_MODE)
        sync_directory(directory.absolute().parent)
    except OSError as error:
        raise FileUnavailableError(directory, "create", error.strerror or str(error)) from error
    paths = [directory / (name + suffix) for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        _put(path, _bytes(content))
    return Written(public, tuple(paths), (), "\n".join(map(str, paths)))


def _file(root: WrittenRoot, form: str, public: bytes, to: str, source: str) -> Written:
    """A file for a passphrase of its own."""
    from kontinuum.keys.backup.file import open_backup, seal_backup
    from kontinuum.keys.keystore import ByPassphrase, decode_store, encode_store

    said = passphrase(source, "New passphrase of the backup: ", "--backup-passphrase-source", confirm=True)
    entropy = SystemEntropy()
    read: Any
    if form == "age":
        data = seal_backup(root, said, entropy=entropy)
        read = open_backup(data, said)
    else:
        data = encode_store(root, ByPassphrase(said), entropy=entropy)
        read = decode_store(data).open(said)
    verify_root(read, public)
    if to == "-":
        return Written(public, (), (data.decode(),), data.decode())
    path = Path(to)
    _put(path, data)
    return Written(public, (path,), (), str(path))


def _put(path: Path, data: bytes) -> None:
    """Write a new file, durably, and read it again."""
    create_atomically(path, data)
    if read_private(path, len(data)) != data:
        raise FileUnavailableError(path, "read back", "it holds something else than was written")
