"""The keys whose codes a person has compared, kept from one chat to the next.

Format:   one key per line, 64 hexadecimal digits.
Bounds:   KEYS_MAX; a longer file is not read.
Trust:    the file lies in the data directory, which nobody else can write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.files import read_private, write_atomically
from kontinuum.cli.chat.people import PEOPLE_MAX
from kontinuum.identity import PeerId

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEYS_MAX = PEOPLE_MAX // 2
"""Keys kept: half of the people that a chat remembers, so that there is always room for others. Our choice;
beyond it the newest are not kept."""

_NAME = "chat-verified"
_LINE_BYTES = 65


class VerifiedKeys:
    """The file of one data directory.

    Args:
        directory: ``None`` keeps nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / _NAME

    def load(self) -> frozenset[PeerId]:
        """Return the keys; none if there is no file.

        Raises:
            FileUnavailableError, NotPrivateError, FileTooLargeError: It cannot be read.
            MalformedError: It is damaged.
        """
        if self._path is None or not self._path.exists():
            return frozenset()
        content = read_private(self._path, KEYS_MAX * _LINE_BYTES).decode("ascii", "replace")
        return frozenset(PeerId.parse(line) for line in content.split())

    def save(self, keys: Iterable[PeerId]) -> None:
        """Keep the keys.

        Raises:
            FileUnavailableError: The disk is full or read-only; what was kept before is untouched.
        """
        if self._path is not None:
            kept = list(keys)[:KEYS_MAX]
            write_atomically(self._path, "".join(f"{key.hex()}\n" for key in kept).encode())
