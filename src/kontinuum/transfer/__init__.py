"""Files between peers: offered, accepted or refused, resumed, verified by BLAKE3 and moved into place.

One stream of the protocol ``kontinuum/file/1`` carries one session of up to ``FILES_MAX`` files. The two
machines (``outgoing.machine``, ``incoming.machine``) decide and touch nothing; ``outgoing.source`` and
``incoming.target`` are the blocking file work; the ``service`` of each side joins them to streams, and
``shell`` is what the two services share. The wire is described in ``docs/protocols/file.md``.
"""

from kontinuum.transfer.errors import (
    BadFileNameError,
    SourceFileError,
    TargetDirectoryError,
    TransferInterruptedError,
    TransferProtocolError,
)
from kontinuum.transfer.messages import PROTOCOL, Code, FileOffer, Offer
from kontinuum.transfer.names import verify_file_name

__all__ = [
    "PROTOCOL",
    "BadFileNameError",
    "Code",
    "FileOffer",
    "Offer",
    "SourceFileError",
    "TargetDirectoryError",
    "TransferInterruptedError",
    "TransferProtocolError",
    "verify_file_name",
]
