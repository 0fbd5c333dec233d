r"""From the root seed to every key: SLIP-0010 down the tree of branches, HKDF from a branch to what is used.

::

    seed (32 bytes) --SLIP-0010--> branch of the root --SLIP-0010--> branch of a child --> ...
                                        |                                 |
                                        +-- HKDF --> branch signing key   +-- HKDF --> epoch secret -->
                                        signing,
                                                                                       encryption, storage

SLIP-0010 fits where keys form a tree and each step is a number: every branch is a node of that tree, and
hardware or programs that know the standard can walk it. It does not fit at the leaves, where one secret
must give keys of several kinds and none may be used twice; there, HKDF with a label for each. So a key of
SLIP-0010's tree never signs and never decrypts, and knowing one epoch's secret tells nothing about its
branch or another epoch.

Source:   SLIP-0010; RFC 5869 (HKDF-SHA-512); docs/protocols/key-derivation.md, with vectors.
Bounds:   KEY_CLUSTERS_MAX and the limits of ``kontinuum.keys.paths``.
Secrets:  every type here is :class:`Confidential`.
Pure:     no I/O, clock or randomness; a fresh seed takes an Entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kontinuum.base.errors import MisuseError
from kontinuum.identity import KeyPair, Secret
from kontinuum.keys import slip10
from kontinuum.keys.confidential import Confidential
from kontinuum.keys.errors import SpentError
from kontinuum.keys.paths import HARDENED, KEY_TREE, KeyName, Path, Purpose
from kontinuum.keys.public_keys import BranchPublicKey, Commitment, EncryptionPublicKey, commit
from kontinuum.wire.limits import KEY_BRANCHES_MAX, KEY_CLUSTERS_MAX, KEY_EPOCHS_MAX

if TYPE_CHECKING:
    from kontinuum.base.entropy import Entropy


def labelled(secret: bytes, label: str, number: int | None = None) -> bytes:
    r"""32 bytes made from ``secret`` for one use only: HKDF-SHA-512 without salt.

    Args:
        secret: Uniformly random bytes, 32 or 64.
        label: What for; the info is ``"kontinuum/" label "/v1\0"``.
        number: Follows the label, as four bytes, big-endian; left out when None.
    """
    info = b"kontinuum/" + label.encode() + b"/v1\0"
    if number is not None:
        info += number.to_bytes(4, "big")
    return HKDF(SHA512(), length=32, salt=None, info=info).derive(secret)


class EncryptionKey(Confidential):
    """The X25519 private key of an epoch: 32 bytes, clamped where it is used (RFC 7748, section 5)."""

    __slots__ = ()

    @property
    def public(self) -> EncryptionPublicKey:
        """What others encrypt to."""
        private = X25519PrivateKey.from_private_bytes(self.expose())
        return EncryptionPublicKey(private.public_key().public_bytes_raw())


class StorageKey(Confidential):
    """The symmetric key of an epoch, 32 bytes: for what a node keeps for itself."""

    __slots__ = ()


class EpochSecret(Confidential):
    """All that a running node holds: the secret of one epoch of one branch. It makes no statement about keys.

    Args:
        path: Which branch.
        epoch: Which of its epochs.
        value: 32 bytes.
    """

    __slots__ = ("epoch", "path")

    def __init__(self, path: Path, epoch: int, value: bytes) -> None:
        super().__init__(value)
        KeyName(path, epoch)
        self.path = path
        self.epoch = epoch

    def signing(self) -> KeyPair:
        """The key pair of the node's identity on the wire."""
        return KeyPair.from_seed(self._purpose(Purpose.SIGNING))

    def encryption(self) -> EncryptionKey:
        """What opens data that was encrypted to the node in this epoch."""
        return EncryptionKey(self._purpose(Purpose.ENCRYPTION))

    def storage(self) -> StorageKey:
        """What opens data that the node kept for itself in this epoch."""
        return StorageKey(self._purpose(Purpose.STORAGE))

    def _purpose(self, purpose: Purpose) -> bytes:
        return labelled(self.expose(), f"epoch-{purpose}")

    def about(self) -> str:
        """Which epoch of which branch."""
        return f"{self.path}@{self.epoch}"


class BranchKey:
    """The key pair that signs a branch's statements; no identity on the wire, hence no :class:`KeyPair`."""

    __slots__ = ("_pair", "public")

    def __init__(self, seed: bytes) -> None:
        self._pair = KeyPair.from_seed(seed)
        self.public = BranchPublicKey(self._pair.peer_id)

    def sign(self, purpose: str, data: bytes) -> bytes:
        """The 64-byte signature of ``data`` for ``purpose``."""
        return self._pair.sign(purpose, data)

    def __repr__(self) -> str:
        return f"BranchKey({self.public[:4].hex()}…)"


class BranchSecret(Confidential):
    """A branch: what its statements are signed with, its epochs, and every branch below it.

    A node keeps it apart from the epoch's secret: in another file, behind another passphrase, or in hardware.

    Args:
        path: Which branch.
        value: 64 bytes: SLIP-0010's private key and chain code.
    """

    __slots__ = ("_key", "path")

    SECRET_BYTES = 64

    def __init__(self, path: Path, value: bytes) -> None:
        super().__init__(value)
        self.path = path
        self._key = BranchKey(labelled(value, "branch-signing"))

    @property
    def key(self) -> BranchKey:
        """What signs the branch's statements."""
        return self._key

    @property
    def public(self) -> BranchPublicKey:
        """What its statements are checked with."""
        return self._key.public

    def epoch(self, number: int) -> EpochSecret:
        """The secret of one epoch.

        Raises:
            SpentError: The branch has no epoch of this number.
        """
        if not 0 <= number < KEY_EPOCHS_MAX:
            raise SpentError(
                f"{self.path} has epochs 0 to {KEY_EPOCHS_MAX - 1}; its parent gives a new branch"
            )
        return EpochSecret(self.path, number, labelled(self.expose(), "epoch", number))

    def child(self, index: int, branch: int = 0) -> BranchSecret:
        """The secret of a branch of a child: what a parent can make at any time, and a child's thief cannot.

        Raises:
            BadPathError: There is no such place or branch.
        """
        path = self.path.child(index, branch)
        place = slip10.child(self._extended(), HARDENED + index)
        return BranchSecret(path, b"".join(slip10.child(place, HARDENED + branch)))

    def descendant(self, path: Path) -> BranchSecret:
        """The secret of any branch below this one, or this one itself.

        Raises:
            MisuseError: ``path`` is elsewhere.
        """
        if path == self.path:
            return self
        if not self.path.is_above(path):
            raise MisuseError(f"{path} is not below {self.path}")
        secret = self
        for index, branch in path.steps[len(self.path.steps) :]:
            secret = secret.child(index, branch)
        return secret

    def commitment(self, index: int, branch: int) -> Commitment:
        """The commitment to a branch of a child that nobody has seen yet.

        What follows the last possible branch (KEY_BRANCHES_MAX) is a commitment that no key opens.
        """
        if branch == KEY_BRANCHES_MAX:
            return commit(b"")
        return commit(self.child(index, branch).public)

    def _extended(self) -> slip10.ExtendedKey:
        value = self.expose()
        return slip10.ExtendedKey(Secret(value[:32]), Secret(value[32:]))

    def about(self) -> str:
        """Which branch."""
        return str(self.path)


class RootSeed(Confidential):
    """Where everything comes from: 256 bits, which 24 words of BIP39 or shares of SLIP-39 write down.

    The bytes are BIP39's *entropy* and SLIP-39's *master secret*, without BIP39's stretching: 256 random
    bits need none, and both ways of writing them down lead to the same keys.
    """

    __slots__ = ()

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """A fresh seed."""
        return cls(entropy.token(cls.SECRET_BYTES))

    def cluster(self, number: int = 0) -> BranchSecret:
        """The root branch of one of the clusters that a person keeps under one seed.

        Raises:
            MisuseError: The number is not 0 to KEY_CLUSTERS_MAX - 1.
        """
        if not 0 <= number < KEY_CLUSTERS_MAX:
            raise MisuseError(f"clusters of a seed are numbered 0 to {KEY_CLUSTERS_MAX - 1}")
        tree = slip10.child(slip10.master(self.expose()), HARDENED + KEY_TREE)
        return BranchSecret(Path(), b"".join(slip10.child(tree, HARDENED + number)))
