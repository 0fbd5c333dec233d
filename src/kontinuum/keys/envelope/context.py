"""What an envelope is for, so that it is accepted for nothing else.

Source:   our own; the associated data of an envelope (docs/protocols/envelope.md). It is not sent beside the
          envelope but known to whoever opens it: the wrong place, topic, direction or epoch is noticed.
Bounds:   ENVELOPE_CONTEXT_BYTES_MAX of each text, EPOCH_MAX.
Pure:     no I/O, clock or randomness.
"""

import re
from dataclasses import dataclass
from typing import Self

from kontinuum.keys.envelope.errors import ClaimTooLargeError
from kontinuum.wire.cbor import CborValue
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import ENVELOPE_CONTEXT_BYTES_MAX

EPOCH_MAX = 2**63 - 1
"""Largest epoch: fits a signed 64-bit column of any database. Larger: ClaimTooLargeError; in a claim:
refused."""

_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Context:
    """What an envelope is for. Two contexts that differ anywhere are different."""

    purpose: str
    """Which part of the program reads it: 1 to 32 of ``a-z 0-9 -``, beginning with a letter. A constant."""

    topic: str = ""
    """The topic, cluster, file or stream name within the purpose; empty where there is none."""

    direction: str = ""
    """Who speaks to whom where both sides send: such as ``request`` and ``response``; empty where one
    does."""

    epoch: int = 0
    """The key epoch or sequence number within which it counts; 0 where there is none."""

    def __post_init__(self) -> None:
        if _PURPOSE.fullmatch(self.purpose) is None:
            raise ClaimTooLargeError(f"{self.purpose!r} is no purpose (1 to 32 of a-z 0-9 -)")
        try:
            longest = max(len(self.topic.encode()), len(self.direction.encode()))
        except UnicodeEncodeError:
            raise ClaimTooLargeError("a context is valid Unicode") from None
        if longest > ENVELOPE_CONTEXT_BYTES_MAX:
            raise ClaimTooLargeError(
                f"a context's texts have at most {ENVELOPE_CONTEXT_BYTES_MAX} bytes each"
            )
        if not 0 <= self.epoch <= EPOCH_MAX:
            raise ClaimTooLargeError(f"an epoch is 0 to {EPOCH_MAX}")

    def to_cbor(self) -> CborValue:
        """The four fields, in their order."""
        return [self.purpose, self.topic, self.direction, self.epoch]

    @classmethod
    def from_cbor(cls, value: CborValue) -> Self:
        """The reverse.

        Raises:
            MalformedError: It is no context.
        """
        match value:
            case [str() as purpose, str() as topic, str() as direction, int() as epoch] if epoch is not True:
                try:
                    return cls(purpose, topic, direction, int(epoch))
                except ClaimTooLargeError as error:
                    raise MalformedError(str(error)) from None
        raise MalformedError("this says not what it is for")

    def __str__(self) -> str:
        parts = [self.purpose]
        parts += [f"topic {self.topic!r}"] if self.topic else []
        parts += [f"direction {self.direction!r}"] if self.direction else []
        parts += [f"epoch {self.epoch}"] if self.epoch else []
        return ", ".join(parts)
