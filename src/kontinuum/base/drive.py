"""Run a machine on asyncio. The only place where a machine meets the event loop.

Used by every ``service.py``; no other module may await on a machine's behalf.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kontinuum.base.machine import Machine

E = TypeVar("E")
F = TypeVar("F")


async def drive(
    machine: Machine[E, F],
    inbox: asyncio.Queue[E],
    perform: Callable[[F], Awaitable[None]],
) -> None:
    """Feed ``machine`` from ``inbox`` and perform its effects, in order, until cancelled.

    Both queues are bounded: ``inbox`` by its maxsize, and ``perform`` must not wait for a remote
    peer but hand the effect to that peer's bounded send queue.
    """
    now = asyncio.get_running_loop().time
    while True:
        due = machine.next_deadline()
        if due is not None and due <= now():
            effects = machine.handle_timeout(now())  # First: a flood must not starve timers.
        else:
            try:
                async with asyncio.timeout_at(due):
                    event = await inbox.get()
            except TimeoutError:
                continue
            effects = machine.handle(event, now())
        for effect in effects:
            await perform(effect)
