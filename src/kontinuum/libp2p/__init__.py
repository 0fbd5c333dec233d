"""Adapters for peers that speak libp2p: multistream-select, identify, ping, and the streams of pubsub.

Nothing here decides anything about the network; it translates between libp2p's streams and our rooms. What
goes over the wire stands in ``frames``, ``multistream``, ``identify``, ``peer_record`` and ``addresses``. A
stream is a ``conversation``, in which a talk is held: ``exchange`` (identify), ``ping``, ``pubsub``.
``pubsub_streams`` has the rules that other implementations punish when they are broken. ``host`` has all
connections, and ``service`` runs it on the event loop.
"""
