"""The secrets of one node's branch on the disk: one key store for the branch, one for each of its epochs.

::

    branch-<branch>.key          makes statements; may be missing, kept elsewhere
    epoch-<branch>-<epoch>.key   what a running node holds; those of before open what is not resealed yet

A new file is written before the chain names it, and never replaced: a crash leaves a file that nothing names,
and that is found again when the same epoch is made once more, for its secret is the same.

Bounds:   EPOCHS_OPENED_MAX.
Secrets:  every file is a key store (``kontinuum.keys.keystore``), for its owner only.
Not pure: blocking file work. One process at a time: whoever uses it holds the data directory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError, KontinuumError
from kontinuum.clusters.errors import DamagedStoreError, NoKeyError
from kontinuum.clusters.record_file import make_directory
from kontinuum.identity.errors import (
    DamagedKeyFileError,
    EmptyKeyFileError,
    NotAKeyFileError,
    PassphraseNeededError,
    TruncatedKeyFileError,
    WrongPassphraseError,
)
from kontinuum.keys.derivation import BranchSecret, EpochSecret
from kontinuum.keys.keystore import create_store, load_store, public_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path as FilePath

    from kontinuum.base.entropy import Entropy
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.keystore import Protection
    from kontinuum.keys.paths import Path

EPOCHS_OPENED_MAX = 32
"""Earlier epochs that are opened at a start. Our choice: each takes a fifth of a second if it has a
passphrase. What older ones sealed opens by the branch's or an ancestor's secret."""

_EPOCH_FILE = re.compile(r"epoch-(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,3})\.key", re.ASCII)


class KeyFiles:
    """The secrets of a node in one directory.

    Args:
        directory: It need not exist before something is written.
        path: Whose they are.
    """

    def __init__(self, directory: FilePath, path: Path) -> None:
        self.directory = directory
        self.path = path

    def branch_file(self, branch: int | None = None) -> FilePath:
        """Where the secret of a branch is; by default of the node's branch."""
        return self.directory / f"branch-{self.path.branch if branch is None else branch}.key"

    def epoch_file(self, epoch: int, branch: int | None = None) -> FilePath:
        """Where the secret of an epoch is."""
        return self.directory / f"epoch-{self.path.branch if branch is None else branch}-{epoch}.key"

    def has_branch(self) -> bool:
        """Whether the branch's secret is on this machine."""
        return self.branch_file().exists()

    def write(
        self, secret: BranchSecret | EpochSecret, protection: Protection, *, entropy: Entropy
    ) -> FilePath:
        """Keep a secret. One that is there already, from before a crash, is left as it is.

        A file that nobody can read any more is put aside (``.damaged``).

        Raises:
            DamagedStoreError: Another secret has that name; it is not replaced.
            FileUnavailableError: The disk is full, read-only or not ours. Nothing was written.
        """
        path = self.branch_file(secret.path.branch)
        if isinstance(secret, EpochSecret):
            path = self.epoch_file(secret.epoch, secret.path.branch)
        make_directory(self.directory)
        try:
            create_store(path, secret, protection, entropy=entropy)
        except AlreadyExistsError:
            there = _public(path)
            if there is None:
                path.replace(path.with_suffix(".damaged"))
                create_store(path, secret, protection, entropy=entropy)
            elif there != public_key(secret):
                raise DamagedStoreError(f"{path} holds another key; move it away first") from None
        return path

    def branch(self, ask: Callable[[], str] | None = None) -> BranchSecret:
        """The branch's secret.

        Args:
            ask: Gives the passphrase, if the file has one.

        Raises:
            NoKeyError: It is not on this machine.
            PassphraseNeededError, WrongPassphraseError, KeyFileError, NotPrivateError: It does not open.
        """
        if not self.has_branch():
            raise NoKeyError(
                f"the secret of branch {self.path} is not on this machine ({self.branch_file()}); name the "
                "key store that holds it, or an ancestor's, with --parent"
            )
        secret = _opened(self.branch_file(), ask)
        if not isinstance(secret, BranchSecret) or secret.path != self.path:
            raise DamagedStoreError(f"{self.branch_file()} holds another key than its name says")
        return secret

    def epoch(self, epoch: int, ask: Callable[[], str] | None = None) -> EpochSecret:
        """The secret of one epoch of the node's branch.

        Raises:
            NoKeyError: It is not on this machine.
            PassphraseNeededError, WrongPassphraseError, KeyFileError, NotPrivateError: It does not open.
        """
        path = self.epoch_file(epoch)
        if not path.exists():
            raise NoKeyError(f"there is no {path}; make a new key with: kontinuum cluster rekey")
        secret = _opened(path, ask)
        if not isinstance(secret, EpochSecret) or (secret.path, secret.epoch) != (self.path, epoch):
            raise DamagedStoreError(f"{path} holds another key than its name says")
        return secret

    def epochs(self) -> list[int]:
        """The epochs of the node's branch whose secrets are here, newest first."""
        return [epoch for branch, epoch in self._listed() if branch == self.path.branch]

    def declared(self, chain: Chain) -> int | None:
        """The newest epoch that is here, whole, and that the chain declares for the node's branch."""
        said = chain.registers.epochs(self.path)
        for epoch in self.epochs():
            declared = [each.body.signing for each in said.get(epoch, ())]
            if declared and _public(self.epoch_file(epoch)) in declared:
                return epoch
        return None

    def all_epochs(
        self, ask: Callable[[], str] | None = None, skip: int | None = None
    ) -> tuple[list[EpochSecret], list[str]]:
        """Every epoch here that opens, newest first, of former branches too; and why others do not.

        Args:
            ask: Gives the passphrase of those that have one.
            skip: An epoch of the node's branch that is left out.
        """
        opened: list[EpochSecret] = []
        problems: list[str] = []
        listed = [each for each in self._listed() if each != (self.path.branch, skip)]
        for branch, epoch in listed[:EPOCHS_OPENED_MAX]:
            path = self.epoch_file(epoch, branch)
            try:
                secret = _opened(path, ask)
            except KontinuumError as error:
                problems.append(f"{path}: {error}")
                continue
            if isinstance(secret, EpochSecret):
                opened.append(secret)
        return opened, problems

    def _listed(self) -> list[tuple[int, int]]:
        try:
            names = sorted(path.name for path in self.directory.iterdir()) if self.directory.is_dir() else []
        except OSError as error:
            raise FileUnavailableError(self.directory, "read", error.strerror or str(error)) from error
        matches = [match for name in names if (match := _EPOCH_FILE.fullmatch(name))]
        return sorted(((int(match[1]), int(match[2])) for match in matches), reverse=True)


def _public(path: FilePath) -> bytes | None:
    """The public key of a file; None if its content is lost."""
    try:
        return load_store(path).public
    except (EmptyKeyFileError, TruncatedKeyFileError, DamagedKeyFileError, NotAKeyFileError):
        return None


def _opened(path: FilePath, ask: Callable[[], str] | None) -> object:
    store = load_store(path)
    try:
        if store.protected and ask is None:
            raise PassphraseNeededError(f"{path} is protected by a passphrase; give it, or name its source")
        return store.open(ask() if store.protected and ask is not None else None)
    except WrongPassphraseError:
        raise WrongPassphraseError(f"the passphrase does not open {path}; try again") from None
    except KontinuumError as error:
        error.add_note(f"key store: {path}")
        raise
