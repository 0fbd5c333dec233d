"""What a node has of its cluster on its disk, opened: who is who, and the secrets of its epochs.

Bounds:   those of ``ClusterStore``.
Trust:    files are checked as if strangers had written them.
Secrets:  the epochs' secrets, and the passphrase that opened them, which seals the next one; the branch's
          secret for as long as :meth:`ClusterHome.rekey` takes. None is in any text form.
Not pure: blocking file work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import MisuseError
from kontinuum.base.log import RoomLogger
from kontinuum.clusters.errors import NoKeyError
from kontinuum.clusters.store import ClusterStore
from kontinuum.keys.author import Author
from kontinuum.keys.envelope import Reader, Role, X25519Key
from kontinuum.keys.errors import UnknownKeyError
from kontinuum.keys.keystore import ByPassphrase, Unprotected, load_store
from kontinuum.node.passphrase import read_passphrase
from kontinuum.node.vault import epoch_keyring
from kontinuum.node.vault_recovery import cluster_keyring

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path as FilePath

    from kontinuum.clusters.book import Book
    from kontinuum.identity import KeyPair
    from kontinuum.keys.author import Rekeyed
    from kontinuum.keys.derivation import EpochSecret
    from kontinuum.keys.orders import Obedience, Order
    from kontinuum.keys.paths import Path
    from kontinuum.node.config import NodeConfig
    from kontinuum.vault import Keyring

_log = RoomLogger("node")


class _Passphrase:
    """A passphrase that is asked for once, when it is needed first."""

    def __init__(self, source: str, prompt: str) -> None:
        self._source = source
        self._prompt = prompt
        self._text: str | None = None

    def __call__(self) -> str:
        if self._text is None:
            self._text = read_passphrase(self._source, prompt=self._prompt)
        return self._text

    def __repr__(self) -> str:
        return "<passphrase>"


class ClusterHome:
    """The cluster of one data directory, opened. Made by :meth:`open`.

    Args:
        store: The files.
        ask: Gives the passphrase of the epochs.
        ask_branch: Gives that of the branch; ``None``: nothing but a person can open it.
    """

    def __init__(
        self, store: ClusterStore, ask: Callable[[], str], ask_branch: Callable[[], str] | None
    ) -> None:
        self.store = store
        self._ask = ask
        self._ask_branch = ask_branch
        self.book: Book
        """Who is who."""
        self.epochs: tuple[EpochSecret, ...]
        """The secret that the node runs with, then those of before."""
        self.obedience: Obedience
        self.orders: tuple[Order, ...]
        self.load()

    @classmethod
    def open(cls, directory: FilePath, config: NodeConfig) -> Self:
        """Open the directory ``cluster`` of a data directory.

        Raises:
            NoClusterError: There is none.
            NoKeyError: The secret of the current epoch is not there.
            PassphraseError, KeyFileError: It does not open; the message says what to do.
            DamagedStoreError, NewerStoreError, FileUnavailableError: Its files cannot be used.
        """
        source = config.branch_passphrase_source
        return cls(
            ClusterStore(directory),
            _Passphrase(config.passphrase_source, "Passphrase of the node's key: "),
            None if source == "none" else _Passphrase(source, "Passphrase of the node's branch: "),
        )

    def load(self) -> None:
        """Read everything anew."""
        self.book = self.store.load_book()
        self.epochs = tuple(self.store.epochs(self.book, self._ask))
        self.obedience = self.store.obedience()
        self.orders = self.store.orders()
        for problem in self.store.problems:
            _log.warning("something in the cluster's directory was got over", problem=problem)
        self.store.problems.clear()

    @property
    def path(self) -> Path:
        """The branch of this node."""
        return self.epochs[0].path

    @property
    def signer(self) -> KeyPair:
        """The key that the node runs with: its identity on the wire."""
        return self.epochs[0].signing()

    def keyring(self, *, post_quantum: bool = False) -> Keyring:
        """The vault's keys: this node's, and those of ancestors that have one, who read along.

        A node whose key is out of use opens what it has, and seals to itself alone.
        """
        if self.book.own is None:
            raise AssertionError("a node with a home has a cluster")
        try:
            return cluster_keyring(self.book.own, self.epochs, post_quantum=post_quantum)
        except UnknownKeyError:
            ourselves = Reader(X25519Key(self.epochs[0].encryption().expose()).recipient, Role.SELF)
            return epoch_keyring(self.epochs, (ourselves,), post_quantum=post_quantum)

    def kept(self, branch: int, epoch: int) -> EpochSecret:
        """The secret of an epoch of this node that somebody put into the directory.

        Raises:
            MisuseError: It is of another branch than this node's.
            NoKeyError: It is not there.
            PassphraseError, KeyFileError: It does not open.
        """
        if branch != self.path.branch:
            raise MisuseError(f"this node is on branch {self.path.branch}, not {branch}")
        return self.store.keys.epoch(epoch, self._ask)

    def rekey(self, at: datetime) -> Rekeyed:
        """Make the next epoch of this node's branch. Its secret is on the disk before the chain names it.

        Raises:
            NoKeyError: The branch's secret is not on this machine, or only a person can open it.
            NotLivingError, SpentError: The branch makes no further epoch.
            FileUnavailableError: The disk is full or read-only. Nothing happened.
        """
        if self.book.own is None:
            raise AssertionError("a node with a home has a cluster")
        keys = self.store.keys
        if self._ask_branch is None and keys.has_branch() and load_store(keys.branch_file()).protected:
            raise NoKeyError("the branch has a passphrase, and branch_passphrase_source is none")
        branch = keys.branch(self._ask_branch)
        # The statement is made on a copy: the chain has it when the machine merges it, and tells of it.
        rekeyed = Author(self.book.own.copy(), branch).rekey(at)
        protected = load_store(keys.epoch_file(self.epochs[0].epoch)).protected
        protection = ByPassphrase(self._ask()) if protected else Unprotected()
        keys.write(rekeyed.secret, protection, entropy=SystemEntropy())
        return rekeyed

    def move_to(self, secret: EpochSecret) -> None:
        """Run with another epoch from now on, which the chain declares."""
        self.epochs = (secret, *(epoch for epoch in self.epochs if epoch != secret))

    def take_over(self, data: bytes) -> None:
        """Take the keys that a parent sealed to this node: its place under a new root.

        Raises:
            HandoverError: They are no such keys, or not from where the old root went.
            EnvelopeError: They are sealed to somebody else.
            FileUnavailableError: The disk is full or read-only. Nothing happened.
        """
        from kontinuum.clusters.handover import take_over

        take_over(self.store, self.book, self.epochs, data, self._ask)
        self.load()
