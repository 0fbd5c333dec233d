"""The engine with the least Python above it: the floor that the public API is measured from.

Not a contestant: ``transport.py --engine`` runs it beside the others, and what ``kontinuum_peer.py`` needs
more than this is what RPC and node cost. Calls are answered inline, without a task or an error path.
"""

import argparse
import asyncio
from time import perf_counter

from kontinuum.identity import KeyPair, PeerId
from kontinuum.transport.endpoint import Endpoint
from kontinuum.transport.options import TransportOptions
from peer_shell import (
    CALL_BYTES,
    WRITE_BYTES,
    obey,
    say,
    timed_calls,
    timed_connects,
    until_input_ends,
)

OPTIONS = TransportOptions(half_open_max=4096, handshakes_per_ip_per_s=1e6, handshakes_per_ip_burst=1_000_000)
"""As kontinuum_peer sets them."""

SERVER_SEED, CLIENT_SEED = bytes([1] * 32), bytes([2] * 32)
"""Known to all, as nothing here is secret."""

TIMEOUT_MS = 30_000
"""Given to every call, as the public API does."""


class Floor:
    """What the endpoint tells: echo calls, count streams, resolve replies; the rest is ignored."""

    def __init__(self) -> None:
        self.endpoint: Endpoint
        self.replies: dict[int, asyncio.Future[bytes]] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def on_reply(self, token, _status, body):
        future = self.replies.pop(token)
        if not future.done():
            future.set_result(body)

    def on_call(self, connection, stream, _protocol, _timeout_ms, body):
        self.endpoint.native.reply(connection.id, stream, 0, body)
        self.endpoint.touch()

    def on_stream(self, stream):
        task = asyncio.create_task(self.count(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def count(self, stream):
        size = 0
        while chunk := await stream.read():
            size += len(chunk)
        await stream.write(size.to_bytes(8, "big"))
        await stream.finish()

    def ignore(self, *_):
        pass

    on_connection = on_closed = on_call_failed = on_call_cancelled = on_datagram = on_path = ignore


class Loads:
    """The commands of a client of one server."""

    def __init__(self, floor: Floor, peer: str) -> None:
        address, key = peer.split("/")
        host, port = address.rsplit(":", 1)
        self.floor, self.address, self.peer_id = floor, (host, int(port)), PeerId.parse(key)
        self.idle_connections = []

    async def connect(self):
        return await self.floor.endpoint.dial(self.peer_id, self.address)

    async def calls(self, seconds: str, in_flight: str) -> dict:
        connection = await self.connect()
        endpoint, replies, request = self.floor.endpoint, self.floor.replies, b"x" * CALL_BYTES

        async def call() -> None:
            token = endpoint.next_token()
            future = replies[token] = endpoint.loop.create_future()
            endpoint.native.call(connection.id, token, b"benchmark/echo", TIMEOUT_MS, request)
            endpoint.touch()
            assert await future == request

        result = await timed_calls(call, float(seconds), int(in_flight))
        connection.close()
        return result

    async def bulk(self, mebibytes: str) -> dict:
        connection = await self.connect()
        size, block = int(mebibytes) << 20, bytes(WRITE_BYTES)
        stream = await connection.open_stream("benchmark/count")
        start = perf_counter()
        for _ in range(size // WRITE_BYTES):
            await stream.write(block)
        await stream.finish()
        counted = await stream.read_exactly(8)
        elapsed = perf_counter() - start
        assert counted == size.to_bytes(8, "big")
        connection.close()
        return {"bytes": size, "seconds": elapsed}

    async def handshakes(self, seconds: str) -> dict:
        async def one() -> float:
            start = perf_counter()
            connection = await self.connect()
            elapsed = perf_counter() - start
            connection.close()
            return elapsed

        return await timed_connects(one, float(seconds))

    async def idle(self, count: str) -> dict:
        for _ in range(int(count)):
            self.idle_connections.append(await self.connect())
        return {"connections": int(count)}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("serve").add_argument("port", type=int)
    roles.add_parser("client").add_argument("peer")
    arguments = parser.parse_args()
    serving = arguments.role == "serve"
    floor = Floor()
    seed, port = (SERVER_SEED, arguments.port) if serving else (CLIENT_SEED, 0)
    async with Endpoint(KeyPair.from_seed(seed), ("127.0.0.1", port), floor, OPTIONS) as floor.endpoint:
        if serving:
            host, port = floor.endpoint.local_address
            say(ready=True, peers=[f"{host}:{port}/{floor.endpoint.peer_id.hex()}"])
            await until_input_ends()
        else:
            loads = Loads(floor, arguments.peer)
            await obey({name: getattr(loads, name) for name in ("calls", "bulk", "handshakes", "idle")})


if __name__ == "__main__":
    asyncio.run(main())
