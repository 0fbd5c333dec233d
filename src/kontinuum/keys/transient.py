"""Keys that no parent can derive: for data in flight and caches, and for nothing that anybody will miss.

Whatever must outlive a machine is sealed to derived keys, so that an ancestor can open it. A transient key
comes from chance alone and is of a type of its own; :func:`derived` and :func:`transient` keep the two
apart when the program runs, as the type checker does before.

Secrets:  :class:`TransientKey` is Confidential.
Pure:     no I/O or clock; chance comes as an Entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from kontinuum.keys.confidential import Confidential
from kontinuum.keys.derivation import BranchSecret, EncryptionKey, EpochSecret, RootSeed, StorageKey
from kontinuum.keys.errors import KeyKindError

if TYPE_CHECKING:
    from kontinuum.base.entropy import Entropy

DerivedKey: TypeAlias = StorageKey | EncryptionKey | EpochSecret | BranchSecret | RootSeed
"""Secrets that come from a root, or are one."""

D = TypeVar("D", StorageKey, EncryptionKey, EpochSecret, BranchSecret, RootSeed)


class TransientKey(Confidential):
    """A symmetric key of 32 bytes for data that may be lost. Made of chance alone: no bytes can be given."""

    __slots__ = ()

    def __init__(self, entropy: Entropy) -> None:
        super().__init__(entropy.token(self.SECRET_BYTES))


def derived(key: D) -> D:
    """``key`` itself, if a root derives it: the guard in front of whatever is kept.

    Raises:
        KeyKindError: It is transient, or no key of this room.
    """
    if not isinstance(key, StorageKey | EncryptionKey | EpochSecret | BranchSecret | RootSeed):
        raise KeyKindError(f"{type(key).__name__} is lost with its machine; what is kept needs a derived key")
    return key


def transient(key: TransientKey) -> TransientKey:
    """``key`` itself, if it is transient: the guard in front of caches and data in flight.

    Raises:
        KeyKindError: It is derived, or no key of this room.
    """
    if not isinstance(key, TransientKey):
        raise KeyKindError(f"{type(key).__name__} is derived; caches and data in flight take a transient key")
    return key
