"""The peer of ``transport.py`` that runs aioquic, QUIC in Python, as its documentation shows it.

Cheaper than our own handshake on purpose: the server alone proves an identity, the client does not check
it, and the key exchange is X25519 without the post-quantum half. Windows are raised to 4 MiB per stream,
since the defaults would hold the bulk load back.
"""

import argparse
import asyncio
import datetime as dt
import ssl
from contextlib import AsyncExitStack
from time import perf_counter

from aioquic import tls
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer_shell import CALL_BYTES, WRITE_BYTES, obey, say, timed_calls, timed_connects, until_input_ends

CALL, BULK = b"\x01", b"\x02"
"""First byte of a stream: echo what follows, or count it."""

STREAM_WINDOW_BYTES = 4 << 20
"""Unread bytes per stream, where aioquic's default is 1 MiB."""

SEND_BUFFER_BYTES = 1 << 20
"""Bytes handed to aioquic ahead of the network: it has no back-pressure of its own."""


class X25519Context(tls.Context):
    """A handshake that makes one key share instead of aioquic's three: faster, and what we compare with."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._supported_groups = [tls.Group.X25519]


tls.Context = X25519Context


def self_signed() -> tuple[x509.Certificate, Ed25519PrivateKey]:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, None)
    )
    return certificate, key


def configuration(*, is_client: bool) -> QuicConfiguration:
    result = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["benchmark"],
        max_stream_data=STREAM_WINDOW_BYTES,
        max_data=4 * STREAM_WINDOW_BYTES,
    )
    if is_client:
        result.verify_mode = ssl.CERT_NONE
    else:
        result.certificate, result.private_key = self_signed()
    return result


class Server(QuicConnectionProtocol):
    """Echoes calls and counts bulk."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.calls: dict[int, bytes] = {}
        self.counts: dict[int, int] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if not isinstance(event, StreamDataReceived):
            return
        stream, data = event.stream_id, event.data
        if stream in self.counts:
            self.counts[stream] += len(data)
        elif stream not in self.calls and data[:1] == BULK:
            self.counts[stream] = len(data) - 1
        else:
            self.calls[stream] = self.calls.get(stream, b"") + data
        if event.end_stream:
            if stream in self.counts:
                answer = self.counts.pop(stream).to_bytes(8, "big")
            else:
                answer = self.calls.pop(stream)[1:]
            self._quic.send_stream_data(stream, answer, end_stream=True)
            self.transmit()


class Client(QuicConnectionProtocol):
    """Waits for the whole answer on each stream it opens."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[int, asyncio.Future[bytes]] = {}
        self.answers: dict[int, bytes] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            answer = self.answers.pop(event.stream_id, b"") + event.data
            if event.end_stream:
                self.waiting.pop(event.stream_id).set_result(answer)
            else:
                self.answers[event.stream_id] = answer

    def open(self) -> tuple[int, asyncio.Future[bytes]]:
        stream = self._quic.get_next_available_stream_id()
        future = self.waiting[stream] = asyncio.get_running_loop().create_future()
        return stream, future

    async def call(self) -> None:
        request = b"x" * CALL_BYTES
        stream, answer = self.open()
        self._quic.send_stream_data(stream, CALL + request, end_stream=True)
        self._transmit_soon()  # One transmission for all calls of a turn of the loop: the faster choice.
        assert await answer == request

    async def bulk(self, size: int) -> None:
        stream, answer = self.open()
        block = bytes(WRITE_BYTES)
        self._quic.send_stream_data(stream, BULK)
        unsent = self._quic._streams[stream].sender._buffer
        for _ in range(size // WRITE_BYTES):
            self._quic.send_stream_data(stream, block)
            self.transmit()
            while len(unsent) > SEND_BUFFER_BYTES:
                await asyncio.sleep(0.001)
        self._quic.send_stream_data(stream, b"", end_stream=True)
        self.transmit()
        assert await answer == size.to_bytes(8, "big")


class Loads:
    """The commands of a client of one server."""

    def __init__(self, address: str, stack: AsyncExitStack) -> None:
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.idle_connections = stack

    def connect(self):
        settings = configuration(is_client=True)
        return connect(self.host, self.port, configuration=settings, create_protocol=Client)

    async def calls(self, seconds: str, in_flight: str) -> dict:
        async with self.connect() as client:
            return await timed_calls(client.call, float(seconds), int(in_flight))

    async def bulk(self, mebibytes: str) -> dict:
        size = int(mebibytes) << 20
        async with self.connect() as client:
            start = perf_counter()
            await client.bulk(size)
            return {"bytes": size, "seconds": perf_counter() - start}

    async def handshakes(self, seconds: str) -> dict:
        async with AsyncExitStack() as closing:

            async def one() -> float:
                start = perf_counter()
                client = await closing.enter_async_context(self.connect())
                elapsed = perf_counter() - start
                client.close()  # Waiting for the end of each, 0.1 s, would only lengthen the run.
                return elapsed

            return await timed_connects(one, float(seconds))

    async def idle(self, count: str) -> dict:
        for _ in range(int(count)):
            await self.idle_connections.enter_async_context(self.connect())
        return {"connections": int(count)}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("serve").add_argument("port", type=int)
    roles.add_parser("client").add_argument("peer")
    arguments = parser.parse_args()
    if arguments.role == "serve":
        settings = configuration(is_client=False)
        server = await serve("127.0.0.1", arguments.port, configuration=settings, create_protocol=Server)
        host, port = server._transport.get_extra_info("sockname")[:2]
        say(ready=True, peers=[f"{host}:{port}"])
        await until_input_ends()
        return
    async with AsyncExitStack() as stack:
        loads = Loads(arguments.peer, stack)
        await obey({name: getattr(loads, name) for name in ("calls", "bulk", "handshakes", "idle")})
        stack.pop_all()  # The process ends now; a thousand polite farewells would only delay it.


if __name__ == "__main__":
    asyncio.run(main())
