"""Whose vault it is: what objects are sealed to, who signs them, and what opens them.

The seam to the hierarchy of keys: whoever knows that fills this in, and the vault asks nothing else.

Pure:     no I/O, clock or randomness.
"""

from dataclasses import dataclass

from kontinuum.keys.envelope import DecryptionKey, Reader, Senders, Signer


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of a vault's owner."""

    signer: Signer
    """Signs what is put."""

    readers: tuple[Reader, ...]
    """What is put is sealed to these: the owner's current key, and ancestors by policy."""

    keys: tuple[DecryptionKey, ...]
    """Open what is there: the current key first, then those of earlier epochs."""

    hybrid_readers: tuple[Reader, ...] = ()
    """What is sealed anew that was sealed to a post-quantum key before; none: to ``readers`` as well."""

    current_keys: int = 1
    """How many of ``keys``, the first ones, are the owner's of now."""

    senders: Senders = None
    """Whose objects are believed; ``None`` means those of ``signer`` only."""

    def accepted(self) -> Senders:
        """From whom an object may be."""
        return (self.signer.peer_id,) if self.senders is None else self.senders
