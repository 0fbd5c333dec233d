"""Sealed objects in a node's data directory: content-addressed, atomic, streaming."""
