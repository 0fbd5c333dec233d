"""The two clocks: monotonic seconds for protocols, aware UTC for validity.

Pure rooms take ``now`` (monotonic seconds) or ``at`` (aware UTC) as arguments; only shells hold a ``Clock``.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a shell reads time; the simulator brings its own."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; the origin means nothing."""
        ...

    def utc(self) -> datetime:
        """The time of day, aware and in UTC; it may jump."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        """Seconds of the monotonic clock, the one asyncio uses as well."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The machine's time of day in UTC."""
        return datetime.now(UTC)
