"""Calls between peers: one request, one reply, one stream each.

``service`` makes and answers calls; ``deadlines`` is the pure table of what is in progress; ``errors`` has
what a caller can be told. The wire stands in docs/protocols/rpc.md.
"""

from kontinuum.rpc.errors import CallError

__all__ = ["CallError"]
