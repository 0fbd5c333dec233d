"""From a peer's identity to a connection: races its addresses, once at a time for each peer.

Bounds: DIALS_MAX dials at once; each race as ``dialing.Race`` says.
Trust:  a dead peer delays nobody else: every race is a task of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.identity import Multiaddr
from kontinuum.node.addresses import resolve
from kontinuum.node.dialing import BackOff, Dial, GiveUp, Race
from kontinuum.node.errors import NoAddressError, PeerBackoffError
from kontinuum.transport import ALPN
from kontinuum.transport.errors import ConnectError, DialTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, KeysView, Sequence
    from typing import Any

    from kontinuum.base.entropy import Rng
    from kontinuum.identity import PeerId
    from kontinuum.transport import Connection, Endpoint

DIALS_MAX = 1024
"""Addresses that are dialled at once; further ones wait for their turn. Our choice: each costs some 50 kB
and a few packets, and a dead one holds its place for the whole time-out."""


class Connector:
    """Dials peers by one protocol. Several who want the same peer at the same addresses share one race."""

    def __init__(self, endpoint: Endpoint, rng: Rng, *, timeout_s: float, alpn: str = ALPN) -> None:
        self.back_off = BackOff(rng)
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._alpn = alpn
        self._races: dict[PeerId, asyncio.Task[Connection]] = {}
        self._arrivals: dict[PeerId, set[asyncio.Future[Connection]]] = {}
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

    @property
    def dialled(self) -> KeysView[PeerId]:
        """The peers for which a race is on."""
        return self._races.keys()

    def arrived(self, connection: Connection, former: PeerId | None = None) -> None:
        """A peer is connected, by whichever side: who waits for it need not wait for our own dial.

        With ``former``, the name by which the peer went until now: who waits for that one is served as well.
        """
        names = (connection.peer_id,) if former is None else (connection.peer_id, former)
        for name in names:
            self.back_off.forget(name)
            for arrival in self._arrivals.get(name, ()):
                if not arrival.done():
                    arrival.set_result(connection)

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
        arrival: asyncio.Future[Connection] = loop.create_future()
        # Several races for one peer may be on, to different addresses: an arrival ends them all.
        arrivals = self._arrivals.setdefault(peer_id, set())
        arrivals.add(arrival)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._run(peer_id, addresses, arrival, self._dial)
        except (TimeoutError, KontinuumError) as error:
            if arrival.done():  # In the turn in which the race was lost: the peer is there.
                return arrival.result()
            self.back_off.failed(peer_id, loop.time())
            if isinstance(error, KontinuumError):
                raise
            raise DialTimeoutError(
                f"none of {len(addresses)} addresses of {peer_id.short} answered within {self._timeout_s:g} s"
            ) from None
        finally:
            arrivals.discard(arrival)
            if not arrivals and self._arrivals.get(peer_id) is arrivals:
                del self._arrivals[peer_id]

    async def _run(  # noqa: C901 -- one loop over one machine
        self,
        peer_id: PeerId,
        addresses: Sequence[Multiaddr],
        arrival: asyncio.Future[Connection],
        dial: Callable[[PeerId, Multiaddr, asyncio.Future[Connection]], Coroutine[Any, Any, Connection]],
    ) -> Connection:
        loop = self._endpoint.loop
        race = Race(addresses)
        dials: set[asyncio.Future[Connection]] = set()
        failure: Exception = ConnectError(f"no address of {peer_id.short} could be dialled")
        effects = race.start(loop.time())
        try:
            while True:
                for effect in effects:
                    match effect:
                        case Dial(address):
                            dials.add(loop.create_task(dial(peer_id, address, arrival)))
                        case GiveUp():
                            raise failure
                due = race.next_deadline()
                wait_s = None if due is None else max(0.0, due - loop.time())
                done, _ = await asyncio.wait(
                    {arrival, *dials}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                )
                if arrival in done:
                    return arrival.result()
                effects = []
                for each in done:
                    dials.discard(each)
                    if (error := each.exception()) is None:
                        return each.result()
                    if not isinstance(error, KontinuumError):
                        raise error
                    failure = error
                    effects += race.on_failed(loop.time())
                if not done:
                    effects = race.handle_timeout(loop.time())
        finally:
            for each in dials:
                each.cancel()
            await asyncio.gather(*dials, return_exceptions=True)

    async def _dial(
        self, peer_id: PeerId, address: Multiaddr, arrival: asyncio.Future[Connection]
    ) -> Connection:
        if address.kind in ("ip4", "ip6"):
            return await self._dial_ip(peer_id, address, arrival)
        try:
            targets = await resolve(address)
        except OSError as error:
            raise ConnectError(f"{address.host} has no address: {error.strerror or error}") from None
        # Several addresses of one name are raced like several of one contact: the first may be dead.
        found = [Multiaddr.from_ip(*target) for target in targets]
        return await self._run(peer_id, found, arrival, self._dial_ip)

    async def _dial_ip(
        self, peer_id: PeerId, address: Multiaddr, _arrival: asyncio.Future[Connection]
    ) -> Connection:
        async with self._turns:
            return await self._endpoint.dial(
                peer_id, (address.host, address.port), timeout_s=self._timeout_s, alpn=self._alpn
            )


def _retrieve(race: asyncio.Task[Connection]) -> None:
    """A race that nobody waits for any more may fail unheard."""
    if not race.cancelled():
        race.exception()
