"""Schemas of the wire protocols that rooms above speak; nothing here decides anything.

``kad``: the libp2p kad-dht message with our extension fields.
"""
