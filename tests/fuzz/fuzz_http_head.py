"""Any bytes, whole or in pieces, get one sound answer or none; and a page only for a Host of this machine."""

import asyncio
import re

from kontinuum.node.local_address import LocalAddress
from kontinuum.node.local_http import HEAD_BYTES_MAX, LocalHttpServer, Page

SEEDS = [
    b"GET / HTTP/1.1\r\nHost: localhost:9464\r\nAccept: */*\r\n\r\n",
    b"HEAD /?probe=1 HTTP/1.1\r\nhost: [::1]:9464\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHOST:192.0.2.1\r\n\r\n",
    b"GET /none HTTP/1.1\r\nHost: localhost.\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (HEAD_BYTES_MAX - 40) + b"\r\n\r\n",
    b"x" * (HEAD_BYTES_MAX + 4),
    b"localhost:9464",
    b"127.1.2.3:80",
    b"[0:0::1]:80",
    b"127.0.0.1.evil.example",
    b"192.0.2.1",
]
BODY = b"hello\n"
TCP = LocalHttpServer(LocalAddress("127.0.0.1", 1), {"/": lambda: Page(BODY)})
UNIX = LocalHttpServer(LocalAddress.parse("unix:/nowhere"), {"/": lambda: Page(BODY)})

ANSWER = re.compile(
    rb"HTTP/1\.1 (200|400|403|404|405|431) [A-Za-z ]+\r\n((?:[A-Z][A-Za-z-]+: [^\r\n]+\r\n)+)\r\n"
)
LOCAL = re.compile(
    rb"^host:\s*\[?(localhost\.?|127(\.\d{1,3}){3}|192\.0\.2\.1|[0:.]*[:.]0*1(%[^%\]]*)?)\]?(:\d+)?\s*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A Host of this machine, read in another way than the server's."""


class Client:
    """A connection from the server's side: what it may ask of a writer and of a socket."""

    def __init__(self) -> None:
        self.transport = self
        self.received = bytearray()

    def get_extra_info(self, name):
        assert name == "socket"
        return self

    def getsockname(self):
        return ("192.0.2.1", 9464)

    def write(self, data):
        self.received += data

    def set_write_buffer_limits(self, high):
        assert high == 0

    async def drain(self):
        pass


def fuzz(data: bytes) -> None:
    """One input as a request, and as the Host of one."""
    asyncio.run(talk(data))
    asyncio.run(talk(b"GET / HTTP/1.1\r\nHost: " + data + b"\r\n\r\n"))


async def talk(data: bytes) -> None:
    """Ask a server of each kind: at once, in halves, and with the last bytes one by one."""
    middle, late = len(data) // 2, max(0, len(data) - 8)
    for server in (TCP, UNIX):
        whole = await answer(server, [data])
        assert whole == await answer(server, [data[:middle], data[middle:]])
        assert whole == await answer(
            server, [data[:late], *(data[at : at + 1] for at in range(late, len(data)))]
        )
        check(whole, data, is_private=server is UNIX)


async def answer(server: LocalHttpServer, pieces: list[bytes]) -> bytes:
    """All that comes back, or nothing when the request is cut off."""
    reader, client = asyncio.StreamReader(HEAD_BYTES_MAX), Client()
    exchange = asyncio.create_task(server._exchange(reader, client))
    for piece in pieces:
        if piece:
            reader.feed_data(piece)
            await asyncio.sleep(0)
    reader.feed_eof()
    try:
        await exchange
    except EOFError:
        assert not client.received
    return bytes(client.received)


def check(whole: bytes, data: bytes, *, is_private: bool) -> None:
    """One answer, complete, and none that a web page of elsewhere may not see."""
    if not whole:
        assert b"\r\n\r\n" not in data[: HEAD_BYTES_MAX + 4]
        return
    head = ANSWER.match(whole)
    assert head
    body, status = whole[head.end() :], int(head[1])
    [length] = re.findall(rb"^Content-Length: (\d+)\r$", head[2], re.MULTILINE)
    assert len(body) == int(length) or (not body and data.startswith(b"HEAD "))
    assert len(head[2]) < 400
    if status == 200:
        assert body in (b"", BODY)
        assert is_private or LOCAL.search(data.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n"))
