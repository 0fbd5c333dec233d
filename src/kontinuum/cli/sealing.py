"""What the commands about sealed files share: whose keys, how far it is, and what an error means."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import data_dir
from kontinuum.cli.progress import TransferBars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kontinuum.identity import KeyPair
    from kontinuum.keys.envelope import Claim, ListedReader
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.vault import Keyring, VaultStore

_HINTS = {
    "no_matching_key": "a reader's key opens it: that of the node it is for, or of a parent; see --key",
    "not_signed": "if you trust it without knowing who made it: kontinuum open --unsigned",
    "truncated_header": "copy it again",
    "truncated_payload": "copy it again",
    "damaged_payload": "copy it again",
    "header_mac": "copy it again",
    "wrong_sender": "without --from anybody's file is opened, and its sender shown",
    "wrong_context": "an object of a vault is opened by: kontinuum vault get",
    "bad_key_text": "a recipient begins with age1; kontinuum vault key shows a node's",
}


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Say of a file that cannot be opened what a person can do; it is the file that is wrong, not a peer."""
    from kontinuum.keys.envelope import BadKeyTextError, EnvelopeError
    from kontinuum.node.control import error_code

    try:
        yield
    except (EnvelopeError, BadKeyTextError) as error:
        code = error_code(error)
        raise CliError(str(error), family=Exit.MISUSE, code=code, hint=_HINTS.get(code, "")) from error


def identity(directory: Path | None) -> KeyPair:
    """The identity of a data directory; a person is asked for its passphrase if it has one."""
    from kontinuum.identity import KeyPair

    owner = _owner(directory)
    return owner if isinstance(owner, KeyPair) else owner.signer


def keyring(directory: Path | None, *, post_quantum: bool = False) -> Keyring:
    """The keys of a data directory's vault.

    Args:
        directory: Which.
        post_quantum: What is put is sealed to ML-KEM-768 with X25519.
    """
    from kontinuum.identity import KeyPair
    from kontinuum.node.vault import vault_keyring

    owner = _owner(directory)
    if isinstance(owner, KeyPair):
        return vault_keyring(owner, post_quantum=post_quantum)
    return owner.keyring(post_quantum=post_quantum)


def _owner(directory: Path | None) -> KeyPair | ClusterHome:
    """The identity of a node without a cluster, or all that a node of one has."""
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.data_dir import DataDir
    from kontinuum.node.services import open_home

    path = data_dir(directory)
    inspected, config = DataDir.inspect(path), NodeConfig.load(data_dir=path)
    return open_home(config, inspected) or inspected.load_key(config.passphrase_source)


def vault(directory: Path | None) -> VaultStore:
    """The vault of a data directory, whether or not its node runs."""
    from kontinuum.node.data_dir import DataDir
    from kontinuum.node.vault import DIRECTORY
    from kontinuum.vault import VaultStore

    return VaultStore(DataDir.inspect(data_dir(directory)).path / DIRECTORY)


@contextlib.contextmanager
def progress(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar for one file, on a terminal; gives what takes the bytes that are done."""
    with TransferBars(state.output) as bars:
        event: dict[str, Any] = {"index": 0, "name": name, "size": size_bytes}
        yield lambda done: bars.update({**event, "done": done})


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def seconds(self) -> float:
        """So many, not zero."""
        return max(time.monotonic() - self._begin, 1e-6)


def readers_json(readers: tuple[ListedReader, ...]) -> list[dict[str, str]]:
    """Who can open it, for programs: the kind of key, its id in hexadecimal, and why."""
    return [
        {
            "key": reader.reader_id.kind.name.lower(),
            "id": reader.reader_id.id.hex(),
            "role": reader.role.name.lower(),
        }
        for reader in readers
    ]


def readers_text(claim: Claim) -> str:
    """The same for people, a line."""
    roles = [reader.role.name.lower() for reader in claim.readers]
    return ", ".join(f"{roles.count(role)} {role}" for role in dict.fromkeys(roles))
