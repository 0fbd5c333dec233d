"""Schemas of the wire protocols that rooms above speak; nothing here decides anything.

``kad``: the libp2p kad-dht message with our extension fields.
``pubsub``: the RPC of libp2p's pubsub, written field by field in ``pubsub_fields``.
"""
