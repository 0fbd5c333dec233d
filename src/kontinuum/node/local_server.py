"""What the servers for programs on this machine share: one task per connection, and an orderly end.

Bounds:   FAREWELL_S for the end of a connection. How many connections there may be is each server's rule.
Trust:    a client that does not read, or that vanishes, holds up nobody.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from kontinuum.node import unix_socket

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

FAREWELL_S = 1.0
"""Seconds in which a client may still read what is due to it when its connection ends. Our choice; then the
rest is thrown away."""


class LocalServer(ABC):
    """Listens from :meth:`start` to :meth:`close`. An async context manager."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._socket: tuple[Path, int] | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: the address cannot be had.
        """
        self._server = await self._listen()

    async def close(self) -> None:
        """Stop listening, end every connection, remove the socket. A second call does nothing."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._socket is not None:
            unix_socket.remove(*self._socket)
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    async def _listen(self) -> asyncio.Server:
        """Open the server; its callback is :meth:`_accept`."""

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client. OSError, EOFError and cancellation end the connection and nothing else."""

    async def _listen_unix(self, path: Path, limit: int) -> asyncio.Server:
        listener, inode = unix_socket.listen(path)
        self._socket = path, inode
        return await asyncio.start_unix_server(self._accept, sock=listener, limit=limit)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover -- asyncio calls this in a task
            raise AssertionError
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # Too slow, gone, or the node is closing: there is nobody to tell.
        finally:
            writer.close()
            try:
                async with asyncio.timeout(FAREWELL_S):
                    await writer.wait_closed()
            except (OSError, asyncio.CancelledError):  # TimeoutError among them.
                writer.transport.abort()
            self._connections.discard(task)
