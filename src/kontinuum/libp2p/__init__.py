"""Adapters for peers that speak libp2p: multistream-select, identify, ping, and the streams of pubsub.

Nothing here decides anything about the network; it translates between libp2p's streams and our rooms.
"""
