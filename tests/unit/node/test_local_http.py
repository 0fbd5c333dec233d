"""The small HTTP server: few pages, firm limits, and deaf to web pages that rebind their name."""

import asyncio
import contextlib
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kontinuum.node import local_http
from kontinuum.node.errors import ListenError
from kontinuum.node.local_address import LocalAddress
from kontinuum.node.local_http import CONNECTIONS_MAX, HEAD_BYTES_MAX, LocalHttpServer, Page

LOCAL = LocalAddress.parse("127.0.0.1:0")
PAGES = {"/": lambda: Page(b"hello\n"), "/large": lambda: Page(b"x" * 10**7)}


@pytest.fixture
async def server():
    """A server on a free port."""
    async with LocalHttpServer(LOCAL, PAGES) as server:
        yield server


@contextlib.asynccontextmanager
async def connection(server):
    """A raw connection to it."""
    if server.address.path:
        reader, writer = await asyncio.open_unix_connection(server.address.path)
    else:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(server, request):
    """All that comes back for these bytes: status code, head, body."""
    async with connection(server) as (reader, writer):
        with contextlib.suppress(OSError):
            writer.write(request)
            await writer.drain()
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = await asyncio.wait_for(reader.read(), 10)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else None, head, body


def get(path="/", host="localhost", method="GET"):
    """A request."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def test_a_page_is_served_and_the_connection_closed(server):
    """Status, length and body; one request for each connection; nothing is cached."""
    status, head, body = await ask(server, get())

    assert (status, body) == (200, b"hello\n")
    assert b"Content-Length: 6" in head
    assert b"no-store" in head


async def test_head_has_no_body_and_a_query_is_ignored(server):
    """What monitoring systems send."""
    assert (await ask(server, get(method="HEAD")))[2] == b""
    assert (await ask(server, get("/?probe=1")))[0] == 200


async def test_a_large_page_arrives_whole(server):
    """Writing is not cut off."""
    assert len((await ask(server, get("/large")))[2]) == 10**7


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"])
async def test_only_get_is_served(server, method):
    """There is nothing to change here."""
    status, head, _ = await ask(server, get(method=method))

    assert status == 405
    assert b"Allow: GET, HEAD" in head


async def test_an_unknown_path_is_told_what_exists(server):
    """No file system is behind it, so that no path can leave it."""
    status, _, body = await ask(server, get("/../../etc/passwd"))

    assert (status, body) == (404, b"/\n/large\n")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9464", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:9464", 200),
        ("127.1.2.3", 200),
        ("[::1]:9464", 200),
        ("\t localhost \t", 200),
        ("evil.example", 403),
        ("evil.example:9464", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("192.0.2.1", 403),
        ("[2001:db8::1]", 403),
        ("[::1", 403),
        ("[::1]evil", 403),
        ("127.0.0.1:evil", 403),
        ("localhost:80:80", 403),
        ("2130706433", 403),
        ("", 403),
    ],
)
async def test_dns_rebinding_is_refused(server, host, status):
    """A web page whose name points at this machine still sends its own name (attack 37)."""
    assert (await ask(server, get(host=host)))[0] == status


async def test_a_server_for_all_addresses_answers_to_the_one_used():
    """Bound to 0.0.0.0, the address that was connected to is a name of this machine; a foreign one is not."""
    everywhere = LocalAddress(".".join("0000"), 0)
    async with LocalHttpServer(everywhere, PAGES) as server:
        server.address = LocalAddress("127.0.0.2", server.address.port)

        assert (await ask(server, get(host="127.0.0.2")))[0] == 200
        assert (await ask(server, get(host="evil.example")))[0] == 403


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localh\xc3\xb6st\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\x1e\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost : evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n Host: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
        b"GE(T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_answered_400(server, request_bytes):
    """Nonsense gets an answer, and the server goes on."""
    assert (await ask(server, request_bytes))[0] == 400
    assert (await ask(server, get()))[0] == 200


async def test_the_head_has_a_limit(server):
    """At the limit a request passes; beyond it 431, without reading on."""
    empty = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n"
    padding = b"x" * (
        HEAD_BYTES_MAX - len(empty) + 4
    )  # The limit counts what stands before the last line end.

    assert (await ask(server, empty.replace(b"X: ", b"X: " + padding)))[0] == 200
    assert (await ask(server, empty.replace(b"X: ", b"X: " + padding + b"xxxxx")))[0] == 431
    assert (await ask(server, b"x" * 10 * HEAD_BYTES_MAX))[0] in (431, None)


async def test_a_slow_client_is_dropped_and_does_not_hold_up_others(server, monkeypatch):
    """Half a request is worth only so many seconds."""
    monkeypatch.setattr(local_http, "REQUEST_TIMEOUT_S", 0.2)
    async with connection(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        assert (await ask(server, get()))[0] == 200

        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_a_client_that_does_not_read_is_dropped(server, monkeypatch):
    """A page that nobody takes is not kept in memory."""
    monkeypatch.setattr(local_http, "REQUEST_TIMEOUT_S", 0.2)
    async with connection(server) as (_, writer):
        writer.transport.pause_reading()
        writer.write(get("/large"))
        async with asyncio.timeout(5):
            while not server._connections:  # noqa: ASYNC110 -- until the server noticed it
                await asyncio.sleep(0)
            await asyncio.gather(*server._connections)

    assert not server._connections


async def test_one_connection_more_than_the_limit_is_closed(server):
    """A flood of connections costs a bounded number of tasks; when it ends, all is well."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            await stack.enter_async_context(connection(server))
        assert (await ask(server, get()))[0] is None

    async with asyncio.timeout(5):
        while server._connections:  # noqa: ASYNC110 -- until the server noticed that all are gone
            await asyncio.sleep(0)
    assert (await ask(server, get()))[0] == 200


async def test_a_unix_socket_is_private_and_needs_no_host_check(tmp_path):
    """Whoever may open the socket may read; no web page can."""
    address = LocalAddress.parse(f"unix:{tmp_path}/m.sock")
    async with LocalHttpServer(address, PAGES) as server:
        assert stat.S_IMODE((tmp_path / "m.sock").stat().st_mode) == 0o600
        assert (await ask(server, get(host="anything")))[0] == 200

    assert list(tmp_path.iterdir()) == []


async def test_a_port_in_use_is_a_clear_error(server):
    """The address and the reason are in the message."""
    with pytest.raises(ListenError, match=rf"{server.address}: .*in use"):
        await LocalHttpServer(server.address, PAGES).start()


async def test_a_path_in_use_is_a_clear_error(tmp_path):
    """The same for a Unix socket."""
    address = LocalAddress.parse(f"unix:{tmp_path}/m.sock")
    async with LocalHttpServer(address, PAGES):
        with pytest.raises(ListenError, match="another process listens"):
            await LocalHttpServer(address, PAGES).start()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(head=st.binary(max_size=200))
def test_any_head_gets_an_answer(head):
    """Reading any bytes as a request gives a page, nothing else."""

    class Connection:
        def getsockname(self):
            return ("127.0.0.1", 1)

    _, page = LocalHttpServer(LOCAL, PAGES)._answer(head + b"\r\n\r\n", Connection())
    assert page.status in (200, 400, 403, 404, 405)
