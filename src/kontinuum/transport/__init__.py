"""Connections, streams, messages and datagrams between verified peers.

Begin with :class:`Endpoint` (all connections of one identity), then :class:`Connection`, then the kinds of
stream: of bytes and of messages between our own nodes, and :class:`RawStream` where libp2p is spoken.
``policy`` decides which connection must go when there are too many; ``errors`` lists what can go wrong. The
packets themselves are the business of the native engine (``native/src/engine``).
"""

from kontinuum.transport.connection import Connection, ConnectionStats, PathStats
from kontinuum.transport.endpoint import Endpoint
from kontinuum.transport.errors import CloseCode, CloseKind, CloseReason
from kontinuum.transport.options import TransportOptions
from kontinuum.transport.protocols import ALPN, ALPN_LIBP2P
from kontinuum.transport.raw_stream import RawListener, RawStream
from kontinuum.transport.stream import MESSAGE_BYTES_MAX, MessageStream, Stream
from kontinuum.transport.upcalls import Upcalls

__all__ = [
    "ALPN",
    "ALPN_LIBP2P",
    "MESSAGE_BYTES_MAX",
    "CloseCode",
    "CloseKind",
    "CloseReason",
    "Connection",
    "ConnectionStats",
    "Endpoint",
    "MessageStream",
    "PathStats",
    "RawListener",
    "RawStream",
    "Stream",
    "TransportOptions",
    "Upcalls",
]
