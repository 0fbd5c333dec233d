"""What a program decides about incoming files.

Trust: an offer is hostile input; its names are unchecked text, fit to be shown only escaped.
Pure:  data and types only.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kontinuum.base.errors import KontinuumError
from kontinuum.transfer.incoming.target import Target
from kontinuum.transfer.messages import Code, Offer
from kontinuum.transfer.report import FileReport, ProgressCallback

BYTES_MAX_DEFAULT = 64 * 1024**3
"""Bytes of one file that a receiver takes when nobody said otherwise. Our choice (ADR 0012); a larger one is
answered ``TOO_LARGE``."""


@dataclass(frozen=True, slots=True)
class Accept:
    """A policy's yes: where the files go."""

    target: Target
    overwrite: bool = False
    bytes_max: int = BYTES_MAX_DEFAULT
    """Largest single file."""
    on_progress: ProgressCallback | None = None
    on_end: Callable[[Sequence[FileReport], KontinuumError | None], None] | None = None
    """Told once, when the session is over: complete (no error) or not."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """A policy's no to the whole offer."""

    code: Code = Code.REFUSED


Policy = Callable[[bytes, Offer], Awaitable[Accept | Refuse]]
"""Decides about an offer of a peer (its identity comes first)."""
