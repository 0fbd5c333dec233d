"""Seal a file into a file, and open one: streaming, atomic, and with the disk's work beside the cipher's.

Bounds:   some RUN_BYTES for each of the buffers in flight, ten in all, whatever the file's length.
Trust:    sealed files are hostile; nothing has the target's name before all of it was verified and is on
          disk. Files that are opened are regular; what is sealed may be a pipe.
Not pure: blocking file work, in the caller's thread and one more. No clock, no asyncio.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError, NotAFileError
from kontinuum.base.files import NewFile
from kontinuum.keys.envelope.claim import Claim, Signer
from kontinuum.keys.envelope.context import Context
from kontinuum.keys.envelope.errors import TruncatedHeaderError
from kontinuum.keys.envelope.file_key import PAYLOAD_NONCE_BYTES
from kontinuum.keys.envelope.header import Header, HeaderReader
from kontinuum.keys.envelope.opening import ObjectOpener, Senders
from kontinuum.keys.envelope.readers import DecryptionKey, Reader
from kontinuum.keys.envelope.sealing import ObjectSealer
from kontinuum.keys.envelope.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES
from kontinuum.keys.envelope.writer import RUNS_WAITING_MAX, OverlappedWriter, write_all

RUN_CHUNKS = 16
"""Chunks that are read, encrypted and written at once. Our choice: 1 MiB, where system calls cost nothing any
more and the buffers still fit into a cache."""

RUN_BYTES = RUN_CHUNKS * CHUNK_BYTES
"""Bytes of content in a run. Only the last run of a file is shorter."""

SEALED_RUN_BYTES = RUN_CHUNKS * SEALED_CHUNK_BYTES
"""The same, encrypted."""

_HEADER_PIECE_BYTES = 16 * 1024

Progress = Callable[[int], None]
"""Called with the bytes of content done so far; what it raises ends the work."""


def seal_file(
    readers: Sequence[Reader],
    source: Path,
    target: Path,
    *,
    signer: Signer,
    context: Context,
    metadata: bytes = b"",
    entropy: Entropy,
    on_progress: Progress | None = None,
) -> int:
    """Seal ``source`` into the new file ``target``; return the bytes of content.

    Args:
        readers: Who shall be able to open it.
        source: What is sealed, read once from its beginning to its end.
        target: The sealed file. It appears when it is complete; nothing is ever replaced.
        signer: The sender.
        context: What it is for; whoever opens it must know that.
        metadata: What travels beside the content, seen by readers only.
        entropy: For the data key and the ephemeral ones.
        on_progress: Called after each run.

    Raises:
        RecipientsError, ClaimTooLargeError: See ``sealing.ClaimSealer``.
        AlreadyExistsError: ``target`` is there; it is untouched.
        FileUnavailableError: A file cannot be read or written. There is no target.
    """
    verify_free(target)
    with opened(source, regular=False) as descriptor, NewFile(target.parent) as new:
        sealer = ObjectSealer(readers, signer=signer, context=context, metadata=metadata, entropy=entropy)
        size = seal_runs(sealer, file_runs(descriptor, source), new, on_progress)
        new.commit(target)
    return size


def open_file(
    keys: Sequence[DecryptionKey],
    source: Path,
    target: Path,
    *,
    context: Context,
    senders: Senders = None,
    on_progress: Progress | None = None,
) -> Claim:
    """Open ``source`` into the new file ``target``; return what its sender says.

    Args:
        keys: Ours; all are tried.
        source: The sealed file, hostile.
        target: The content. It appears when all of it was verified; nothing is ever replaced.
        context: What it must be for.
        senders: From whom it may be; ``None`` accepts anybody, and the caller looks at ``sender``.
        on_progress: Called after each run.

    Raises:
        EnvelopeError: The leaf says what is wrong. There is no target.
        AlreadyExistsError: ``target`` is there; it is untouched.
        FileUnavailableError, NotAFileError: A file cannot be read or written. There is no target.
    """
    verify_free(target)
    with opened(source, regular=True) as descriptor:
        sealed = SealedFile(descriptor, source)
        opener = sealed.opener(keys, context=context, senders=senders)
        sealed.copy_to(target, opener, on_progress)
    return opener.claim


def seal_runs(
    sealer: ObjectSealer,
    runs: Iterator[bytes | memoryview],
    new: NewFile,
    on_progress: Progress | None = None,
) -> int:
    """Seal ``runs`` into a new file, header included; return the bytes of content.

    Args:
        sealer: Fresh.
        runs: The content in pieces of RUN_BYTES; only the last one may be shorter, and none is empty. Two are
            looked at at once.
        new: Where to.
        on_progress: Called after each run.

    Raises:
        FileUnavailableError: The disk is full or failing.
    """
    done = 0
    run: bytes | memoryview = next(runs, b"")
    with failing(new.path, "write"):
        with OverlappedWriter(new.descriptor, sealer.header_bytes) as writer:
            writer.put([sealer.nonce])
            final = False
            while not final:
                following = next(runs, b"")
                final = not following
                writer.put(sealer.seal(memoryview(run), final=final))
                done += len(run)
                run = following
                if on_progress is not None:
                    on_progress(done)
        write_all(new.descriptor, [sealer.header()], 0)
    return done


def file_runs(descriptor: int, path: Path) -> Iterator[memoryview]:
    """What can be read from a file or pipe, in pieces of RUN_BYTES and a shorter last one.

    A piece stays as it is until the one after the next is taken.

    Raises:
        FileUnavailableError: It cannot be read.
    """
    buffers = cycle([memoryview(bytearray(RUN_BYTES)) for _ in range(2)])
    end = False
    while not end:
        buffer, filled = next(buffers), 0
        while filled < RUN_BYTES and not end:
            with failing(path, "read"):
                size = os.readv(descriptor, [buffer[filled:]])
            end = not size
            filled += size
        if filled:
            yield buffer[:filled]


def even_runs(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks`` of any length as pieces of RUN_BYTES and a shorter last one."""
    held = bytearray()
    for chunk in chunks:
        for at in range(0, len(chunk), RUN_BYTES):
            held += chunk[at : at + RUN_BYTES]
            if len(held) >= RUN_BYTES:
                yield bytes(held[:RUN_BYTES])
                del held[:RUN_BYTES]
    if held:
        yield bytes(held)


class SealedFile:
    """A sealed file that is open for reading; its header was read.

    Args:
        descriptor: Of a regular file; it stays the caller's.
        path: What it is called in errors.

    Raises:
        EnvelopeError: It has no header of ours.
        FileUnavailableError: It cannot be read.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self.header = self._read_header()
        self.size_bytes = os.fstat(descriptor).st_size
        """Its length, header included."""

    def opener(
        self, keys: Sequence[DecryptionKey], *, context: Context, senders: Senders = None
    ) -> ObjectOpener:
        """Verify the header, and the length of what follows it.

        Raises:
            EnvelopeError: The leaf says what is wrong.
        """
        at = len(self.header.raw)
        nonce = self._read(PAYLOAD_NONCE_BYTES, at)
        if len(nonce) < PAYLOAD_NONCE_BYTES:
            raise TruncatedHeaderError("the file is cut off right behind its header")
        opener = ObjectOpener(self.header, nonce, keys, context=context, senders=senders)
        opener.verify_length(self.size_bytes - at)
        return opener

    def runs(self, opener: ObjectOpener, on_progress: Progress | None = None) -> Iterator[memoryview]:
        """Decrypt it run by run; the whole was verified only when the iterator ends.

        A run stays as it is until RUNS_WAITING_MAX + 1 further ones were taken.

        Raises:
            EnvelopeError: The content is not what was sealed.
        """
        buffers = [memoryview(bytearray(RUN_BYTES)) for _ in range(RUNS_WAITING_MAX + 2)]
        at = len(self.header.raw) + PAYLOAD_NONCE_BYTES
        end = len(self.header.raw) + opener.payload_bytes
        done = number = 0
        while at < end:
            run = self._read(min(SEALED_RUN_BYTES, end - at), at)
            at += len(run)
            buffer = buffers[number % len(buffers)]
            # A file that has become shorter meanwhile ends here, with a chunk that cannot be right.
            size = opener.open(run, buffer, final=at >= end or not run)
            number, done = number + 1, done + size
            yield buffer[:size]
            if on_progress is not None:
                on_progress(done)
        opener.finish()

    def copy_to(self, target: Path, opener: ObjectOpener, on_progress: Progress | None = None) -> None:
        """Decrypt it into the new file ``target``, which appears when all of it was verified.

        Raises:
            EnvelopeError: The content is not what was sealed. There is no target.
            AlreadyExistsError: ``target`` is there; it is untouched.
            FileUnavailableError: A file cannot be read or written. There is no target.
        """
        with NewFile(target.parent) as new:
            with failing(new.path, "write"), OverlappedWriter(new.descriptor, 0) as writer:
                for run in self.runs(opener, on_progress):
                    writer.put([run])
            new.commit(target)

    def _read(self, size: int, offset: int) -> bytes:
        with failing(self._path, "read"):
            return os.pread(self._descriptor, size, offset)

    def _read_header(self) -> Header:
        reader, at = HeaderReader(), 0
        while reader.header is None and (piece := self._read(_HEADER_PIECE_BYTES, at)):
            reader.feed(piece)
            at += len(piece)
        reader.finish()
        if reader.header is None:
            raise AssertionError("finish() raises for an incomplete header")
        return reader.header


@contextmanager
def opened(path: Path, *, regular: bool) -> Iterator[int]:
    """A file, open for reading.

    Raises:
        FileUnavailableError: It is missing or may not be read.
        NotAFileError: It is a directory or, where a ``regular`` file is wanted, something else.
    """
    with failing(path, "read"):
        # O_NONBLOCK, because opening a pipe that nobody writes would otherwise wait for ever.
        flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if regular else 0)
        descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode) or (regular and not stat.S_ISREG(mode)):
            raise NotAFileError(path, "a directory" if stat.S_ISDIR(mode) else "a pipe or device")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def failing(path: Path, action: str) -> Iterator[None]:
    """Say which file an error of the operating system was about."""
    try:
        yield
    except OSError as error:
        raise FileUnavailableError(path, action, error.strerror or str(error)) from error


def verify_free(target: Path) -> None:
    """Tell before the work what ``NewFile.commit`` would refuse after it."""
    if os.path.lexists(target):
        raise AlreadyExistsError(target)
