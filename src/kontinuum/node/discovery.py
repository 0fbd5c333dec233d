"""Find nodes of the same network on the local network, and be found by them (multicast DNS).

Source:   RFC 6762 over IPv4, RFC 6763 (DNS-SD); service type SERVICE_TYPE. The TXT record carries ``n``,
          the beginning of the network id, and the contact's text in chunks ``c0``, ``c1``, ...
Bounds:   PEERS_MAX names are looked at, NAMES_WAITING_MAX wait, RESOLVERS work at once, CHUNKS_MAX of text.
Trust:    everyone on the local network can say anything. A name and its addresses mean nothing; only a signed
          contact of our network with its proof of work counts, checked like one from a stranger far away.
Import:   zeroconf (0.2 s) is imported by :meth:`MdnsDiscovery.start`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Self

from kontinuum.base.clock import Clock, SystemClock
from kontinuum.base.errors import KontinuumError, PeerError
from kontinuum.identity.contact import Contact
from kontinuum.node.errors import ListenError
from kontinuum.wire.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_kontinuum._udp.local."
"""The DNS-SD service type of every Kontinuum node."""

CHUNK_CHARS = 240
"""Characters of one TXT string. RFC 1035, section 3.3.14: 255 bytes, its key included."""

CHUNKS_MAX = 16
"""TXT strings of one contact, which bounds it to 3,840 characters: 16 IP addresses fit, 16 long names do not.
A longer contact of our own is not announced; a longer one of a stranger is ignored."""

NETWORK_CHARS = 16
"""Hexadecimal characters of the network id in the TXT record: enough to skip others without reading on."""

PEERS_MAX = 256
"""Names looked at while they live. Our choice: more nodes of one local network need no mDNS; further ones are
ignored until others say goodbye."""

NAMES_WAITING_MAX = 64
"""Names that wait to be resolved. Our choice; further ones are dropped, and are announced again anyway."""

RESOLVERS = 4
"""Names resolved at once. Our choice."""

RESOLVE_TIMEOUT_MS = 3000
"""Milliseconds to wait for a name's TXT record. Our choice."""

logger = logging.getLogger("kontinuum.node.discovery")


def encode_txt(contact: Contact) -> dict[str, str]:
    """Return the TXT record of a contact.

    Raises:
        MalformedError: its text needs more than CHUNKS_MAX chunks.
    """
    text = contact.to_text()
    if len(text) > CHUNKS_MAX * CHUNK_CHARS:
        raise MalformedError(f"a contact of {len(text)} characters does not fit an announcement")
    chunks = [text[start : start + CHUNK_CHARS] for start in range(0, len(text), CHUNK_CHARS)]
    return {
        "n": contact.network_id.hex()[:NETWORK_CHARS],
        **{f"c{number}": chunk for number, chunk in enumerate(chunks)},
    }


def decode_txt(record: Mapping[bytes, bytes | None], network_id: bytes) -> Contact | None:
    """Return the contact in a TXT record, or ``None`` if it is of another network.

    Raises:
        PeerError: it is no contact, or its signature does not fit.
    """
    if record.get(b"n") != network_id.hex()[:NETWORK_CHARS].encode():
        return None
    chunks: list[bytes] = []
    while len(chunks) < CHUNKS_MAX and (chunk := record.get(f"c{len(chunks)}".encode())):
        chunks.append(chunk)
    try:
        return Contact.from_text(b"".join(chunks).decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedError("an announcement is no ASCII text") from None


class MdnsDiscovery:
    """Announces our contact and reports others', from start to close. An async context manager.

    Args:
        contact_provider: our current contact; asked at the start and by :meth:`refresh`.
        found: called with every verified contact of our network but our own, again whenever it is announced
            again or changes. It must not block.
        network_id: whose contacts count.
        pow_bits: the work they must carry.
        interfaces: IP addresses of the interfaces to use; all by default.
        clock: the time of day that decides whether a contact is fresh.
    """

    def __init__(
        self,
        contact_provider: Callable[[], Contact],
        found: Callable[[Contact], None],
        *,
        network_id: bytes,
        pow_bits: int,
        interfaces: Sequence[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._contact_provider = contact_provider
        self._found = found
        self._network_id = network_id
        self._pow_bits = pow_bits
        self._interfaces = interfaces
        self._clock = clock or SystemClock()
        self._names: asyncio.Queue[str] = asyncio.Queue(NAMES_WAITING_MAX)
        self._known: dict[str, None] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._zeroconf: AsyncZeroconf | None = None
        self._info: AsyncServiceInfo | None = None
        self._stale = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen, and to announce in the background.

        Raises:
            ListenError: there is no interface that can multicast.
        """
        from zeroconf import InterfaceChoice, IPVersion
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        try:
            self._zeroconf = AsyncZeroconf(
                interfaces=list(self._interfaces) if self._interfaces else InterfaceChoice.All,
                ip_version=IPVersion.V4Only,
            )
        except OSError as error:
            raise ListenError("mDNS", error.strerror or str(error)) from error
        AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change])
        self._tasks = [asyncio.create_task(self._resolve(), name="mDNS resolver") for _ in range(RESOLVERS)]
        self._tasks.append(asyncio.create_task(self._announce_changes(), name="mDNS announcer"))
        self.refresh()

    def refresh(self) -> None:
        """Announce our contact anew, soon, after it changed. Many calls in a row are one announcement."""
        self._stale.set()

    async def close(self) -> None:
        """Say goodbye and stop. A second call does nothing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._zeroconf is not None:
            zeroconf, self._zeroconf = self._zeroconf, None
            await zeroconf.async_close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _announce_changes(self) -> None:
        while self._zeroconf is not None:
            await self._stale.wait()
            self._stale.clear()
            await self._announce(self._zeroconf)

    async def _announce(self, zeroconf: AsyncZeroconf) -> None:
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        try:
            contact = self._contact_provider()
            name = contact.peer_id.hex()[:32]
            info = AsyncServiceInfo(
                SERVICE_TYPE,
                self._info.name if self._info else f"{name}.{SERVICE_TYPE}",
                port=next((address.port for address in contact.addresses), 1),
                properties=encode_txt(contact),
                server=f"{name}.local.",
                parsed_addresses=[each.host for each in contact.addresses if each.kind in ("ip4", "ip6")],
            )
            if self._info is None:
                await (await zeroconf.async_register_service(info, allow_name_change=True))
            else:
                await (await zeroconf.async_update_service(info))
            self._info = info
        except (Error, OSError, KontinuumError) as error:
            logger.warning("this node cannot be announced on the local network: %s", error)

    def _on_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Note a name; called by zeroconf, with these names, in the event loop."""
        del zeroconf, service_type
        if state_change.name == "Removed":
            self._known.pop(name, None)
        elif name in self._known or len(self._known) < PEERS_MAX:
            self._known[name] = None
            with contextlib.suppress(asyncio.QueueFull):
                self._names.put_nowait(name)

    async def _resolve(self) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        while True:
            name = await self._names.get()
            try:
                info = AsyncServiceInfo(SERVICE_TYPE, name)
                if self._zeroconf is None:
                    return
                info.load_from_cache(self._zeroconf.zeroconf)
                if (
                    not info.properties
                ):  # Announcements bring their TXT record along; few names must be asked.
                    await info.async_request(self._zeroconf.zeroconf, RESOLVE_TIMEOUT_MS)
                self._judge(info.properties)
            except Exception:
                # Whatever a stranger's record does to the library or to us, the next name is looked at.
                logger.warning("an announcement on the local network could not be read", exc_info=True)

    def _judge(self, record: Mapping[bytes, bytes | None]) -> None:
        try:
            contact = decode_txt(record, self._network_id)
            if contact is None or contact.peer_id == self._contact_provider().peer_id:
                return
            contact.verify(self._clock.utc(), self._network_id, self._pow_bits)
        except PeerError as error:
            logger.info("an announcement on the local network was ignored: %s", error)
            return
        self._found(contact)
