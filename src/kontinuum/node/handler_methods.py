"""The methods of a node that say what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.rpc.service import RpcService

H = TypeVar("H", bound="Callable[..., Any]")


class HandlerMethods:
    """What peers can ask of a node. A part of ``Node``."""

    _rpc: RpcService

    def handler(self, protocol: str) -> Callable[[H], H]:
        """Answer calls of ``protocol``: ``async def f(peer: PeerId, data: bytes) -> bytes``.

        A plain function runs inline, faster, and must not block. What it raises stays here; the caller learns
        that it failed, or what a ``CallError`` says.
        """

        def register(function: H) -> H:
            self._rpc.add_handler(protocol, function)
            return function

        return register

    def stream_handler(self, protocol: str) -> Callable[[H], H]:
        """Serve streams of ``protocol``: ``async def f(stream: Stream) -> None``."""

        def register(function: H) -> H:
            self._rpc.add_stream_handler(protocol, function, messages=False)
            return function

        return register

    def message_handler(self, protocol: str) -> Callable[[H], H]:
        """Serve streams of messages of ``protocol``: ``async def f(stream: MessageStream) -> None``."""

        def register(function: H) -> H:
            self._rpc.add_stream_handler(protocol, function, messages=True)
            return function

        return register
