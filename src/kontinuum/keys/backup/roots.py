"""What a backup writes down: the random bytes that a root begins with, 32 of them or 16.

A root of 24 words *is* its 32 bytes. A root of 12 words has 16, which are easier to write down and give
Ed25519's own strength of 128 bits; its seed is made from them with one labelled HKDF, so that the two kinds
never meet.

Source:   docs/protocols/backup.md.
Secrets:  both types are :class:`Confidential`.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias

from kontinuum.keys.backup.errors import NotABackupError, WrongBackupError
from kontinuum.keys.confidential import Confidential
from kontinuum.keys.derivation import RootSeed, labelled

if TYPE_CHECKING:
    from kontinuum.base.entropy import Entropy
    from kontinuum.keys.public_keys import BranchPublicKey


class ShortSeed(Confidential):
    """The 16 bytes that twelve words stand for."""

    __slots__ = ()

    SECRET_BYTES = 16

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """A fresh one."""
        return cls(entropy.token(cls.SECRET_BYTES))

    def seed(self) -> RootSeed:
        """The seed that is made from them."""
        return RootSeed(labelled(self.expose(), "short-seed"))


WrittenRoot: TypeAlias = RootSeed | ShortSeed
"""Either kind of root, as it is written down."""


def root_of(data: bytes) -> WrittenRoot:
    """The root that ``data`` is written down for.

    Raises:
        NotABackupError: It has neither 16 nor 32 bytes.
    """
    for kind in (RootSeed, ShortSeed):
        if len(data) == kind.SECRET_BYTES:
            return kind(data)
    raise NotABackupError(f"a root has 16 or 32 bytes, and this backup holds {len(data)}")


def seed_of(root: WrittenRoot) -> RootSeed:
    """The seed of either kind."""
    return root.seed() if isinstance(root, ShortSeed) else root


def public_of(root: WrittenRoot) -> BranchPublicKey:
    """The public key by which a root is known: that of its cluster number 0. It is no secret."""
    return seed_of(root).cluster().public


def verify_root(root: WrittenRoot, expected: bytes) -> WrittenRoot:
    """The rehearsal: that a backup gives the root of this public key.

    Raises:
        WrongBackupError: It gives another one.
    """
    found = public_of(root)
    if found != expected:
        raise WrongBackupError(expected, found)
    return root
