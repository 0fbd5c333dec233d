"""Remembers the highest sequence number that our messages have had, for a clock that is set back meanwhile.

Sequence numbers are times, so that a node that starts again is heard at once. If the clock says an earlier
time than before, the others would take its messages for old ones; so the node goes on from where it was.

Bounds: SEQNO_FILE_BYTES_MAX of the file are looked at.
Trust:  the file is ours; a damaged one is as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.files import read_private, write_atomically
from kontinuum.base.log import RoomLogger
from kontinuum.wire import cbor

if TYPE_CHECKING:
    from pathlib import Path

SEQNO_FILE_BYTES_MAX = 64
"""Bytes of the file that are looked at; ours has some 12. Our choice."""

AHEAD_MAX_NS = 86_400 * 10**9
"""Nanoseconds that a saved number may be ahead of the clock to count. Our choice: a day. One that is further
ahead comes from a clock that was wrong then, and nobody should speak from the future for ever."""

_log = RoomLogger("gossip")


class SeqnoFile:
    """The file.

    A crash loses what was sent since the last start; that matters only if the clock is set back as well.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, now_ns: int) -> int:
        """The number that was saved, or 0."""
        if not self._path.exists():
            return 0
        try:
            match cbor.decode(read_private(self._path, SEQNO_FILE_BYTES_MAX)):
                case {1: int() as saved} if 0 <= saved <= now_ns + AHEAD_MAX_NS:
                    return saved
        except KontinuumError as error:
            _log.warning("the saved sequence number is of no use", reason=str(error))
        return 0

    def save(self, used_ns: int) -> None:
        """Save it, if that is possible."""
        try:
            write_atomically(self._path, cbor.encode({1: used_ns}))
        except KontinuumError as error:
            _log.warning("the sequence number could not be saved", reason=str(error))
