"""One verified connection to one peer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import MisuseError
from kontinuum.identity import PeerId
from kontinuum.transport.errors import (
    CloseCode,
    CloseKind,
    CloseReason,
    ConnectionLostError,
    MessageTooLargeError,
    TooManyStreamsError,
)
from kontinuum.transport.protocols import ALPN_LIBP2P, protocol_name
from kontinuum.transport.raw_stream import RawStream
from kontinuum.transport.stream import MessageStream, Stream

if TYPE_CHECKING:
    from kontinuum.transport.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class PathStats:
    """Figures of one path, measured by our own engine."""

    path: int
    """Its number; the first path is 0."""
    address: tuple[str, int] | None
    """Where it leads."""
    backup: bool
    """We keep it in reserve."""
    rtt_s: float
    """Smoothed round-trip time in seconds."""
    cwnd_bytes: int
    """Congestion window."""
    sent_packets: int
    """Packets sent."""
    lost_packets: int
    """Packets lost."""
    sent_bytes: int
    """UDP payload sent."""
    received_bytes: int
    """UDP payload received."""
    mtu_bytes: int
    """Largest datagram that passes."""


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Figures of a connection."""

    rtt_s: float
    """Round-trip time of the path in use, seconds."""
    cwnd_bytes: int
    """Congestion window of that path."""
    sent_packets: int
    """Packets sent, over all paths."""
    lost_packets: int
    """Packets lost, over all paths."""
    sent_bytes: int
    """UDP payload sent, over all paths."""
    received_bytes: int
    """UDP payload received, over all paths."""
    held_bytes: int
    """Bytes that we hold for the peer."""
    paths: tuple[PathStats, ...]
    """Each path."""


class Connection:
    """A connection whose peer has proven its identity. Made by :meth:`Endpoint.dial` or accepted."""

    __slots__ = (
        "_closed",
        "_streams",
        "alpn",
        "calls",
        "close_reason",
        "endpoint",
        "id",
        "is_closing",
        "key_exchange",
        "last_used",
        "local_id",
        "opened_at",
        "outbound",
        "peer_id",
        "remote_address",
    )

    def __init__(
        self,
        endpoint: "Endpoint",
        connection_id: int,
        peer_id: PeerId,
        local_id: PeerId,
        remote_address: tuple[str, int],
        *,
        outbound: bool,
        alpn: str,
        key_exchange: str,
        opened_at: float,
    ) -> None:
        self.endpoint = endpoint
        self.id = connection_id
        self.peer_id = peer_id
        """Who the peer proved to be: in the handshake, or on the connection since then."""
        self.local_id = local_id
        """Who we are to the peer: what we showed in the handshake, or have proved on it since then."""
        self.remote_address = remote_address
        """IP address and port of the first path."""
        self.outbound = outbound
        """We dialled."""
        self.alpn = alpn
        """The protocol both agreed on."""
        self.key_exchange = key_exchange
        """``X25519MLKEM768`` or ``X25519``."""
        self.opened_at = opened_at
        """Monotonic seconds."""
        self.last_used = opened_at
        """When it last carried a call or stream, monotonic seconds."""
        self.calls = 0
        """Calls in progress on it, in both directions."""
        self.close_reason: CloseReason | None = None
        """Why it is over; ``None`` while it is not."""
        self.is_closing = False
        """It is over, or about to be."""
        self._streams: dict[int, Stream | MessageStream] | None = None
        self._closed: asyncio.Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Calls, or streams that are no standing ones, are open on it."""
        streams = (self._streams or {}).values()
        return bool(self.calls) or any(not stream.standing for stream in streams)

    async def open_stream(self, protocol: str, *, bidirectional: bool = True) -> Stream:
        """Open a stream of bytes; waits while the peer allows no further stream.

        Raises:
            MisuseError: The protocol's name is empty or too long.
            ConnectionLostError: The connection ended.
            TooManyStreamsError: Thousands wait already.
        """
        stream_id = await self._open(protocol, messages=False, bidirectional=bidirectional)
        stream = Stream(self, stream_id, protocol, inbound=False, bidirectional=bidirectional)
        self.add_stream(stream)
        return stream

    async def open_messages(self, protocol: str, *, bidirectional: bool = True) -> MessageStream:
        """Open a stream of messages; as :meth:`open_stream`."""
        stream_id = await self._open(protocol, messages=True, bidirectional=bidirectional)
        stream = MessageStream(self, stream_id, protocol, inbound=False, bidirectional=bidirectional)
        self.add_stream(stream)
        return stream

    async def open_raw(self) -> RawStream:
        """Open a stream where libp2p is spoken; the peer hears of it by its first byte.

        Raises:
            MisuseError: This connection is one of our own protocol.
            ConnectionLostError: The connection ended.
            TooManyStreamsError: Thousands wait already.
        """
        if self.alpn != ALPN_LIBP2P:
            raise MisuseError(f"{self.alpn} has no raw streams")
        native = self.endpoint.native
        stream_id = await self._opened(lambda token: native.open_raw(self.id, token))
        stream = RawStream(self, stream_id, inbound=False)
        self.add_stream(stream)
        return stream

    async def _open(self, protocol: str, *, messages: bool, bidirectional: bool) -> int:
        native, name = self.endpoint.native, protocol_name(protocol)
        if self.alpn == ALPN_LIBP2P:
            raise MisuseError("libp2p has raw streams only: open_raw()")
        return await self._opened(lambda token: native.open(self.id, token, name, messages, bidirectional))

    async def _opened(self, begin: Callable[[int], int | None]) -> int:
        endpoint = self.endpoint
        token, opened = endpoint.expect_open(self.id)
        try:
            stream_id = begin(token)
            self.last_used = endpoint.loop.time()
            endpoint.touch()
            return await opened if stream_id is None else stream_id
        except asyncio.CancelledError:
            if opened.done() and not opened.cancelled() and opened.exception() is None:
                endpoint.give_up_stream(self.id, opened.result())
            raise
        except BrokenPipeError:
            raise self.lost_error() from None
        except BufferError:
            raise TooManyStreamsError(f"too many streams wait for {self.peer_id.short}") from None
        finally:
            endpoint.forget_open(token)

    def send_datagram(self, data: bytes) -> None:
        """Send ``data`` in one packet, or not at all: datagrams may be lost.

        Raises:
            MessageTooLargeError: It fits no packet of this path.
            ConnectionLostError: The connection ended.
        """
        try:
            self.endpoint.native.send_datagram(self.id, data)
        except BrokenPipeError:
            raise self.lost_error() from None
        except OverflowError:
            raise MessageTooLargeError(len(data), 1200) from None
        self.endpoint.touch()

    def close(self, code: int = CloseCode.NONE, reason: str = "") -> None:
        """End the connection at once: calls and streams on it fail on both sides. Later calls do nothing."""
        if not self.is_closing:
            self.is_closing = True
            try:
                self.endpoint.native.close(self.id, code, reason)
            except BrokenPipeError:
                return  # It just ended by itself; the event is on its way.
            self.endpoint.touch()

    async def wait_closed(self) -> CloseReason:
        """Wait until the connection is over, and say why."""
        if self.close_reason is None:
            if self._closed is None:
                self._closed = self.endpoint.loop.create_future()
            await asyncio.shield(self._closed)
        assert self.close_reason is not None  # noqa: S101 -- the future is set together with it
        return self.close_reason

    def stats(self) -> ConnectionStats:
        """The figures of now.

        Raises:
            ConnectionLostError: The connection ended.
        """
        try:
            figures = self.endpoint.native.statistics(self.id)
        except BrokenPipeError:
            raise self.lost_error() from None
        paths = tuple(_path_stats(path) for path in figures["paths"])
        used = next((path for path in paths if not path.backup), paths[0] if paths else None)
        sent_packets, lost_packets, sent_bytes, received_bytes = figures["counts"]
        return ConnectionStats(
            rtt_s=used.rtt_s if used else 0.0,
            cwnd_bytes=used.cwnd_bytes if used else 0,
            sent_packets=sent_packets,
            lost_packets=lost_packets,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
            held_bytes=figures["held"],
            paths=paths,
        )

    def export_keying_material(self, label: bytes, context: bytes, length: int) -> bytes:
        """Derive ``length`` secret bytes that only the two ends know. RFC 8446, section 7.5.

        Raises:
            MisuseError: ``length`` is more than 255 hashes, 8,160 bytes.
            ConnectionLostError: The connection ended.
        """
        try:
            return self.endpoint.native.export_keying_material(self.id, label, context, length)
        except BrokenPipeError:
            raise self.lost_error() from None
        except OverflowError:
            raise MisuseError(f"{length} bytes are more than TLS exports at once (8,160)") from None

    def lost_error(self) -> ConnectionLostError:
        """The error for whoever still wants something of this connection."""
        return ConnectionLostError(self.close_reason or CloseReason(CloseKind.LOCAL, 0, "closing"))

    def __repr__(self) -> str:
        state = "closed" if self.close_reason else "open"
        return f"<Connection {state} {self.peer_id.short} {self.remote_address[0]}:{self.remote_address[1]}>"

    # --- called by the endpoint and the streams ---

    def stream(self, stream_id: int) -> Stream | MessageStream | None:
        """The open stream with that number."""
        return None if self._streams is None else self._streams.get(stream_id)

    def add_stream(self, stream: Stream | MessageStream) -> None:
        """Remember an open stream. The engine bounds how many there are."""
        if self._streams is None:
            self._streams = {}
        self._streams[stream.id] = stream

    def forget_stream(self, stream_id: int) -> None:
        """Both halves of a stream have ended."""
        if self._streams is not None:
            self._streams.pop(stream_id, None)

    def on_closed(self, reason: CloseReason) -> None:
        """The connection is over: everything that waits on it wakes up."""
        self.close_reason = reason
        self.is_closing = True
        streams, self._streams = self._streams, None
        for stream in (streams or {}).values():
            stream.on_connection_closed()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


def _path_stats(path: dict[str, Any]) -> PathStats:
    sent_packets, lost_packets, sent_bytes, received_bytes = path["counts"]
    return PathStats(
        path=path["path"],
        address=path["address"],
        backup=path["backup"],
        rtt_s=path["rtt_s"],
        cwnd_bytes=path["cwnd"],
        sent_packets=sent_packets,
        lost_packets=lost_packets,
        sent_bytes=sent_bytes,
        received_bytes=received_bytes,
        mtu_bytes=path["mtu"],
    )
