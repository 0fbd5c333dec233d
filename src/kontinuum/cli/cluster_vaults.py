"""What a data directory needs besides keys when its node goes over to others: vault, settings, addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kontinuum.cli import state
from kontinuum.cli.sealing import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.cli.clusters import Work
    from kontinuum.identity import KeyPair
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import EpochSecret
    from kontinuum.node.data_dir import DataDir
    from kontinuum.vault import Keyring, Resealed


def reseal_for(work: Work, chain: Chain, epochs: Sequence[EpochSecret], source: str) -> Resealed | None:
    """Seal the vault of a data directory to its node's current key, with a bar; None if there is nothing.

    Args:
        work: The data directory.
        chain: The cluster's.
        epochs: The node's secrets, the current one first.
        source: Of the passphrase of the identity that the directory had before it was of any cluster.
    """
    from kontinuum.base.entropy import SystemEntropy
    from kontinuum.node.vault import DIRECTORY
    from kontinuum.node.vault_recovery import cluster_keyring, reseal

    vault = work.directory.path / DIRECTORY
    if not vault.is_dir():
        return None
    new = cluster_keyring(chain, epochs)
    old = _with_identity(new, former_identity(work, source, strict=False))
    with progress("sealing the vault anew", _size(work)) as told:
        resealed = reseal(
            vault,
            old,
            new,
            at=datetime.now(UTC),
            entropy=SystemEntropy(),
            on_progress=lambda done, _total: told(done),
        )
    if resealed is not None:
        report(resealed)
    return resealed


def former_identity(work: Work, source: str, *, strict: bool = True) -> KeyPair | None:
    """The identity that the directory had before it was of a cluster, if a vault may be sealed to it.

    Args:
        work: The data directory.
        source: Of its passphrase.
        strict: It must open. Otherwise what it alone opens stays as it is.

    Raises:
        WrongPassphraseError, KeyFileError: It does not open.
    """
    from kontinuum.cli.clusters import NODE_OPTION
    from kontinuum.identity.errors import KeyFileError, PassphraseNeededError, WrongPassphraseError
    from kontinuum.identity.key_file import load_key_file
    from kontinuum.node.vault import DIRECTORY

    file = work.directory.key
    if not file.exists() or not (work.directory.path / DIRECTORY).is_dir():
        return None
    try:
        return load_key_file(file)
    except PassphraseNeededError:
        pass
    prompt = f"Passphrase of {file.name}, the key that this directory had before: "
    try:
        return load_key_file(file, passphrase=work.passphrases.ask(source, prompt, NODE_OPTION))
    except WrongPassphraseError:
        problem = f"the passphrase does not open {file}, which the vault may be sealed to"
        if strict:
            raise WrongPassphraseError(problem) from None
    except KeyFileError as error:
        problem = str(error)
        if strict:
            raise
    state.output.note(problem)
    return None


def report(resealed: Resealed) -> None:
    """Say what became of a vault."""
    if resealed.sealed:
        state.output.note(f"{len(resealed.sealed)} objects of the vault are sealed to the new key")
    for object_id, why in resealed.left:
        state.output.note(f"object {object_id.short} could not be opened and stays as it is: {why}")


def write_settings(directory: DataDir, network: tuple[str, int] | None = None) -> None:
    """A commented ``node.toml``, if there is none yet.

    Args:
        directory: Where.
        network: Name and bits of work, if the node shall be in that network rather than in the default one.
    """
    from kontinuum.base.files import create_atomically
    from kontinuum.node.config import NodeConfig

    if directory.config.exists():
        return
    text = NodeConfig.example_toml()
    default = NodeConfig()
    if network is not None and network != (default.network, default.pow_bits):
        text = text.replace(f'#network = "{default.network}"', f'network = "{network[0]}"')
        text = text.replace(f"#pow_bits = {default.pow_bits}", f"pow_bits = {network[1]}")
    create_atomically(directory.config, text.encode())


def remember_contacts(directory: DataDir, contacts: Sequence[str]) -> int:
    """Keep whom the node meets first among its saved peers; return how many are of its network."""
    from kontinuum.base.errors import PeerError
    from kontinuum.identity import Contact
    from kontinuum.identity.pow import network_id
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.peer_store import PeerStore

    config = NodeConfig.load(data_dir=directory.path)
    peers = PeerStore(directory.peers, network_id=network_id(config.network), pow_bits=config.pow_bits)
    at = datetime.now(UTC)
    peers.load(at)
    kept = 0
    for text in contacts:
        try:
            peers.add(Contact.from_text(text), at, pinned=True)
            kept += 1
        except PeerError as error:
            state.output.note(f"a contact in the handover is of no use here: {error}")
    peers.save()
    return kept


def _with_identity(new: Keyring, identity: KeyPair | None) -> Keyring:
    """The keyring with what the directory's identity opened before it was of a cluster."""
    from dataclasses import replace

    from kontinuum.node.vault import vault_keyring

    if identity is None:
        return new
    before = vault_keyring(identity)
    senders = new.senders if isinstance(new.senders, list | tuple) else [new.signer.peer_id]
    return replace(new, keys=(*new.keys, *before.keys), senders=[*senders, identity.peer_id])


def _size(work: Work) -> int:
    from kontinuum.node.vault import DIRECTORY
    from kontinuum.vault import VaultStore

    return sum(stored.size_bytes for stored in VaultStore(work.directory.path / DIRECTORY).objects())
