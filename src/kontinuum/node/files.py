"""Files between this node and its peers, for programs above the facade.

Bounds:   those of the room ``transfer``.
Trust:    an offer is hostile input; a policy decides about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.transfer.incoming.service import FileReceiver
from kontinuum.transfer.messages import PROTOCOL
from kontinuum.transfer.outgoing.service import send_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from kontinuum.identity import PeerId
    from kontinuum.node.node import Node
    from kontinuum.transfer.incoming.policy import Policy
    from kontinuum.transfer.outgoing.source import Source
    from kontinuum.transfer.report import FileReport, ProgressCallback
    from kontinuum.transport import Stream


class NodeFiles:
    """The file transfers of one node.

    Args:
        node: Its handler for files is registered here; a node has one.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._receiver = FileReceiver()

        @node.stream_handler(PROTOCOL)
        async def take_files(stream: Stream) -> None:
            await self._receiver.handle(stream.connection.peer_id, stream)

    def receiving(self, policy: Policy) -> AbstractAsyncContextManager[None]:
        """Ask ``policy`` about offers while the block runs; see :meth:`FileReceiver.receiving`."""
        return self._receiver.receiving(policy)

    async def send(
        self, peer: PeerId, sources: Sequence[Source], *, on_progress: ProgressCallback | None = None
    ) -> list[FileReport]:
        """Offer files to a peer, and send what it wants; raises as :func:`send_files` and ``Node.call``."""
        stream = await self._node.open_stream(peer, PROTOCOL)
        return await send_files(stream, sources, on_progress=on_progress)
