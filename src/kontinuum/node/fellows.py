"""Sessions with the other nodes of our cluster: kept, so that what one node hears the others hear at once.

Bounds:   FELLOWS_MAX sessions; one dial for each at once.
Trust:    who the others are, the chain says; a fellow that cannot be reached delays nobody.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Sequence

    from kontinuum.identity import PeerId

FELLOWS_MAX = 8
"""Fellows that a node keeps connected. Our choice: all of a household's; in larger clusters each statement
still reaches everybody in a few steps."""

LOOK_S = 0.5
"""Seconds between two looks at who is missing. Our choice."""

DIAL_S = 3.0
"""Seconds for one dial of a fellow. Our choice: QUIC sends its first packets 0, 1 and 3 s after the beginning
(RFC 9002, section 6.2.2), so beginning anew after 3 s leaves no gap above 2 s: a healed partition is noticed
in time."""

RETRY_FIRST_S = 0.5
"""Seconds until a fellow that was not reached is dialled again. Doubles with every failure. Our choice."""

RETRY_MAX_S = 60.0
"""The longest such time for a fellow that was never reached since we started; one that was is dialled every
RETRY_FIRST_S. Our choice: eight sleeping machines cost three packets a second."""

REFUSED_COUNT = 7
"""Failures that one refusal counts as: the next one waits RETRY_MAX_S as well."""

PEACE_S = 5.0
"""Seconds without a refusal until a connected fellow that cut us off counts as one that took us back. Our
choice: a connection that is cut again lives for less than one."""

_log = RoomLogger("node")


class Fellows:
    """Dials fellows that are missing, for as long as :meth:`keep` runs.

    Args:
        wanted: Who they are now, in order of preference.
        connected: Who is connected.
        dial: Connects to one; raises a KontinuumError.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        wanted: Callable[[], Sequence[PeerId]],
        connected: Container[PeerId],
        dial: Callable[[PeerId], Awaitable[object]],
        now: Callable[[], float],
    ) -> None:
        self._wanted = wanted
        self._connected = connected
        self._dial = dial
        self._now = now
        self._dialling: dict[PeerId, asyncio.Task[None]] = {}
        self._failures: dict[PeerId, tuple[int, float]] = {}
        self._reached: dict[PeerId, None] = {}
        self._refusals: dict[PeerId, float] = {}

    def refused(self, peer: PeerId) -> None:
        """A fellow cut us off: our key is out of use there. It is left alone for long."""
        self._reached.pop(peer, None)
        self._failures[peer] = (REFUSED_COUNT, self._now() + RETRY_MAX_S)
        if peer not in self._refusals:
            _log.warning(
                "another node of the cluster cut this node off, as if this key were out of use",
                peer=peer.short,
            )
        self._refusals[peer] = self._now()

    def refusing(self) -> list[PeerId]:
        """Fellows that cut us off, and did not take us back. Their word is a hint: only the chain decides."""
        return list(self._refusals)

    async def keep(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._look(self._now())
                await asyncio.sleep(LOOK_S)
        finally:
            dials = list(self._dialling.values())
            for dial in dials:
                dial.cancel()
            await asyncio.gather(*dials, return_exceptions=True)

    def _look(self, now: float) -> None:
        wanted = list(self._wanted())[:FELLOWS_MAX]
        for known in (self._failures, self._reached, self._refusals):
            for gone in [peer for peer in known if peer not in wanted]:
                del known[gone]
        for peer in wanted:
            if peer in self._connected:
                self._failures.pop(peer, None)
                self._reached[peer] = None
                if now - self._refusals.get(peer, now) > PEACE_S:
                    del self._refusals[peer]
            elif peer not in self._dialling and self._failures.get(peer, (0, now))[1] <= now:
                task = asyncio.create_task(self._try(peer))
                self._dialling[peer] = task
                task.add_done_callback(partial(self._done, peer))

    def _done(self, peer: PeerId, _task: asyncio.Task[None]) -> None:
        self._dialling.pop(peer, None)

    async def _try(self, peer: PeerId) -> None:
        try:
            async with asyncio.timeout(DIAL_S):
                await self._dial(peer)
        except (TimeoutError, KontinuumError) as error:
            count = self._failures.get(peer, (0, 0.0))[0] + 1
            wait_s = RETRY_FIRST_S
            if peer not in self._reached:
                wait_s = min(RETRY_FIRST_S * 2 ** min(count, 16), RETRY_MAX_S)
            self._failures[peer] = (count, self._now() + wait_s)
            _log.debug("a node of our cluster could not be reached", peer=peer.short, reason=str(error))
