"""Calls between peers: one request, one reply, one stream each.

``service`` joins ``outgoing`` (calls that we make) and ``incoming`` (handlers that answer peers), which
``eager`` starts cheaply; ``deadlines`` and ``links`` are the pure parts; ``errors`` has what a caller can be
told. The wire stands in docs/protocols/rpc.md.
"""

from kontinuum.rpc.errors import CallError

__all__ = ["CallError"]
