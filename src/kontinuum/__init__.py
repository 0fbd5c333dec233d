"""Kontinuum: a network that its members own.

``Node`` is where to begin::

    async with Node() as node:
        await node.call(peer, "echo", b"hello")

The rooms below it, from the top: ``cli``, ``node``, ``transfer``, ``rpc``, ``transport``, ``identity``,
``wire``, ``base``. docs/architecture.md shows how they fit together.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kontinuum.base.errors import KontinuumError, MisuseError, PeerError, UnavailableError
    from kontinuum.gossip.events import Message, Verdict
    from kontinuum.gossip.subscription import Subscription
    from kontinuum.identity import Contact, KeyPair, Multiaddr, PeerId
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.neighbours import PeerInfo
    from kontinuum.node.node import Node
    from kontinuum.rpc.errors import CallError
    from kontinuum.transport import MessageStream, Stream

_HOMES = {
    "CallError": "kontinuum.rpc.errors",
    "Contact": "kontinuum.identity",
    "KeyPair": "kontinuum.identity",
    "KontinuumError": "kontinuum.base.errors",
    "Message": "kontinuum.gossip.events",
    "MessageStream": "kontinuum.transport",
    "MisuseError": "kontinuum.base.errors",
    "Multiaddr": "kontinuum.identity",
    "Node": "kontinuum.node.node",
    "NodeConfig": "kontinuum.node.config",
    "PeerError": "kontinuum.base.errors",
    "PeerId": "kontinuum.identity",
    "PeerInfo": "kontinuum.node.neighbours",
    "Stream": "kontinuum.transport",
    "Subscription": "kontinuum.gossip.subscription",
    "UnavailableError": "kontinuum.base.errors",
    "Verdict": "kontinuum.gossip.events",
}
"""Where each public name lives; it is imported at its first use, so that ``import kontinuum`` is cheap."""

__all__ = [
    "CallError",
    "Contact",
    "KeyPair",
    "KontinuumError",
    "Message",
    "MessageStream",
    "MisuseError",
    "Multiaddr",
    "Node",
    "NodeConfig",
    "PeerError",
    "PeerId",
    "PeerInfo",
    "Stream",
    "Subscription",
    "UnavailableError",
    "Verdict",
]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"kontinuum has no {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
