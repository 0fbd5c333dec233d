"""Passphrases that something else keeps: systemd's credentials, and the keyring of the operating system.

Source:   systemd.exec(5), "Credentials": a service finds each as a file in ``$CREDENTIALS_DIRECTORY``. The
          keyring is reached through the package ``keyring`` (Secret Service, KWallet, macOS, Windows).
Bounds:   CREDENTIAL_BYTES_MAX, KEYRING_TIMEOUT_S.
Trust:    a name from a configuration file never leaves the directory: it has no slash, and no link is
          followed. A keyring that asks its owner first may take a while; a daemon does not wait for ever.
Secrets:  a passphrase is returned and stands in no error.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from kontinuum.node.errors import PassphraseStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""The environment variable in which systemd names the directory of a service's credentials."""

CREDENTIAL_BYTES_MAX = 1024 + 2
"""Bytes of a credential: a passphrase of 1024 bytes and its line end. Our choice; longer ones are refused."""

KEYRING_TIMEOUT_S = 60.0
"""Seconds that a keyring may take, while somebody unlocks it. Our choice; then PassphraseError."""


def passphrase_from_credential(name: str) -> bytes:
    """Read the systemd credential ``name``: one line, with or without a line end.

    Raises:
        PassphraseStoreError: There is none, or it is no single line; the message says how to give one.
    """
    if "/" in name or name in ("", ".", ".."):
        raise PassphraseStoreError(f"{name!r} is no name of a credential")
    place = os.environ.get(CREDENTIALS_VARIABLE, "")
    if not Path(place).is_absolute():
        raise PassphraseStoreError(
            f"the credential {name} is asked for, and systemd gave no credentials ({CREDENTIALS_VARIABLE} is "
            f"not set); name it in the unit: LoadCredentialEncrypted={name}:/etc/kontinuum/{name}.cred"
        )
    try:
        # Non-blocking, so that a pipe of that name cannot make us wait.
        descriptor = os.open(Path(place) / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PassphraseStoreError(f"the credential {name} is no file")
            content = file.read(CREDENTIAL_BYTES_MAX + 1)
    except FileNotFoundError:
        raise PassphraseStoreError(
            f"systemd gave no credential {name}; name it in the unit: "
            f"LoadCredentialEncrypted={name}:/etc/kontinuum/{name}.cred"
        ) from None
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise PassphraseStoreError(f"the credential {name} cannot be read: {reason}") from None
    if len(content) > CREDENTIAL_BYTES_MAX:
        raise PassphraseStoreError(f"the credential {name} is longer than a passphrase may be")
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if b"\n" in line:
        raise PassphraseStoreError(f"the credential {name} has several lines, and a passphrase is one")
    return line


def passphrase_from_keyring(service: str, user: str) -> bytes:
    """Ask the operating system's keyring for what ``keyring set SERVICE USER`` stored.

    Raises:
        PassphraseStoreError: The package or a keyring is missing, it is locked, or holds no such entry.
    """
    try:
        import keyring
        from keyring.errors import KeyringError, KeyringLocked, NoKeyringError
    except ImportError:
        raise PassphraseStoreError(
            "a keyring is asked for and the package keyring is not installed: "
            "pip install 'kontinuum[keyring]'"
        ) from None
    entry = f"{service}/{user}"
    try:
        found = _within(KEYRING_TIMEOUT_S, lambda: keyring.get_password(service, user))
    except NoKeyringError:
        raise PassphraseStoreError(
            f"the keyring entry {entry} is asked for and this session has no keyring; a service uses "
            "credential:NAME instead"
        ) from None
    except KeyringLocked:
        raise PassphraseStoreError(
            f"the keyring with the entry {entry} is locked: unlock it in the desktop's session"
        ) from None
    except TimeoutError:
        raise PassphraseStoreError(
            f"the keyring did not give the entry {entry} within {KEYRING_TIMEOUT_S:g} s: it may be waiting "
            "to be unlocked"
        ) from None
    except KeyringError as error:
        raise PassphraseStoreError(f"the keyring cannot be asked for {entry}: {error}") from None
    if found is None:
        raise PassphraseStoreError(
            f"the keyring has no entry {entry}; make it with: keyring set {service} {user}"
        )
    return found.encode()


def _within(limit_s: float, ask: Callable[[], str | None]) -> str | None:
    """What ``ask`` returns or raises; its thread is left behind if it takes longer.

    Raises:
        TimeoutError: It does.
    """
    answers: list[str | None] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 -- raised again by the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="kontinuum keyring", daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]
