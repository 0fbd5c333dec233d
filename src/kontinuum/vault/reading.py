"""An object of a vault, open for reading.

Trust:    its file was verified against its id before; here its sender is verified, and once more its content.
Not pure: blocking file work. A reader is used by one thread, while the file is open.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kontinuum.identity.peer_id import PeerId
from kontinuum.keys.envelope import ClaimError, ListedReader
from kontinuum.keys.envelope.files import Progress, SealedFile, verify_free
from kontinuum.keys.envelope.opening import ObjectOpener
from kontinuum.vault.errors import ObjectTooLargeError
from kontinuum.vault.keyring import Keyring
from kontinuum.vault.metadata import VAULT_CONTEXT, Metadata
from kontinuum.vault.object_id import ObjectId
from kontinuum.wire.errors import MalformedError

OBJECT_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of an object's content that are read into memory unless the caller says more. Our choice. Larger:
ObjectTooLargeError."""


@dataclass(frozen=True, slots=True)
class Description:
    """What an object's claim says; signed."""

    metadata: Metadata
    """Its name and since when it is."""

    sender: PeerId
    """Who put it."""

    readers: tuple[ListedReader, ...]
    """Who can open it."""

    content_bytes: int
    """How long its content is."""


class ObjectReader:
    """An object that is being read.

    Args:
        object_id: Which.
        descriptor: Its file, verified; it stays the caller's.
        path: What it is called in errors.
        keyring: Whose it is.

    Raises:
        EnvelopeError: No key of ours opens it, or its sender is not accepted; the leaf says which.
    """

    def __init__(self, object_id: ObjectId, descriptor: int, path: Path, keyring: Keyring) -> None:
        self.object_id = object_id
        self._sealed = SealedFile(descriptor, path)
        self._keyring = keyring
        self._opener: ObjectOpener | None = self._new_opener()
        self.description = _described(self._opener)

    def runs(self, on_progress: Progress | None = None) -> Iterator[memoryview]:
        """The content, run by run; each is believed, and stays as it is for two further ones at least.

        Raises:
            EnvelopeError: The content is not what was sealed.
            FileUnavailableError: It cannot be read.
        """
        return self._sealed.runs(self._taken(), on_progress)

    def read(self, bytes_max: int = OBJECT_BYTES_MAX) -> bytes:
        """All of it.

        Raises:
            ObjectTooLargeError: It is longer than ``bytes_max``.
            EnvelopeError, FileUnavailableError: As :meth:`runs`.
        """
        size = self.description.content_bytes
        if size > bytes_max:
            raise ObjectTooLargeError(size, bytes_max)
        return b"".join(bytes(run) for run in self.runs())

    def copy_to(self, target: Path, on_progress: Progress | None = None) -> None:
        """Write it into the new file ``target``, which appears when all of it is there.

        Raises:
            AlreadyExistsError: ``target`` is there; it is untouched.
            EnvelopeError, FileUnavailableError: As :meth:`runs`. There is no target.
        """
        verify_free(target)
        self._sealed.copy_to(target, self._taken(), on_progress)

    def _new_opener(self) -> ObjectOpener:
        return self._sealed.opener(
            self._keyring.keys, context=VAULT_CONTEXT, senders=self._keyring.accepted()
        )

    def _taken(self) -> ObjectOpener:
        """An opener that nobody has used: each reads the content once."""
        opener, self._opener = self._opener, None
        return opener or self._new_opener()


def describe(descriptor: int, path: Path, keyring: Keyring) -> Description:
    """What the header of an open object says; its content is not looked at.

    Raises:
        EnvelopeError: As :class:`ObjectReader`.
        FileUnavailableError: It cannot be read.
    """
    sealed = SealedFile(descriptor, path)
    return _described(sealed.opener(keyring.keys, context=VAULT_CONTEXT, senders=keyring.accepted()))


def _described(opener: ObjectOpener) -> Description:
    claim = opener.claim
    try:
        metadata = Metadata.decode(claim.metadata)
    except MalformedError as error:
        raise ClaimError(str(error)) from None
    return Description(metadata, claim.sender, claim.readers, claim.size_bytes)
