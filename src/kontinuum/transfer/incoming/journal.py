"""The names of a partial file and its journal, and what a journal says: whose it is, what a power cut leaves.

Source:  our own format, ``docs/protocols/file.md``: deterministic CBOR
         ``{0: version, 1: sender, 2: size, 3: synced, 4: boot id}``.
Bounds:  JOURNAL_FILE_BYTES_MAX.
Trust:   anybody who may write to the directory may have written the journal. It says where to look; what is
         there is hashed, and the sender compares the hash.
Pure:    no I/O, clock or randomness. The files are the business of ``kontinuum.transfer.incoming.target``.
"""

from dataclasses import dataclass
from typing import Self

from kontinuum.transfer.messages import FILE_BYTES_MAX
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import PEER_ID_BYTES

JOURNAL_FILE_BYTES_MAX = 512
"""Bytes of a journal. Ours has about 100; a longer one is not ours and is ignored."""

JOURNAL_SUFFIX = ".journal"
TEMPORARY_SUFFIX = ".new"
"""What follows the part's name, and what follows that while a journal is being written."""

_VERSION = 1
_OWNER_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Journal:
    """What is known of one partial file."""

    sender: bytes
    """Identity of the peer that sends it, 32 bytes."""

    size: int
    """Bytes of the whole file, as offered."""

    synced: int
    """Bytes that a power cut leaves."""

    boot_id: str
    """Run of the machine in which it was written; empty where the system has no such name."""

    def encode(self) -> bytes:
        """The bytes of the journal; :meth:`decode` reads them."""
        return cbor.encode({0: _VERSION, 1: self.sender, 2: self.size, 3: self.synced, 4: self.boot_id})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a journal, the whole of it.

        Raises:
            MalformedError: it is none of ours, or was damaged.
        """
        match cbor.decode(data, bytes_max=JOURNAL_FILE_BYTES_MAX):
            case {
                0: int() as version,
                1: bytes(sender),
                2: int() as size,
                3: int() as synced,
                4: str(boot),
            } if (
                not any(isinstance(number, bool) for number in (version, size, synced))
                and version == _VERSION
                and len(sender) == PEER_ID_BYTES
                and 0 <= synced <= size <= FILE_BYTES_MAX
            ):
                journal = cls(sender, size, synced, boot)
                if journal.encode() == data:
                    return journal
        raise MalformedError("this is no journal of a partial file")

    def bytes_safe(self, boot_id: str) -> int:
        """Up to where the partial file can be trusted now; its length still limits that.

        The page cache outlives our process, not the machine: after a reboot only what was synced counts.
        """
        return self.size if boot_id and boot_id == self.boot_id else self.synced


def part_name(peer: bytes, name: str) -> str:
    """Return the name of the partial file of ``name`` from ``peer``."""
    return f".{name}.{bytes(peer).hex()[:_OWNER_DIGITS]}.part"


def journal_name(peer: bytes, name: str) -> str:
    """Return the name of the journal beside the partial file."""
    return part_name(peer, name) + JOURNAL_SUFFIX
