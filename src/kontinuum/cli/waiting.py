"""Give up waiting with a clear error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Return the result of ``work``.

    Raises:
        CliError: it took longer than ``seconds``; it was cancelled.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise CliError(
            f"no answer within {seconds:g} s",
            family=Exit.UNAVAILABLE,
            code="timed_out",
            hint="raise --timeout",
        ) from None
