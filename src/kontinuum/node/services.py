"""What runs beside a node when its settings ask for it: metrics, and discovery on the local network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import UnavailableError
from kontinuum.base.log import RoomLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from kontinuum.identity import Contact
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.discovery import MdnsDiscovery
    from kontinuum.node.node import Node

_log = RoomLogger("node")


async def start_metrics(stack: AsyncExitStack, node: Node, unready: Callable[[], str]) -> None:
    """Serve ``/metrics``, ``/healthz`` and ``/readyz`` where the settings say, if they do.

    Raises:
        ListenError: The address cannot be had. Whoever asked for metrics must not be without them unawares.
    """
    if node.config.metrics_address is None:
        return
    from kontinuum.node.metrics import metrics_server
    from kontinuum.node.watching import snapshot

    server = metrics_server(node.config.metrics_address, lambda: snapshot(node), unready)
    await stack.enter_async_context(server)


async def start_discovery(
    stack: AsyncExitStack,
    config: NodeConfig,
    network: bytes,
    own_contact: Callable[[], Contact],
    found: Callable[[Contact], None],
) -> MdnsDiscovery | None:
    """Look for peers on the local network if the settings say so; without multicast the node still runs."""
    if not config.mdns:
        return None
    from kontinuum.node.discovery import MdnsDiscovery

    discovery = MdnsDiscovery(own_contact, found, network_id=network, pow_bits=config.pow_bits)
    try:
        return await stack.enter_async_context(discovery)
    except UnavailableError as error:
        _log.warning("no peers are looked for on the local network", reason=str(error))
        return None


def warn_of_doubts(config: NodeConfig) -> None:
    """Say what is allowed and still deserves a look, such as a key log."""
    for finding in config.doubts():
        _log.warning(finding.message, setting=finding.key)
