"""A running node goes over to another identity, and drops no session.

What begins from now on shows the new identity: handshakes, our contact, messages of topics, records. What
has begun goes on under the former one, until the peer is shown that both are ours (``Neighbours.proved``;
the protocol of clusters does that) or the connection ends.
Bounds: no waiting, so that nothing else can happen in between: all of the node has gone over, or nothing.
Trust:  the caller holds the new key, and has done its work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.identity import KeyPair
    from kontinuum.identity.pow import ProofOfWork
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.discovery import MdnsDiscovery
    from kontinuum.node.libp2p import NodeLibp2p
    from kontinuum.node.neighbours import Neighbours
    from kontinuum.node.own_contact import OwnContact
    from kontinuum.node.pubsub import NodePubSub
    from kontinuum.transport import Endpoint


def adopt(
    key_pair: KeyPair,
    proof: ProofOfWork,
    *,
    endpoint: Endpoint,
    neighbours: Neighbours,
    own: OwnContact,
    pubsub: NodePubSub | None,
    libp2p: NodeLibp2p | None,
    dht: NodeDht | None,
    discovery: MdnsDiscovery | None,
) -> None:
    """Let all rooms of a node go over to ``key_pair``, whose proof of work was verified.

    Raises:
        MisuseError: The endpoint is closed; nothing has changed.
        UnavailableError: As :meth:`Endpoint.adopt`; nothing has changed.
    """
    endpoint.adopt(key_pair)
    own.adopt(key_pair, proof)
    neighbours.adopt()
    if pubsub is not None:
        pubsub.adopt(key_pair)
    if libp2p is not None:
        libp2p.adopt(key_pair)
    if dht is not None:
        dht.adopt(key_pair, own.contact)
    if discovery is not None:
        discovery.refresh()
