"""Where the passphrase of a key comes from: the environment, a file descriptor, or a person at a terminal.

Bounds:   PASSPHRASE_BYTES_MAX.
Trust:    a passphrase never stands on a command line or in a configuration file, because other processes and
          backups read both. A variable that held one is removed once it is read, so that no child process
          inherits it. Nobody is asked without a terminal: a daemon must fail, not wait.
"""

from __future__ import annotations

import getpass
import os
import sys

from kontinuum.node.errors import PassphraseError

PASSPHRASE_BYTES_MAX = 1024
"""UTF-8 bytes of a passphrase, as for the key file itself. More is likely a wrong file: refused."""

PASSPHRASE_VARIABLE = "KONTINUUM_PASSPHRASE"  # noqa: S105 -- the name of the variable
"""The environment variable that ``auto`` looks at first."""


def read_passphrase(
    source: str = "auto", *, prompt: str = "Passphrase of the key: ", confirm: bool = False
) -> str:
    """Return a passphrase; it is not empty.

    Args:
        source: ``auto``, ``prompt``, ``env:NAME`` or ``fd:NUMBER`` (the setting ``passphrase_source``).
        prompt: what a person is asked.
        confirm: ask twice, for a new passphrase.

    Raises:
        PassphraseError: there is none to be had; the message says the ways to give one.
    """
    kind, _, name = source.partition(":")
    if kind == "auto" and PASSPHRASE_VARIABLE in os.environ:
        kind, name = "env", PASSPHRASE_VARIABLE
    if kind == "env":
        passphrase = _from_environment(name)
    elif kind == "fd":
        passphrase = _from_descriptor(int(name))
    elif kind in ("auto", "prompt"):
        passphrase = _from_terminal(prompt, confirm=confirm)
    else:
        raise PassphraseError(f"passphrase source {source!r} is none of auto, prompt, env:NAME, fd:NUMBER")
    if not passphrase:
        raise PassphraseError("the passphrase is empty")
    if len(passphrase) > PASSPHRASE_BYTES_MAX:
        raise PassphraseError(f"the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")
    try:
        return passphrase.decode()
    except UnicodeDecodeError:
        raise PassphraseError("the passphrase is not UTF-8 text") from None


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
