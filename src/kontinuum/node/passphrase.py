"""Where a passphrase comes from: environment, descriptor, systemd, keyring, or a person at a terminal.

Bounds:   PASSPHRASE_BYTES_MAX.
Trust:    a passphrase never stands on a command line or in a configuration file, because other processes and
          backups read both. A variable that held one is removed once it is read, so that no child process
          inherits it. Nobody is asked without a terminal: a daemon must fail, not wait.
"""

from __future__ import annotations

import getpass
import os
import re
import sys

from kontinuum.node.errors import PassphraseError
from kontinuum.node.passphrase_stores import passphrase_from_credential, passphrase_from_keyring

PASSPHRASE_BYTES_MAX = 1024
"""UTF-8 bytes of a passphrase, as for the key file itself. More is likely a wrong file: refused."""

PASSPHRASE_VARIABLE = "KONTINUUM_PASSPHRASE"  # noqa: S105 -- the name of the variable
"""The environment variable that ``auto`` looks at first."""

SOURCES = "auto, prompt, env:NAME, fd:NUMBER, credential:NAME or keyring:SERVICE/USER"
"""The ways to give a passphrase, for a person."""

_WORD = r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}"

SOURCE_PATTERN = (
    rf"^(auto|prompt|env:[A-Za-z_][A-Za-z0-9_]*|fd:[0-9]{{1,4}}|credential:{_WORD}|keyring:{_WORD}/{_WORD})$"
)
"""The same as a regular expression. Names are one word: no slash, no leading dot, no control character."""

_SOURCE = re.compile(SOURCE_PATTERN, re.ASCII)


def read_passphrase(
    source: str = "auto", *, prompt: str = "Passphrase of the key: ", confirm: bool = False
) -> str:
    """Return a passphrase; it is not empty.

    Args:
        source: one of SOURCES, as in the setting ``passphrase_source``.
        prompt: what a person is asked.
        confirm: ask twice, for a new passphrase.

    Raises:
        PassphraseError: there is none to be had; the message says the ways to give one.
    """
    if not is_source(source):
        raise PassphraseError(f"passphrase source {source!r} is none of {SOURCES}")
    kind, _, name = source.partition(":")
    if kind == "auto" and PASSPHRASE_VARIABLE in os.environ:
        kind, name = "env", PASSPHRASE_VARIABLE
    if kind == "env":
        passphrase = _from_environment(name)
    elif kind == "fd":
        passphrase = _from_descriptor(int(name))
    elif kind == "credential":
        passphrase = passphrase_from_credential(name)
    elif kind == "keyring":
        service, _, user = name.partition("/")
        passphrase = passphrase_from_keyring(service, user)
    else:
        passphrase = _from_terminal(prompt, confirm=confirm)
    if not passphrase:
        raise PassphraseError("the passphrase is empty")
    if len(passphrase) > PASSPHRASE_BYTES_MAX:
        raise PassphraseError(f"the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")
    try:
        return passphrase.decode()
    except UnicodeDecodeError:
        raise PassphraseError("the passphrase is not UTF-8 text") from None


def is_source(text: str) -> bool:
    """Whether ``text`` is one of SOURCES."""
    return _SOURCE.fullmatch(text) is not None


def _from_environment(name: str) -> bytes:
    passphrase = os.environb.pop(name.encode(), None)
    if passphrase is None:
        raise PassphraseError(
            f"the environment variable {name} is not set, and it should hold the passphrase"
        )
    return passphrase


def _from_descriptor(number: int) -> bytes:
    """Read one line (or all, if there is no line end), and close the descriptor, as its secret is used up."""
    content = b""
    try:
        with os.fdopen(number, "rb", buffering=0) as file:
            while b"\n" not in content and len(content) <= PASSPHRASE_BYTES_MAX:
                part = file.read(PASSPHRASE_BYTES_MAX + 1)
                if not part:
                    break
                content += part
    except OSError as error:
        raise PassphraseError(
            f"no passphrase can be read from file descriptor {number}: {error.strerror}"
        ) from None
    return content.partition(b"\n")[0].removesuffix(b"\r")


def _from_terminal(prompt: str, *, confirm: bool) -> bytes:
    if not (sys.stdin and sys.stdin.isatty()):
        raise PassphraseError(
            "the key is protected by a passphrase and there is no terminal to ask for it: set "
            f"{PASSPHRASE_VARIABLE}, "
            'or hand it over a file descriptor with passphrase_source = "fd:3"'
        )
    try:
        passphrase = getpass.getpass(prompt)
        if confirm and getpass.getpass("Once more: ") != passphrase:
            raise PassphraseError("the two passphrases differ")
    except EOFError:
        raise PassphraseError("no passphrase was given") from None
    return passphrase.encode("utf-8", "surrogateescape")
