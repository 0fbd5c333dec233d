"""Bytes of a stream as they come, cut into frames: a length as unsigned varint, then so many bytes.

Source:   libp2p specs, connections/README.md ("multistream-select") and pubsub/README.md, which frame alike.
Bounds:   one frame of ``bytes_max``, and what came with the last piece.
Trust:    input is hostile. The pieces in which it comes make no difference to what is read.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import VARINT_BYTES_MAX
from kontinuum.wire.varint import encode_uvarint


def frame(content: bytes) -> bytes:
    """``content`` with its length in front."""
    return encode_uvarint(len(content)) + content


class FrameReader:
    """Give it pieces by :meth:`push`, take frames by :meth:`pop` until there is none.

    Args:
        bytes_max: The longest frame, its length not counted.
    """

    __slots__ = ("_at", "_buffer", "_bytes_max", "_held", "_parts", "_wanted")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._buffer = b""
        self._at = 0
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 1

    @property
    def is_empty(self) -> bool:
        """Nothing is held: the last frame is complete and was taken."""
        return self._held == 0

    def push(self, data: bytes) -> None:
        """The next piece of the stream."""
        self._parts.append(data)
        self._held += len(data)

    def pop(self) -> bytes | None:
        """The next frame, or ``None`` while it is not whole.

        Raises:
            MalformedError: It is too long, or its length is no varint. The reader stays there.
        """
        if self._held < self._wanted:  # A long frame in many pieces is put together once.
            return None
        if self._parts:
            self._buffer = b"".join((self._buffer[self._at :], *self._parts))
            self._parts.clear()
            self._at = 0
        size, start = self._read_length()
        if size is None:
            return None
        end = start + size
        if end > len(self._buffer):
            self._wanted = end - self._at
            return None
        content = self._buffer[start:end]
        self._held -= end - self._at
        self._at = end
        self._wanted = 1
        return content

    def rest(self) -> bytes:
        """Everything that is held and was not taken; nothing is held afterwards."""
        rest = b"".join((self._buffer[self._at :], *self._parts))
        self._buffer, self._at, self._held, self._wanted = b"", 0, 0, 1
        self._parts.clear()
        return rest

    def _read_length(self) -> tuple[int | None, int]:
        """The length that stands next, ``None`` if it is cut off; and where its frame begins."""
        buffer, at, size = self._buffer, self._at, 0
        for index in range(min(len(buffer) - at, VARINT_BYTES_MAX)):
            byte = buffer[at + index]
            size |= (byte & 0x7F) << 7 * index
            if size > self._bytes_max:
                raise MalformedError(f"a frame of {size} bytes or more, where {self._bytes_max} are the most")
            if byte < 0x80:
                if byte == 0 and index:
                    raise MalformedError("a length is not in its shortest form")
                return size, at + index + 1
        if len(buffer) - at >= VARINT_BYTES_MAX:
            raise MalformedError(f"a length of more than {VARINT_BYTES_MAX} bytes")
        return None, at
