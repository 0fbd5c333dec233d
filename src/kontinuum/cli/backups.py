"""What the commands about backups share: where a backup comes from, and a person who types words.

Bounds:   PIECE_BYTES_MAX of each source.
Trust:    secrets come from files, descriptors, standard input or a terminal, never from the command line,
          which every process of the machine can read. Nobody is asked without a terminal.
Secrets:  words are typed unseen unless somebody asks to see them.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from typing import TYPE_CHECKING

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.identity import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.keys.backup.reading import ReadBackup
    from kontinuum.keys.keystore import Protection

_DESCRIPTOR = re.compile(r"fd:([0-9]{1,4})", re.ASCII)
_GROUP = re.compile(r"([0-9]{1,2})(?:/|of)([0-9]{1,2})", re.ASCII)
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def passphrase(source: str, prompt: str, option: str, *, confirm: bool = False) -> str:
    """A passphrase from where the option says.

    Raises:
        CliError: There is no such source, or a terminal is needed and there is none.
    """
    from kontinuum.node.passphrase import PASSPHRASE_VARIABLE, SOURCES, is_source, read_passphrase

    if not is_source(source):
        raise CliError(
            f"{option} {source!r} is none of {SOURCES}",
            family=Exit.MISUSE,
            code="usage",
        )
    asks = source == "prompt" or (source == "auto" and PASSPHRASE_VARIABLE not in os.environ)
    if asks and not at_terminal():
        wanted = prompt[0].lower() + prompt[1:].rstrip(": ")
        raise CliError(
            f"the {wanted} is needed, and there is no terminal to ask for it",
            family=Exit.MISUSE,
            code="passphrase",
            hint=f"{option} env:NAME, or {option} fd:NUMBER",
        )
    return read_passphrase(source, prompt=prompt, confirm=confirm)


def protection(source: str, *, unprotected: bool, option: str = "--passphrase-source") -> Protection:
    """How a new key store is protected: by a passphrase, unless somebody says otherwise."""
    from kontinuum.keys.keystore import ByPassphrase, Unprotected

    if unprotected:
        return Unprotected()
    return ByPassphrase(passphrase(source, "New passphrase of the key store: ", option, confirm=True))


def at_terminal() -> bool:
    """Whether a person can be asked."""
    return bool(sys.stdin and sys.stdin.isatty())


def root_key(text: str) -> bytes | None:
    """The public key that a text is, if it is one: 64 hexadecimal digits."""
    return bytes.fromhex(text) if _HEX_KEY.fullmatch(text) else None


def group_sizes(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Thresholds and counts: ``2of3`` or ``2/3``.

    Raises:
        CliError: A text is neither.
    """
    matches = [_GROUP.fullmatch(text) for text in texts]
    if not all(matches):
        raise CliError(
            "a group is written 2of3: how many shares are needed, and how many there are",
            family=Exit.MISUSE,
            code="usage",
        )
    return [(int(match[1]), int(match[2])) for match in matches if match]


def gather(sources: Sequence[str], backup_source: str, *, expected: bytes | None, echo: bool) -> ReadBackup:
    """The root that a backup gives, from files and descriptors, or typed by a person.

    Args:
        sources: Paths, ``fd:NUMBER``, or ``-``; none: a person is asked.
        backup_source: Where the passphrase of the backup comes from, if it has one.
        expected: The public key of the root that it must give.
        echo: Show what is typed.

    Raises:
        BackupError, KeyFileError: It gives no root, or another one; the leaf says why.
        CliError: There is neither a source nor a terminal.
    """
    from kontinuum.keys.backup.reading import read_backup

    pieces = [_piece(source) for source in sources] if sources else _typed(expected, echo=echo)
    return read_backup(
        pieces,
        expected=expected,
        passphrase=lambda: passphrase(
            backup_source, "Passphrase of the backup: ", "--backup-passphrase-source"
        ),
    )


def _piece(source: str) -> Secret:
    """The content of a file, a descriptor or standard input, at most a byte more than is allowed."""
    from kontinuum.base.errors import FileUnavailableError
    from kontinuum.keys.backup.reading import PIECE_BYTES_MAX

    match = _DESCRIPTOR.fullmatch(source)
    place: int | str = int(match[1]) if match else 0 if source == "-" else source
    try:
        with open(place, "rb", closefd=source != "-") as file:
            return Secret(file.read(PIECE_BYTES_MAX + 1))
    except OSError as error:
        from pathlib import Path

        raise FileUnavailableError(Path(source), "read", error.strerror or str(error)) from error


def _typed(expected: bytes | None, *, echo: bool) -> list[Secret]:
    """What a person types: a phrase, or shares until there are enough."""
    from kontinuum.keys.backup.shares import SHARE_WORDS, share_wordlist
    from kontinuum.keys.backup.words import PHRASE_WORDS, wordlist

    if not at_terminal():
        raise CliError(
            "no backup was given, and there is no terminal to ask for it",
            family=Exit.MISUSE,
            code="usage",
            hint="--from FILE, --from fd:NUMBER, or --from - for standard input",
        )
    read = _read_visible if echo else getpass.getpass
    state.output.note(
        "Count the words on the paper: a phrase has 12 or 24, a share 20 or 33. Then type them, one or"
        " several on a line; four letters of a word are enough."
        + ("" if echo else " Nothing is shown while you type (--echo shows it).")
    )
    count = _count((*PHRASE_WORDS, *SHARE_WORDS))
    try:
        if count in PHRASE_WORDS:
            return [_typed_phrase(count, wordlist(), read, expected)]
        return _typed_shares(count, share_wordlist(), read)
    except EOFError:
        raise CliError("the words ended early", family=Exit.MISUSE, code="usage") from None


def _count(allowed: Sequence[int]) -> int:
    while True:
        line = _read_visible("How many words? ").strip()
        if line.isascii() and line.isdigit() and int(line[:4]) in allowed:
            return int(line)
        state.output.note("12, 20, 24 or 33; count again, a word may be missing on the paper")


def _typed_phrase(
    count: int, words: Sequence[str], read: Callable[[str], str], expected: bytes | None
) -> Secret:
    """A phrase; words that are known to be wrong are asked for again."""
    from kontinuum.keys.backup.errors import WordChecksumError
    from kontinuum.keys.backup.words import read_phrase

    typed = _typed_words(count, words, read)
    try:
        read_phrase(" ".join(typed), expected=expected)
    except WordChecksumError as error:
        if not error.suspects:
            raise
        state.output.note(str(error))
        for position in error.suspects:
            typed[position - 1] = _typed_words(1, words, read, first=position)[0]
    return Secret(" ".join(typed).encode())


def _typed_shares(count: int, words: Sequence[str], read: Callable[[str], str]) -> list[Secret]:
    """Shares, each checked with those before it, until there are enough."""
    from kontinuum.keys.backup.errors import ShareError, TooFewSharesError
    from kontinuum.keys.backup.shares import combine_shares

    shares: list[str] = []
    while True:
        state.output.note(f"share {len(shares) + 1}:")
        share = " ".join(_typed_words(count, words, read))
        try:
            combine_shares([*shares, share])
        except TooFewSharesError as error:
            shares.append(share)
            state.output.note(str(error))
        except ShareError as error:
            state.output.note(f"{error}. The last share was not taken; type it again, or another one")
        else:
            return [Secret(text.encode()) for text in (*shares, share)]


def _typed_words(
    count: int, wordlist: Sequence[str], read: Callable[[str], str], *, first: int = 1
) -> list[str]:
    """``count`` words of the list; a mistyped one is asked for again, with what was probably meant."""
    from kontinuum.keys.backup.spelling import suggestions, words_in

    words: list[str] = []
    while len(words) < count:
        place = first + len(words)
        for typed in words_in(read(f"word {place}: ")):
            place, word = first + len(words), typed
            while word not in wordlist:
                near = suggestions(word, wordlist)
                if len(near) == 1 and len(typed) >= 4 and near[0].startswith(typed):
                    word = near[0]  # Four letters are the word; there is nothing to ask.
                    continue
                meant = f"did you mean {' or '.join(near)}? " if near else ""
                take = f"Enter for {near[0]}, or the" if near else "The"
                answer = words_in(read(f"word {place} is not in the list; {meant}{take} word: "))
                word = answer[0] if answer else near[0] if near else ""
            words.append(word)
    if len(words) > count:
        state.output.note(f"{len(words)} words were typed; the first {count} count")
    return words[:count]


def _read_visible(prompt: str) -> str:
    """A line from the terminal, prompted for on standard error, where results are not."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = os.fsdecode(sys.stdin.buffer.readline()) if hasattr(sys.stdin, "buffer") else sys.stdin.readline()
    if not line:
        raise EOFError
    return line
