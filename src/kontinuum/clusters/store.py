"""What a node keeps of clusters in its data directory, so that a crash at any moment loses nothing.

::

    cluster/cluster.cbor            which cluster, which branch, where its keys are; orders
    cluster/chains/<id>.chain       statements, of our cluster and of others
    cluster/trust/<id>.trust        the list of trust of our cluster
    cluster/keys/                   secrets; see ``key_files``
    cluster/keys-<n>/               those of its earlier clusters and branches, while they are needed

``cluster.cbor`` is written last when a node joins a cluster, and it alone says which keys count: before it is
there, nothing has happened.

Source:   our own format, docs/protocols/cluster-files.md.
Bounds:   HOME_BYTES_MAX, FORMER_KEYS_MAX; those of record files, chains and the list of trust.
Trust:    the files are outside input: statements and entries are verified as if a stranger had sent them.
Secrets:  only in key stores. Directories are 0700, files 0600.
Not pure: blocking file work. One process at a time: whoever uses it holds the data directory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.base.files import read_private, write_atomically
from kontinuum.clusters.book import Book
from kontinuum.clusters.errors import (
    AlreadyInClusterError,
    DamagedStoreError,
    NewerStoreError,
    NoClusterError,
)
from kontinuum.clusters.home import HOME_BYTES_MAX, Home
from kontinuum.clusters.key_files import KeyFiles
from kontinuum.clusters.record_file import RecordFile, make_directory
from kontinuum.clusters.records import magic_of
from kontinuum.clusters.trust import TrustList, decode_entries, encode_entries
from kontinuum.keys.bundles import bundles, decode_bundle
from kontinuum.keys.chain import Chain
from kontinuum.keys.orders import Obedience
from kontinuum.keys.way_back import WayBack, way_back
from kontinuum.wire.errors import WrongVersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path as FilePath

    from kontinuum.base.entropy import Entropy
    from kontinuum.clusters.trust import TrustEntry
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.keys.genesis import ClusterId, Genesis
    from kontinuum.keys.keystore import Protection
    from kontinuum.keys.orders import Order
    from kontinuum.keys.paths import Path
    from kontinuum.keys.statements import Statement

COMPACT_RATIO = 2
"""Statements in a chain's file per statement that counts, from which on the file is written anew. Our
choice."""

COMPACT_STATEMENTS_MIN = 1000
"""Statements below which that is not worth it. Our choice."""

_CHAIN_MAGIC = magic_of("chain")
_TRUST_MAGIC = magic_of("trust")


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets that a node begins with, and how each is protected on its disk."""

    epoch: EpochSecret
    """What it runs with."""

    epoch_protection: Protection
    """By a passphrase that the running node is given, or not."""

    branch: BranchSecret | None
    """What makes its statements; None: kept elsewhere."""

    branch_protection: Protection
    """By a passphrase of its own, or not."""

    former: tuple[EpochSecret, ...] = ()
    """Earlier epochs of the same place, protected like the current one."""


class ClusterStore:
    """The directory ``cluster`` of a data directory.

    Args:
        directory: It need not exist.
        read_only: Look at the files of a running node; of these methods, only those that write no chains,
            lists or ``cluster.cbor`` may be called.
    """

    def __init__(self, directory: FilePath, *, read_only: bool = False) -> None:
        self.directory = directory
        self._read_only = read_only
        self.problems: list[str] = []
        """What was found wrong while reading and could be got over, for people."""
        self._files: dict[ClusterId, RecordFile] = {}
        self._home: Home | None = None

    # --- beginning ---

    def exists(self) -> bool:
        """Whether this node belongs to a cluster."""
        return self._home_file.exists()

    def begin(
        self, chain: Chain, path: Path, keys: Keys, trust: TrustList | None = None, *, entropy: Entropy
    ) -> None:
        """Make this node one of a cluster that knows it. All or nothing: ``cluster.cbor`` comes last.

        If it was of another cluster or branch, that one's chain, keys and trust stay beside the new ones.

        Raises:
            AlreadyInClusterError: It is on this branch of this cluster already.
            FileUnavailableError: The disk is full, read-only or not ours. Nothing changed.
        """
        before = self.home() if self.exists() else None
        if before is not None and (before.genesis.cluster, before.path) == (chain.cluster, path):
            raise AlreadyInClusterError(f"this node is {path} of this cluster already")
        home = Home(chain.genesis, path)
        if before is not None:
            home = home.after(before)
        make_directory(self.directory)
        while True:
            try:
                self._write_keys(home, keys, entropy)
                break
            except DamagedStoreError:  # Left by an attempt that a crash ended, with other keys.
                home = home.elsewhere()
        # What an attempt before a crash left is intact, and is said again without harm.
        self._chain_file(chain.cluster).append(bundles(chain))
        if trust is not None:
            self._trust_file(chain.cluster).replace(encode_entries(trust))
        self._write_home(home)

    # --- reading ---

    def home(self) -> Home:
        """Which cluster, which branch, what was ordered.

        Raises:
            NoClusterError: This node belongs to none.
            DamagedStoreError, NewerStoreError: ``cluster.cbor`` cannot be used.
            NotPrivateError, FileUnavailableError: It cannot be read.
        """
        if self._home is None:
            path = self._home_file
            if not path.exists():
                raise NoClusterError(
                    "this node belongs to no cluster; make one with `kontinuum cluster init`, or let a node "
                    "that is in one add it: `kontinuum cluster add-node`"
                )
            try:
                self._home = Home.decode(read_private(path, HOME_BYTES_MAX))
            except WrongVersionError:
                raise NewerStoreError(path) from None
            except PeerError as error:
                raise DamagedStoreError(
                    f"{path} is damaged ({error}); restore it from a backup, or let the node's parent give "
                    "it a new branch: kontinuum cluster recover"
                ) from None
        return self._home

    def load_book(self) -> Book:
        """All that this node knows of clusters. What is damaged is got over where the rest is intact.

        Raises:
            DamagedStoreError, NewerStoreError: A file cannot be used.
            NotPrivateError, FileUnavailableError: A file cannot be read.
        """
        if not self.exists():
            return Book()
        home = self.home()
        own = self._load_chain(home.genesis)
        trust = TrustList()
        for entry in self._trust_entries(own.cluster):
            trust.add(entry)
        heard = Book(own, home.path, trust).heard_trust()
        genesis = {entry.cluster: entry.genesis for entry in heard}
        others = [self._load_chain(genesis[cluster]) for cluster in sorted(genesis)]
        return Book(own, home.path, trust, others)

    def load_chain(self, genesis: Genesis) -> Chain:
        """What is kept of one cluster; empty if nothing is."""
        return self._load_chain(genesis)

    def obedience(self) -> Obedience:
        """What this node remembers of orders."""
        home = self.home()
        return Obedience(home.path, home.latest)

    def orders(self) -> tuple[Order, ...]:
        """Orders that were not obeyed yet, to anybody."""
        return self.home().pending

    # --- writing ---

    def append(self, cluster: ClusterId, statements: Iterable[Statement]) -> None:
        """Keep statements about a cluster; durable when this returns.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. Nothing was added.
        """
        self._chain_file(cluster).append(bundles(statements))

    def save_trust(self, trust: TrustList) -> None:
        """Keep the list of trust.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. The old list is untouched.
        """
        self._trust_file(self.home().genesis.cluster).replace(encode_entries(trust))

    def save_orders(self, latest: Mapping[StatementId, int], pending: Sequence[Order]) -> None:
        """Keep which orders were taken, and which are not obeyed yet.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. Nothing changed.
        """
        self._write_home(replace(self.home(), latest=dict(latest), pending=tuple(pending)))

    # --- secrets ---

    @property
    def keys(self) -> KeyFiles:
        """The secrets of this node's branch."""
        home = self.home()
        return KeyFiles(self.directory / home.keys, home.path)

    def current_epoch(self, book: Book, ask: Callable[[], str] | None = None) -> EpochSecret:
        """What this node runs with: the newest of its epochs here that its chain declares.

        Args:
            book: What :meth:`load_book` gave.
            ask: Gives the passphrase, if the file has one.

        Raises:
            NoKeyError: There is none.
            PassphraseNeededError, WrongPassphraseError, KeyFileError, NotPrivateError: It does not open.
        """
        epoch = None if book.own is None else self.keys.declared(book.own)
        return self.keys.epoch(epoch if epoch is not None else 0, ask)

    def epochs(self, book: Book, ask: Callable[[], str] | None = None) -> list[EpochSecret]:
        """The current epoch, then every other one that opens, of earlier branches and clusters too.

        Raises:
            As :meth:`current_epoch`.
        """
        current = self.current_epoch(book, ask)
        found = [current]
        home = self.home()
        for keys, path in ((home.keys, home.path), *reversed(home.former)):
            skip = current.epoch if keys == home.keys else None
            opened, problems = KeyFiles(self.directory / keys, path).all_epochs(ask, skip)
            self.problems += problems
            found += opened
        return found

    def way(self, book: Book) -> WayBack:
        """What this node has to do after what it learned."""
        if book.own is None or book.path is None:
            raise NoClusterError("this node belongs to no cluster")
        epoch = self.keys.declared(book.own)
        return way_back(book.own, book.path, -1 if epoch is None else epoch)

    def forget_former_keys(self) -> int:
        """Give up the secrets of earlier clusters and branches: what they sealed was sealed anew.

        Returns:
            How many directories were removed. What was on the disk's blocks may stay there.
        """
        home = self.home()
        if home.former:
            self._write_home(replace(home, former=()))
        removed = 0
        for keys, _ in home.former:
            removed += _remove_keys(self.directory / keys)
        return removed

    # --- inside ---

    @property
    def _home_file(self) -> FilePath:
        return self.directory / "cluster.cbor"

    def _trust_file(self, cluster: ClusterId) -> RecordFile:
        path = self.directory / "trust" / f"{cluster.hex()}.trust"
        return RecordFile(path, _TRUST_MAGIC, read_only=self._read_only)

    def _write_keys(self, home: Home, keys: Keys, entropy: Entropy) -> None:
        files = KeyFiles(self.directory / home.keys, home.path)
        if keys.branch is not None:
            files.write(keys.branch, keys.branch_protection, entropy=entropy)
        for epoch in (*keys.former, keys.epoch):
            files.write(epoch, keys.epoch_protection, entropy=entropy)

    def _write_home(self, home: Home) -> None:
        data = home.encode()
        if len(data) > HOME_BYTES_MAX:
            raise MisuseError("too many orders, or earlier keys, to keep")
        write_atomically(self._home_file, data)
        self._home = home

    def _chain_file(self, cluster: ClusterId) -> RecordFile:
        file = self._files.get(cluster)
        if file is None:
            path = self.directory / "chains" / f"{cluster.hex()}.chain"
            file = self._files[cluster] = RecordFile(path, _CHAIN_MAGIC, read_only=self._read_only)
        return file

    def _load_chain(self, genesis: Genesis) -> Chain:
        chain, file = Chain(genesis), self._chain_file(genesis.cluster)
        statements: list[Statement] = []
        for body in file.read():
            try:
                statements += decode_bundle(body)
            except PeerError as error:
                self.problems.append(f"{file.path}: {error}")
        merged = chain.merge(statements)
        self.problems += [f"{file.path}: {error}" for _, error in merged.refused]
        if merged.missing:
            self.problems.append(f"{file.path} lacks {len(merged.missing)} statements; other nodes have them")
        self.problems += file.problems
        file.problems = []
        if len(statements) > max(COMPACT_STATEMENTS_MIN, COMPACT_RATIO * len(chain)) and not self._read_only:
            file.replace(bundles(chain))
        return chain

    def _trust_entries(self, own: ClusterId) -> list[TrustEntry]:
        file = self._trust_file(own)
        entries: list[TrustEntry] = []
        for body in file.read():
            try:
                entries += [entry for entry in decode_entries(body) if entry.own == own]
            except PeerError as error:
                self.problems.append(f"{file.path}: {error}")
        self.problems += file.problems
        return entries


def _remove_keys(directory: FilePath) -> bool:
    if not directory.is_dir():
        return False
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    return True
