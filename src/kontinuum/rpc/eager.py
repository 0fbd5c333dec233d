"""Start a coroutine as a task and run its first step at once.

A handler that does not wait is then done before the loop turns, which doubles the rate of calls. It is a
task like any other: ``current_task``, time-outs and cancellation work in it.
Source: Python 3.12's ``asyncio.Task(..., eager_start=True)``.
Differs: Python 3.11 has no such option; there the step that the new task has scheduled is taken off the
loop's queue and run. A loop without such a queue (uvloop) runs it one turn later.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def start(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run ``coroutine`` up to its first wait. Call it from a callback of ``loop``, not from within a task."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    task: asyncio.Task[None] = asyncio.Task(coroutine, loop=loop)
    queue = getattr(loop, "_ready", None)
    if queue is not None:
        # The task's constructor has just appended its first step.
        queue.pop()._run()  # noqa: SLF001 -- see Differs
    return task
