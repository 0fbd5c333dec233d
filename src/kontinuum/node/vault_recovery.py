"""A vault goes over to other keys: when its node joins a cluster, rekeys, gets another root, or was lost.

Joins the vault, which knows no chains, with the hierarchy of keys. A copy of a vault opens with the root
alone: the keys that its objects were sealed to are found by trying, those that a chain names first.

Bounds:   one object at a time; CHUNK_KEYS keys are tried at once, as many as the search's reach has.
Trust:    an object is believed if the key that signed it is among those found.
Secrets:  derived keys live for as long as the function that needs them.
Not pure: blocking file work.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from kontinuum.keys.envelope import EnvelopeError
from kontinuum.keys.recipients import Ancestors, party_of, readers_of
from kontinuum.keys.recovery import Reach
from kontinuum.keys.standing import Standing
from kontinuum.node.vault import epoch_keyring
from kontinuum.vault import VaultStore
from kontinuum.vault.errors import DamagedObjectError
from kontinuum.vault.reading import describe
from kontinuum.vault.resealing import reseal_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path as FilePath

    from kontinuum.base.entropy import Entropy
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret, EpochSecret
    from kontinuum.vault import Keyring, ObjectId
    from kontinuum.vault.resealing import Done, Resealed

CHUNK_KEYS = 64
"""Keys that are tried on an object at once. Our choice: an object is opened anew for each such group."""

COPY_PIECE_BYTES = 1024 * 1024
"""Bytes of a file that are copied at once."""


def cluster_keyring(chain: Chain, epochs: Sequence[EpochSecret], *, post_quantum: bool = False) -> Keyring:
    """The vault's keys of a node of a cluster; ancestors that have a key read along.

    Args:
        chain: The cluster's.
        epochs: The node's secrets, the current one first; earlier ones open.
        post_quantum: See :func:`epoch_keyring`.

    Raises:
        UnknownKeyError: Nobody speaks for the node's place now.
    """
    party = party_of(Standing(chain), epochs[0].path.place, Ancestors.ALL)
    return epoch_keyring(epochs, readers_of(party), post_quantum=post_quantum)


def reseal(
    directory: FilePath,
    old: Keyring,
    new: Keyring,
    *,
    at: datetime,
    entropy: Entropy,
    on_progress: Done | None = None,
) -> Resealed | None:
    """Seal a vault anew; see :func:`reseal_all`. None if there is no vault.

    Raises:
        FileUnavailableError: The disk is full, read-only or failing. Run it again when it is not.
    """
    if not directory.is_dir():
        return None
    store = VaultStore(directory)
    store.tidy()
    return reseal_all(store, old, new, at=at, entropy=entropy, on_progress=on_progress)


def copy_vault(source: FilePath, target: FilePath, *, at: datetime) -> list[tuple[ObjectId, str]]:
    """Copy a vault's objects, each verified by its id. Run again, it copies what is missing.

    Returns:
        Objects that are damaged in the source and could not be copied, and why.

    Raises:
        FileUnavailableError: A disk refuses. What was copied stays.
    """
    before, after = VaultStore(source), VaultStore(target)
    left: list[tuple[ObjectId, str]] = []
    for stored in before.objects():
        if not stored.present or not after.wants(stored.object_id):
            continue
        try:
            with before.opened(stored.object_id) as (descriptor, size):
                after.add_sealed(stored.object_id, _pieces(descriptor, size), at=at)
        except DamagedObjectError as error:
            left.append((stored.object_id, str(error)))
    return left


def find_owners(
    directory: FilePath, root: BranchSecret, chain: Chain | None = None, reach: Reach | None = None
) -> list[EpochSecret]:
    """The epochs to which a vault's objects are sealed, found from the root.

    Args:
        directory: The vault.
        root: Above all of them.
        chain: If it was not lost: its epochs are tried first.
        reach: How far to search beyond it; by default a household's cluster.

    Returns:
        Those that open something, in the order in which they were found.
    """
    store = VaultStore(directory)
    waiting = [stored.object_id for stored in store.objects() if stored.present]
    found: dict[tuple[str, int], EpochSecret] = {}
    candidates = _candidates(root, chain, reach or Reach())
    while waiting and (chunk := list(islice(candidates, CHUNK_KEYS))):
        keyring = epoch_keyring(chunk, ())
        owners = {epoch.signing().peer_id: epoch for epoch in chunk}
        left: list[ObjectId] = []
        for object_id in waiting:
            try:
                # Only the header: nothing is believed yet, and most keys do not fit.
                with store.opened(object_id, verify=False) as (descriptor, _):
                    owner = owners[describe(descriptor, directory, keyring).sender]
            except EnvelopeError:
                left.append(object_id)
                continue
            except DamagedObjectError:
                continue
            found[str(owner.path), owner.epoch] = owner
        waiting = left
    return list(found.values())


def _candidates(root: BranchSecret, chain: Chain | None, reach: Reach) -> Iterator[EpochSecret]:
    """Secrets of epochs, each once: those that the chain names, then by number."""
    tried: dict[tuple[tuple[tuple[int, int], ...], int], None] = {}
    for epoch in [] if chain is None else _declared(root, chain):
        tried[epoch.path.steps, epoch.epoch] = None
        yield epoch
    for branch in _branches(root, reach, reach.depth):
        for number in range(reach.epochs):
            if (branch.path.steps, number) not in tried:
                yield branch.epoch(number)


def _declared(root: BranchSecret, chain: Chain) -> Iterator[EpochSecret]:
    for path in dict.fromkeys(birth.path for birth in chain.registers.births()):
        branch = root.descendant(path)
        for number in sorted(chain.registers.epochs(path), reverse=True):
            yield branch.epoch(number)


def _branches(branch: BranchSecret, reach: Reach, depth: int) -> Iterable[BranchSecret]:
    yield branch
    if depth:
        for number in range(reach.branches):
            for child in range(reach.children):
                yield from _branches(branch.child(child, number), reach, depth - 1)


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size and (piece := os.pread(descriptor, min(COPY_PIECE_BYTES, size - at), at)):
        yield piece
        at += len(piece)
