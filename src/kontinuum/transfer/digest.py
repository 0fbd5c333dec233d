"""The hash that both sides compute over a file while it moves: BLAKE3, from the native engine.

Source: "BLAKE3: one function, fast everywhere", 2020; the crate ``blake3``.
Pure:   computation only. Large inputs are hashed without the GIL.
"""

from collections.abc import Callable
from typing import Any, Protocol


class Hasher(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> Any:
        """Take more bytes."""
        ...

    def digest(self) -> bytes:
        """Return the 32 bytes of the hash of everything taken so far."""
        ...


HasherFactory = Callable[[], Hasher]


def new_blake3() -> Hasher:
    """Return a fresh BLAKE3 hasher of the native engine."""
    # Imported here, so that the pure parts of this room load without the native library.
    from kontinuum import _native

    hasher: Hasher = _native.Blake3()
    return hasher
