"""Bytes: how values become bytes in exactly one way, and how large anything from outside may be.

Start with :mod:`kontinuum.wire.cbor` (everything of ours that is signed or stored) and
:mod:`kontinuum.wire.limits` (every size on the wire). Decoders raise :class:`MalformedError` only.
"""

from kontinuum.wire.cbor import CborKey, CborValue
from kontinuum.wire.cbor import decode as decode_cbor
from kontinuum.wire.cbor import encode as encode_cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.varint import decode_uvarint, encode_uvarint

__all__ = [
    "CborKey",
    "CborValue",
    "MalformedError",
    "WrongVersionError",
    "decode_cbor",
    "decode_uvarint",
    "encode_cbor",
    "encode_uvarint",
]
