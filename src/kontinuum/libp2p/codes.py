"""With which codes streams are reset or refused.

Source: go-libp2p 0.51, core/network/mux.go.
"""

from enum import IntEnum


class StreamCode(IntEnum):
    """Why a stream was reset or refused. Others show it; nobody acts by it."""

    CANCELLED = 0
    """It is not wanted any more, or its deadline has passed."""
    NEGOTIATION_FAILED = 0x1001
    """No protocol was agreed on."""
    RESOURCE_LIMIT = 0x1002
    """The peer has too many streams, or connections."""
    PROTOCOL_VIOLATION = 0x1004
    """The peer broke the protocol."""
    SUPPLANTED = 0x1005
    """Another stream has taken its place."""
