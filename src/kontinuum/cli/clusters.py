"""What the commands about clusters share: the data directory, with or without its node, and secrets' sources.

A command that says something makes the statements itself, with a key that the node does not hold. If no node
runs, it takes the directory's lock and writes them down; otherwise it hands them to the node, which tells the
others at once, and leaves the directory alone but for new files of secrets.

Trust:    the data directory is our own user's; handovers and exported clusters are outside input.
Secrets:  they come from key stores, descriptors or a person, and never stand on a command line. A source is
          asked once for each command.
"""

from __future__ import annotations

import base64
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import data_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from kontinuum.clusters.book import Book
    from kontinuum.clusters.handover import Sealing
    from kontinuum.clusters.store import ClusterStore, Keys
    from kontinuum.keys.backup.roots import WrittenRoot
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.keys.keystore import Protection, StoredSecret
    from kontinuum.keys.recovery import CheckedRecovery
    from kontinuum.keys.statements import Statement
    from kontinuum.node.data_dir import DataDir


@dataclass
class Passphrases:
    """Passphrases, each asked for once: by their source, and those that a person types by what they open.

    A person is asked for each one: the root's passphrase must not become the one that a node runs with.
    """

    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def ask(self, source: str, prompt: str, option: str, *, new: bool = False) -> str:
        """The passphrase of a source.

        Args:
            source: As the option says.
            prompt: What a person is asked.
            option: The option's name, for errors.
            new: It is chosen now: a person is told so and types it twice, unless he has typed it before.
        """
        from kontinuum.cli.backups import passphrase
        from kontinuum.node.passphrase import PASSPHRASE_VARIABLE

        if source == "auto" and source not in self._known and PASSPHRASE_VARIABLE not in os.environ:
            source = "prompt"
        key = prompt if source == "prompt" else source
        if key not in self._known:
            asked = f"New {prompt[0].lower()}{prompt[1:]}" if new else prompt
            self._known[key] = passphrase(source, asked, option, confirm=new)
        return self._known[key]

    def asking(self, source: str, prompt: str, option: str) -> Callable[[], str]:
        """The same, when it is needed."""
        return lambda: self.ask(source, prompt, option)


@dataclass
class Work:
    """One data directory, for one command."""

    directory: DataDir
    store: ClusterStore
    running: bool
    """Its node runs: it is asked to do what changes the directory."""

    passphrases: Passphrases = field(default_factory=Passphrases)
    problems: list[str] = field(default_factory=list)
    """What was wrong with the files and could be got over."""

    def book(self) -> Book:
        """All that is known, from the disk: a running node writes before it speaks.

        Raises:
            CliError: The directory belongs to no cluster.
        """
        if not self.store.exists():
            self.store.home()  # It says how to come to one.
        book = self.store.load_book()
        for problem in self.store.problems:
            if problem not in self.problems:
                self.problems.append(problem)
                state.output.note(problem)
        self.store.problems.clear()
        return book

    def own(self) -> tuple[Book, Chain]:
        """The book and our own chain."""
        book = self.book()
        if book.own is None:
            raise AssertionError("a book that was loaded from a home has a chain")
        return book, book.own

    def say(self, cluster: ClusterId, statements: Sequence[Statement]) -> int | None:
        """Keep statements, and tell others. Returns how many fellows heard at once; None without a node."""
        from kontinuum.keys.bundles import bundles

        if not self.running:
            self.store.append(cluster, statements)
            return None
        encoded = [base64.b64encode(bundle).decode() for bundle in bundles(statements)]
        return int(self.ask("cluster.say", {"cluster": cluster.hex(), "bundles": encoded})["members"])

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the running node."""
        from kontinuum.cli.session import run, running_node

        async def work() -> dict[str, Any]:
            async with running_node(self.directory.path) as session:
                return await session.ask(method, params)

        return run(work())

    def contacts(self, given: Sequence[str]) -> tuple[str, ...]:
        """Whom a new node meets first: this node, if it runs, and who was named."""
        from kontinuum.identity import Contact

        for text in given:
            Contact.from_text(text)
        own = [str(self.ask("contact.show")["contact"])] if self.running else []
        return (*own, *given)

    def network(self) -> tuple[str, int]:
        """Which network this node is in: its name, and the bits of work that it demands."""
        from kontinuum.node.config import NodeConfig

        config = NodeConfig.load(data_dir=self.directory.path)
        return config.network, config.pow_bits

    def signing_epoch(self, book: Book, source: str) -> EpochSecret:
        """The secret that the node runs with."""
        return self.store.current_epoch(book, self.passphrases.asking(source, NODE_PROMPT, NODE_OPTION))


NODE_PROMPT = "Passphrase of the node's key: "
NODE_OPTION = "--passphrase-source"
BRANCH_PROMPT = "Passphrase of the node's branch: "
BRANCH_OPTION = "--branch-passphrase-source"
PARENT_PROMPT = "Passphrase of {}: "
PARENT_OPTION = "--parent-passphrase-source"
HANDOVER_PROMPT = "Passphrase of the handover: "
HANDOVER_OPTION = "--handover-passphrase-source"


@contextlib.contextmanager
def workplace(given: Path | None, *, create: bool = False) -> Iterator[Work]:
    """The data directory of a command, locked, or beside its running node.

    Args:
        given: The directory, if the command line names one.
        create: Make it; then no node may run in it.
    """
    from kontinuum.clusters.store import ClusterStore
    from kontinuum.node.data_dir import DataDir
    from kontinuum.node.errors import DataDirLockedError

    path = data_dir(given)
    fresh = create and not path.expanduser().exists()
    try:
        directory = DataDir.open(path, create=create)
    except DataDirLockedError:
        if create:
            raise
        directory = DataDir.inspect(path)
        yield Work(directory, ClusterStore(directory.cluster, read_only=True), running=True)
        return
    with directory:
        try:
            yield Work(directory, ClusterStore(directory.cluster), running=False)
        except BaseException:
            if fresh:
                _take_back(directory)
            raise


def _take_back(directory: DataDir) -> None:
    """Remove a directory that a command made and then had nothing to put into."""
    if [each.name for each in directory.path.iterdir()] == [directory.lock.name]:
        directory.lock.unlink()
        directory.path.rmdir()


def stored_secret(work: Work, file: Path, source: str, option: str = PARENT_OPTION) -> StoredSecret:
    """The secret in a key store."""
    from kontinuum.identity.errors import WrongPassphraseError
    from kontinuum.keys.keystore import load_store

    store = load_store(file)
    if not store.protected:
        return store.open()
    given = work.passphrases.ask(source, PARENT_PROMPT.format(file), option)
    try:
        return store.open(given)
    except WrongPassphraseError:
        raise WrongPassphraseError(f"the passphrase does not open {file}; try again") from None


def stored_root(work: Work, file: Path, source: str, option: str = PARENT_OPTION) -> WrittenRoot:
    """The root in a key store.

    Raises:
        CliError: It holds something else.
    """
    from kontinuum.keys.backup.roots import ShortSeed
    from kontinuum.keys.derivation import RootSeed

    secret = stored_secret(work, file, source, option)
    if isinstance(secret, RootSeed | ShortSeed):
        return secret
    raise CliError(
        f"{file} holds no root",
        family=Exit.MISUSE,
        code="not_a_root",
        hint="make a key store from the root's words with: kontinuum keys restore FILE",
    )


def speaker(
    work: Work, chain: Chain, parent: Path | None, source: str
) -> tuple[BranchSecret, CheckedRecovery | None]:
    """The branch that a command speaks for: the key store that was named, or this node's own branch."""
    from kontinuum.clusters.acts import branch_of

    if parent is not None:
        return branch_of(chain, stored_secret(work, parent, source))
    return work.store.keys.branch(work.passphrases.asking(source, BRANCH_PROMPT, PARENT_OPTION)), None


def protection(work: Work, source: str, prompt: str, option: str, *, unprotected: bool) -> Protection:
    """How a new file of secrets is protected: by a passphrase, unless somebody says otherwise."""
    from kontinuum.keys.keystore import ByPassphrase, Unprotected

    if unprotected:
        return Unprotected()
    return ByPassphrase(work.passphrases.ask(source, prompt, option, new=True))


def new_keys(
    work: Work,
    branch: BranchSecret,
    epoch: EpochSecret,
    *,
    source: str,
    branch_source: str,
    unprotected: bool,
    former: tuple[EpochSecret, ...] = (),
) -> Keys:
    """The secrets of a new node, with their protection."""
    from kontinuum.clusters.store import Keys

    node = protection(work, source, NODE_PROMPT, NODE_OPTION, unprotected=unprotected)
    above = protection(work, branch_source, BRANCH_PROMPT, BRANCH_OPTION, unprotected=unprotected)
    if node == above and not unprotected:
        state.output.note(
            "the node's key and its branch have one passphrase: who learns it has both; better two "
            f"({BRANCH_OPTION})"
        )
    return Keys(epoch, node, branch, above, former)


def sealing(work: Work, recipient: str | None, source: str, *, unsealed: bool) -> Sealing:
    """How a handover is sealed.

    Raises:
        CliError: Both were asked for.
    """
    from kontinuum.keys.envelope import parse_recipient
    from kontinuum.keys.keystore import ByPassphrase, Unprotected

    if recipient is not None and unsealed:
        raise CliError("--recipient and --unsealed exclude each other", family=Exit.MISUSE, code="usage")
    if unsealed:
        return Unprotected()
    if recipient is not None:
        return parse_recipient(recipient)
    return ByPassphrase(work.passphrases.ask(source, HANDOVER_PROMPT, HANDOVER_OPTION, new=True))


def verify_free(path: Path) -> None:
    """Tell that a name is taken, or its directory missing, before anybody types a passphrase."""
    from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError

    if path.exists() or path.is_symlink():
        raise AlreadyExistsError(path)
    if not path.absolute().parent.is_dir():
        raise FileUnavailableError(path, "create", "there is no such directory")
