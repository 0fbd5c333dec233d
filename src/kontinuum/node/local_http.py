"""A very small HTTP server for programs on this machine: GET of a few fixed pages, nothing else.

Source:   RFC 9112 (the request head), only what a monitoring system needs. One request per connection.
Bounds:   HEAD_BYTES_MAX, CONNECTIONS_MAX, REQUEST_TIMEOUT_S for one request from first byte to last.
Trust:    any program on the machine, and any web page that a browser on it shows: a page that rebinds its
          name to 127.0.0.1 still sends its own name as Host, and is refused. There is nothing to change here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kontinuum.node.errors import ListenError
from kontinuum.node.local_address import LocalAddress
from kontinuum.node.local_server import LocalServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

HEAD_BYTES_MAX = 8 * 1024
"""Bytes of request line and headers. Our choice; more is answered with 431."""

CONNECTIONS_MAX = 32
"""Connections at once. Our choice; further ones are closed unanswered."""

REQUEST_TIMEOUT_S = 5.0
"""Seconds for a whole exchange. Our choice; then the connection is closed."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rf"({_NAME}) ([!-~]+) (HTTP/1\.[01])")
_FIELD = re.compile(rf"({_NAME}):([\t -~]*)")
"""The lines of a head. RFC 9112, sections 3 and 5; no control characters, no blank before a colon, no
continued lines: two readers of such a head could see two different Hosts."""

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


class LocalHttpServer(LocalServer):
    """Serves ``pages`` at ``address`` until :meth:`close`. An async context manager.

    Args:
        address: a TCP address, or a Unix socket, which gets mode 0600.
        pages: path -> function that makes the page; it must be quick, as it runs in the event loop.

    Raises:
        ListenError: on entering, if the address cannot be had.
    """

    def __init__(self, address: LocalAddress, pages: Mapping[str, Callable[[], Page]]) -> None:
        super().__init__()
        self.address = address
        """Where it listens; once started, with the real port."""
        self._pages = dict(pages)

    async def _listen(self) -> asyncio.Server:
        if self.address.path:
            return await self._listen_unix(Path(self.address.path), HEAD_BYTES_MAX)
        try:
            server = await asyncio.start_server(
                self._accept, self.address.host, self.address.port, limit=HEAD_BYTES_MAX
            )
        except OSError as error:
            raise ListenError(str(self.address), error.strerror or str(error)) from error
        self.address = LocalAddress(self.address.host, server.sockets[0].getsockname()[1])
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) <= CONNECTIONS_MAX:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._exchange(reader, writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            method, page = "GET", Page(b"the request's head is too long\n", 431)
        else:
            method, page = self._answer(head, writer.get_extra_info("socket"))
        lines = [
            f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
            f"Content-Type: {page.content_type}",
            f"Content-Length: {len(page.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
            *(["Allow: GET, HEAD"] if page.status == 405 else []),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (page.body if method != "HEAD" else b""))
        writer.transport.set_write_buffer_limits(0)
        await writer.drain()

    def _answer(self, head: bytes, connection: socket.socket) -> tuple[str, Page]:
        lines = head.decode("ascii", errors="replace").removesuffix("\r\n\r\n").split("\r\n")
        request, *fields = _REQUEST.fullmatch(lines[0]), *map(_FIELD.fullmatch, lines[1:])
        if request is None or not all(fields):
            return "GET", Page(b"this is no HTTP request\n", 400)
        method, target, version = request.groups()
        hosts = [field[2].strip(" \t") for field in fields if field and field[1].lower() == "host"]
        if len(hosts) > 1 or (not hosts and version == "HTTP/1.1"):
            return method, Page(b"this is no HTTP/1.1 request with one Host\n", 400)
        if not self.address.path and not (hosts and _is_local(hosts[0], connection)):
            return method, Page(b"this service answers only to names of this machine\n", 403)
        if method not in ("GET", "HEAD"):
            return method, Page(b"only GET is served\n", 405)
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            return method, Page("".join(f"{path}\n" for path in sorted(self._pages)).encode(), 404)
        return method, make()


def _is_local(host: str, connection: socket.socket) -> bool:
    """Say whether a Host is ``localhost``, a loopback address, or the address that was connected to."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return False
    else:
        name, colon, port = host.partition(":")
        if colon and not _is_port(colon + port):
            return False
    if name.lower() in ("localhost", "localhost."):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address == ipaddress.ip_address(
        connection.getsockname()[0].partition("%")[0]
    )


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdigit()
