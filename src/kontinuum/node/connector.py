"""From a peer's identity to a connection: races its addresses, once at a time for each peer.

Bounds: DIALS_MAX races at once; each as ``dialing.Race`` says.
Trust:  a dead peer delays nobody else: every race is a task of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError, UnavailableError
from kontinuum.node.addresses import resolve
from kontinuum.node.dialing import BackOff, Dial, GiveUp, Race
from kontinuum.node.errors import NoAddressError, PeerBackoffError
from kontinuum.transport.errors import ConnectError, DialTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.base.entropy import Rng
    from kontinuum.identity import Multiaddr, PeerId
    from kontinuum.transport import Connection, Endpoint

DIALS_MAX = 256
"""Peers that are dialled at once; further ones wait for their turn. Our choice: each costs a few packets."""


class Connector:
    """Dials peers. Several who want the same peer at the same addresses share one race."""

    def __init__(self, endpoint: Endpoint, rng: Rng, *, timeout_s: float) -> None:
        self.back_off = BackOff(rng)
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._races: dict[PeerId, asyncio.Task[Connection]] = {}
        self._dialled: dict[asyncio.Task[Connection], frozenset[Multiaddr]] = {}
        self._turns = asyncio.Semaphore(DIALS_MAX)

    async def connect(
        self, peer_id: PeerId, addresses: Sequence[Multiaddr], *, patient: bool = False
    ) -> Connection:
        """A new connection to ``peer_id``, at whichever of its addresses answers first.

        Args:
            peer_id: Whom.
            addresses: Where, its preferred one first.
            patient: Respect the time for which a peer is left alone after a failure.

        Raises:
            NoAddressError: No address is known.
            PeerBackoffError: The peer failed a moment ago (``patient`` only).
            ConnectError, HandshakeError: Why the last address failed.
        """
        race = self._races.get(peer_id)
        # A race to where the peer was yesterday must not hold up who was told today where it is.
        if race is None or not self._dialled[race].issuperset(addresses):
            now = self._endpoint.loop.time()
            if not addresses:
                raise NoAddressError(peer_id)
            if patient and (wait_s := self.back_off.wait_s(peer_id, now)):
                raise PeerBackoffError(peer_id, wait_s)
            race = self._endpoint.loop.create_task(self._race(peer_id, addresses))
            self._races[peer_id] = race
            self._dialled[race] = frozenset(addresses)
            race.add_done_callback(lambda race: self._forget(peer_id, race))
            race.add_done_callback(_retrieve)
        # One who gives up must not end the race for the others.
        return await asyncio.shield(race)

    def is_dialling(self, peer_id: PeerId) -> bool:
        """A race for this peer is on."""
        return peer_id in self._races

    async def close(self) -> None:
        """End all races."""
        races = list(self._dialled)
        for race in races:
            race.cancel()
        await asyncio.gather(*races, return_exceptions=True)

    def _forget(self, peer_id: PeerId, race: asyncio.Task[Connection]) -> None:
        del self._dialled[race]
        if self._races.get(peer_id) is race:
            del self._races[peer_id]

    async def _race(self, peer_id: PeerId, addresses: Sequence[Multiaddr]) -> Connection:
        loop = self._endpoint.loop
        try:
            async with self._turns, asyncio.timeout(self._timeout_s):
                if len(addresses) == 1:  # Nobody to race.
                    connection = await self._dial(peer_id, addresses[0])
                else:
                    connection = await self._run(peer_id, Race(addresses))
        except TimeoutError:
            self.back_off.failed(peer_id, loop.time())
            raise DialTimeoutError(
                f"none of {len(addresses)} addresses of {peer_id.short} answered within {self._timeout_s:g} s"
            ) from None
        except KontinuumError:
            self.back_off.failed(peer_id, loop.time())
            raise
        self.back_off.forget(peer_id)
        return connection

    async def _run(self, peer_id: PeerId, race: Race) -> Connection:
        loop = self._endpoint.loop
        dials: set[asyncio.Task[Connection]] = set()
        failure: Exception = ConnectError(f"no address of {peer_id.short} could be dialled")
        effects = race.start(loop.time())
        try:
            while True:
                for effect in effects:
                    match effect:
                        case Dial(address):
                            dials.add(loop.create_task(self._dial(peer_id, address)))
                        case GiveUp():
                            raise failure
                due = race.next_deadline()
                wait_s = None if due is None else max(0.0, due - loop.time())
                done, dials = await asyncio.wait(dials, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                effects = []
                for dial in done:
                    if (error := dial.exception()) is None:
                        return dial.result()
                    if not isinstance(error, KontinuumError):
                        raise error
                    failure = error
                    effects += race.on_failed(loop.time())
                if not done:
                    effects = race.handle_timeout(loop.time())
        finally:
            for dial in dials:
                dial.cancel()
            await asyncio.gather(*dials, return_exceptions=True)

    async def _dial(self, peer_id: PeerId, address: Multiaddr) -> Connection:
        try:
            targets = await resolve(address)
        except OSError as error:
            raise ConnectError(f"{address.host} has no address: {error.strerror or error}") from None
        failure: KontinuumError = ConnectError(f"{address.host} has no address")
        for target in targets:
            try:
                return await self._endpoint.dial(peer_id, target, timeout_s=self._timeout_s)
            except UnavailableError as error:
                failure = error
        raise failure


def _retrieve(race: asyncio.Task[Connection]) -> None:
    """A race that nobody waits for any more may fail unheard."""
    if not race.cancelled():
        race.exception()
