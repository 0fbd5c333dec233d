"""The vault of a node, for programs: the blocking store in worker threads, with the node's own keys.

Bounds:   those of the vault; one thread for each operation in work.
Trust:    what a vault gives back was signed by this node for its vault; see ``kontinuum.vault.store``.
Secrets:  :func:`vault_keyring` derives the encryption key from the node's signing seed under a label of its
          own, until the hierarchy of keys gives epochs theirs (docs/adr/0051-envelopes.md): a seed is never
          used for two things.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kontinuum.base.clock import Clock, SystemClock
from kontinuum.base.entropy import Entropy, SystemEntropy
from kontinuum.identity import KeyPair, Secret
from kontinuum.keys.derivation import labelled
from kontinuum.keys.envelope import HybridKey, Reader, Role, X25519Key
from kontinuum.keys.envelope.files import even_runs
from kontinuum.node.errors import VaultOffError
from kontinuum.vault import Keyring, Metadata, NoSuchObjectError, ObjectId, VaultStore
from kontinuum.vault.reading import OBJECT_BYTES_MAX
from kontinuum.vault.resealing import reseal_all

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from kontinuum.keys.derivation import EpochSecret
    from kontinuum.keys.envelope.files import Progress
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.vault import Description, ObjectReader, StoredObject
    from kontinuum.vault.resealing import Done, Resealed

DIRECTORY = "vault"
"""The vault's directory within a data directory."""

FIND_TRIES = 3
"""Times that an object is looked for by its name: while a vault is sealed anew, the one that was found may be
replaced before it is opened. Our choice."""

T = TypeVar("T")


def open_vault(home: tuple[Path, KeyPair | ClusterHome] | None, clock: Clock) -> NodeVault:
    """The vault of a node.

    Args:
        home: Its data directory, and its identity or its keys in a cluster; ``None`` if it keeps nothing.
        clock: Where the time comes from.

    Raises:
        VaultOffError: It keeps nothing.
    """
    if home is None:
        raise VaultOffError
    directory, owner = home
    keyring = vault_keyring(owner) if isinstance(owner, KeyPair) else owner.keyring()
    return NodeVault(directory / DIRECTORY, keyring, clock)


class _CancelledError(Exception):
    """Ends the work of a thread whose task was cancelled; nobody sees it."""


class _Job:
    """Work in a thread, as its task sees it: how far it is, what it waits for, and whether it shall end."""

    def __init__(self, on_progress: Progress | None) -> None:
        self._on_progress = on_progress
        self._cancelled = threading.Event()
        self._awaited: concurrent.futures.Future[bytes | None] | None = None

    def progress(self, done: int) -> None:
        """Called in the thread after each run."""
        if self._cancelled.is_set():
            raise _CancelledError
        if self._on_progress is not None:
            self._on_progress(done)

    def wait(self, future: concurrent.futures.Future[bytes | None]) -> bytes | None:
        """Called in the thread: what the event loop will give."""
        self._awaited = future
        if self._cancelled.is_set():  # Perhaps before anybody knew what we wait for.
            future.cancel()
        return future.result()

    def cancel(self) -> None:
        """Called in the event loop."""
        self._cancelled.set()
        if self._awaited is not None:
            self._awaited.cancel()


def vault_keyring(key_pair: KeyPair, *, post_quantum: bool = False) -> Keyring:
    """The keys of a node without a cluster, derived from its identity: its key file backs them up.

    Args:
        key_pair: The node's identity.
        post_quantum: Seal what is put from now on to ML-KEM-768 and X25519. Both kinds are opened.
    """
    classical = X25519Key(Secret(labelled(key_pair.seed, "vault-encryption")))
    hybrid = HybridKey(Secret(labelled(key_pair.seed, "vault-encryption-pq")))
    keys = (hybrid, classical) if post_quantum else (classical, hybrid)
    return Keyring(key_pair, (Reader(keys[0].recipient, Role.SELF),), keys)


def epoch_keyring(
    epochs: Sequence[EpochSecret], readers: tuple[Reader, ...], *, post_quantum: bool = False
) -> Keyring:
    """The keys of a node of a cluster.

    Args:
        epochs: Its secrets, the current one first; the earlier ones open what is not sealed anew yet.
        readers: From ``keys.recipients.readers_of``: its current key, and ancestors by policy.
        post_quantum: Seal what is put from now on to ML-KEM-768 and X25519, and to this node alone: its
            ancestors' keys are classical, and the two do not mix; they derive. Both kinds are opened.
    """
    classical = [X25519Key(epoch.encryption().expose()) for epoch in epochs]
    hybrid = [_hybrid_key(epoch) for epoch in epochs]
    own = (Reader(hybrid[0].recipient, Role.SELF),)
    if post_quantum:
        readers = own
    pairs = zip(hybrid, classical, strict=True) if post_quantum else zip(classical, hybrid, strict=True)
    keys = tuple(key for pair in pairs for key in pair)
    signers = tuple(epoch.signing() for epoch in epochs)
    senders = [signer.peer_id for signer in signers]
    return Keyring(signers[0], readers, keys, hybrid_readers=own, current_keys=2, senders=senders)


def _hybrid_key(epoch: EpochSecret) -> HybridKey:
    return HybridKey(Secret(labelled(epoch.storage().expose(), "vault-encryption-pq")))


class NodeVault:
    """Sealed objects in the node's data directory: ``node.vault``.

    Args:
        directory: Where; made when something is put.
        keyring: Whose it is.
        clock: Where the time comes from.
        entropy: For data keys.
    """

    def __init__(
        self,
        directory: Path,
        keyring: Keyring,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self.store = VaultStore(directory)
        self.keyring = keyring
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()

    async def put(
        self, content: bytes | Path, *, name: str = "", on_progress: Progress | None = None
    ) -> StoredObject:
        """Seal bytes, or the file of a path; durable when this returns. Cancelling leaves nothing behind.

        Args:
            content: What is put.
            name: For people; several objects may have the same. A file's own name if none is given.
            on_progress: Called in the worker thread with the bytes sealed so far.

        Raises:
            VaultFullError: There are as many objects as a vault may have.
            FileUnavailableError: The disk is full, read-only or failing, or the file cannot be read.
        """
        at = self._clock.utc()
        if isinstance(content, Path):
            metadata = Metadata(name or content.name, at)
            return await self._work(
                lambda job: self.store.put_file(
                    content, self.keyring, metadata, entropy=self._entropy, on_progress=job.progress
                ),
                on_progress,
            )
        metadata = Metadata(name, at)
        return await self._work(
            lambda job: self.store.put(
                even_runs([content]), self.keyring, metadata, entropy=self._entropy, on_progress=job.progress
            ),
            on_progress,
        )

    async def put_stream(self, pieces: AsyncIterator[bytes], *, name: str = "") -> StoredObject:
        """Seal what an asynchronous iterator gives, as it comes; see :meth:`put`."""
        loop, metadata = asyncio.get_running_loop(), Metadata(name, self._clock.utc())

        async def next_piece() -> bytes | None:
            return await anext(pieces, None)

        def chunks(job: _Job) -> Iterator[bytes]:
            while (piece := job.wait(asyncio.run_coroutine_threadsafe(next_piece(), loop))) is not None:
                yield piece

        return await self._work(
            lambda job: self.store.put(
                even_runs(chunks(job)),
                self.keyring,
                metadata,
                entropy=self._entropy,
                on_progress=job.progress,
            )
        )

    async def get(self, what: ObjectId | str, *, bytes_max: int = OBJECT_BYTES_MAX) -> bytes:
        """The content of an object, verified.

        Args:
            what: Its id, the beginning of one, or its name.
            bytes_max: How much is read into memory at most.

        Raises:
            NoSuchObjectError, AmbiguousObjectError: It is none, or several.
            ObjectTooLargeError: It is longer than ``bytes_max``; see :meth:`save` and :meth:`stream`.
            DamagedObjectError: Its file is gone, cut off or was changed; the message says what to do.
            EnvelopeError: It is not sealed to our keys, or not by us.
            FileUnavailableError: It cannot be read.
        """
        return await self._read(what, lambda reader, _: reader.read(bytes_max))

    async def save(
        self, what: ObjectId | str, target: Path, *, on_progress: Progress | None = None
    ) -> Description:
        """Write an object's content into a new file, which appears when all of it is there; see :meth:`get`.

        Raises:
            AlreadyExistsError: ``target`` is there; it is untouched.
        """

        def copy(reader: ObjectReader, job: _Job) -> Description:
            reader.copy_to(target, job.progress)
            return reader.description

        return await self._read(what, copy, on_progress)

    async def stream(self, what: ObjectId | str) -> AsyncIterator[bytes]:
        """The content of an object in pieces of a mebibyte; all of it was verified before the first.

        See :meth:`get` for what may be wrong.
        """
        object_id = await self.find(what)
        with contextlib.ExitStack() as stack:
            reader = await asyncio.to_thread(stack.enter_context, self.store.open(object_id, self.keyring))
            runs = reader.runs()
            while (run := await asyncio.to_thread(next, runs, None)) is not None:
                yield bytes(run)

    async def list(self) -> list[StoredObject]:
        """Every object, in the order in which they came; no key is needed."""
        return await asyncio.to_thread(self.store.objects)

    async def describe(self, what: ObjectId | str) -> Description:
        """Name, time, sender and readers of an object; see :meth:`get`."""
        object_id = await self.find(what)
        return await asyncio.to_thread(self.store.describe, object_id, self.keyring)

    async def delete(self, what: ObjectId | str) -> ObjectId:
        """Delete an object for good; see :meth:`get` for what may be wrong with ``what``."""
        object_id = await self.find(what)
        await asyncio.to_thread(self.store.delete, object_id, at=self._clock.utc())
        return object_id

    async def rekey(self, keyring: Keyring, *, on_progress: Done | None = None) -> Resealed:
        """Seal everything anew, for other keys; what is put from now on is sealed to them too.

        Args:
            keyring: The new keys, with the old ones behind them.
            on_progress: Called in the worker thread with the bytes that are done and that there are.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. Run it again when it is not.
        """
        old, self.keyring = self.keyring, keyring

        def reseal(job: _Job) -> Resealed:
            def progress(done: int, total: int) -> None:
                job.progress(done)
                if on_progress is not None:
                    on_progress(done, total)

            at = self._clock.utc()
            return reseal_all(self.store, old, keyring, at=at, entropy=self._entropy, on_progress=progress)

        return await self._work(reseal)

    async def find(self, what: ObjectId | str) -> ObjectId:
        """The id of the object that is meant; see :meth:`get`."""
        if isinstance(what, ObjectId):
            return what
        return await asyncio.to_thread(self.store.find, what, self.keyring)

    async def _read(
        self,
        what: ObjectId | str,
        use: Callable[[ObjectReader, _Job], T],
        on_progress: Progress | None = None,
    ) -> T:
        for _ in range(FIND_TRIES - 1):
            with contextlib.suppress(NoSuchObjectError):
                return await self._read_once(await self.find(what), use, on_progress)
        return await self._read_once(await self.find(what), use, on_progress)

    async def _read_once(
        self, object_id: ObjectId, use: Callable[[ObjectReader, _Job], T], on_progress: Progress | None
    ) -> T:
        def work(job: _Job) -> T:
            with self.store.open(object_id, self.keyring) as reader:
                return use(reader, job)

        return await self._work(work, on_progress)

    async def _work(self, work: Callable[[_Job], T], on_progress: Progress | None = None) -> T:
        """Do blocking work in a thread; a cancelled caller ends it at the next run and waits for that."""
        job = _Job(on_progress)
        task = asyncio.ensure_future(asyncio.to_thread(work, job))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            job.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # Looked at, so that nobody complains.
            raise
