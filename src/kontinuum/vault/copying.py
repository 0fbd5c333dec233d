"""A copy of an object that is coming in, piece by piece.

Trust:    the pieces are a stranger's; the object is taken only if its hash is the id that it was asked by.
Not pure: blocking file work; one thread at a time.
"""

from typing import Self

from kontinuum.base.errors import FileUnavailableError
from kontinuum.base.files import NewFile
from kontinuum.keys.envelope.writer import write_all
from kontinuum.vault.errors import DamagedObjectError
from kontinuum.vault.object_id import ObjectId
from kontinuum.vault.shelf import hash_of


class IncomingCopy:
    """An unfinished copy, from ``VaultStore.begin_copy``; a context manager, gone unless it was finished.

    Args:
        object_id: What it claims to be.
        new: Where it is written.
    """

    def __init__(self, object_id: ObjectId, new: NewFile) -> None:
        self.object_id = object_id
        self.new = new
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            FileUnavailableError: The disk is full or failing.
        """
        try:
            self.size_bytes = write_all(self.new.descriptor, [piece], self.size_bytes)
        except OSError as error:
            raise FileUnavailableError(self.new.path, "write", error.strerror or str(error)) from error

    def verify(self) -> None:
        """Check that it is what it claims to be.

        Raises:
            DamagedObjectError: It is not.
        """
        if hash_of(self.new.descriptor, self.new.path) != self.object_id:
            raise DamagedObjectError(self.object_id, "the copy that came is not this object")

    def close(self) -> None:
        """Give it up, unless it was finished."""
        self.new.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
