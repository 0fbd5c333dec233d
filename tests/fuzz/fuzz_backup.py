"""Any bytes are a backup of a root, or an error of ours; a phrase is written back the same."""

import os
import sys
from pathlib import Path

from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity import KeyFileError
from kontinuum.identity.errors import PassphraseNeededError
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN, Argon2Cost
from kontinuum.keys import keystore
from kontinuum.keys.backup.errors import BackupError
from kontinuum.keys.backup.reading import BackupForm, read_backup
from kontinuum.keys.backup.roots import ShortSeed
from kontinuum.keys.backup.shares import Group, split_root
from kontinuum.keys.backup.words import phrase_of, read_phrase
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.keystore import ByPassphrase, Unprotected, encode_store

ROOT, SHORT = RootSeed(bytes(range(32))), ShortSeed(bytes(range(16)))
CHEAP = Argon2Cost(ARGON2_MEMORY_KIB_MIN, 1, 1)
SHARES = split_root(SHORT, [Group(2, 2)], entropy=SystemEntropy())[0]
STORES = [
    encode_store(secret, protection, entropy=SystemEntropy())
    for secret in (ROOT, SHORT, ROOT.cluster().child(1), ROOT.cluster().epoch(2))
    for protection in (Unprotected(), ByPassphrase("sesame", CHEAP))
]
SEEDS = [*STORES, *(b"\x00" + store[keystore._HEAD_BYTES :] for store in STORES)]
SEEDS += [phrase_of(ROOT).encode(), phrase_of(SHORT).encode(), "\n".join(SHARES).encode()]


def nobody():
    """Nobody has the passphrase: stretching takes time, and is no subject of fuzzing."""
    raise PassphraseNeededError("no passphrase")


def fuzz(data: bytes) -> None:
    """One input: as it is; and, after a zero, as the body of a key store with the right checksum."""
    take(data)
    if data[:1] == b"\x00":
        take(keystore._framed(1, data[1:]))


def take(data: bytes) -> None:
    """Read it as whatever it looks like."""
    try:
        read = read_backup([data], passphrase=nobody)
    except (BackupError, KeyFileError):
        return
    if read.form is BackupForm.WORDS:
        assert read_phrase(phrase_of(read.root)) == read.root


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable, [sys.executable, str(Path(__file__).with_name("run.py")), "backup", *sys.argv[1:]]
    )
