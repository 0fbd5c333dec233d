"""The names of protocols: of connections, and as they travel at the beginning of every stream and call.

Pure: no I/O, clock or randomness.
"""

from kontinuum.base.errors import MisuseError

ALPN = "kontinuum/1"
"""The protocol of connections between nodes. docs/protocols/handshake.md."""

ALPN_LIBP2P = "libp2p"
"""The protocol of connections with nodes of other make; spoken where ``TransportOptions.libp2p`` is set."""

PROTOCOL_NAME_BYTES_MAX = 128
"""UTF-8 bytes of a protocol's name. docs/protocols/rpc.md; a longer one cannot be registered or called."""


def protocol_name(protocol: str) -> bytes:
    """The bytes of a protocol's name.

    Raises:
        MisuseError: It is empty, too long, or no text that UTF-8 can express.
    """
    try:
        name = protocol.encode()
    except UnicodeEncodeError:
        raise MisuseError("a protocol's name is text without lone surrogates") from None
    if not 1 <= len(name) <= PROTOCOL_NAME_BYTES_MAX:
        raise MisuseError(f"a protocol's name has 1 to {PROTOCOL_NAME_BYTES_MAX} bytes, not {len(name)}")
    return name
