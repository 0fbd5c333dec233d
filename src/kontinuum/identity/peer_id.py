"""The identity of a peer: its Ed25519 public key, and the key's two text forms.

Source:   RFC 8032, section 5.1 (keys); libp2p specs, peer-ids/peer-ids.md (the form ``12D3KooW...``:
          base58btc of the identity multihash ``00 24`` of the protobuf key ``08 01 12 20 <32 bytes>``).
Bounds:   PEER_ID_TEXT_CHARS_MAX characters of text are looked at.
Trust:    every input is hostile. A value that exists is a canonical point of large order.
Pure:     no I/O, clock or randomness.
"""

import re
from typing import Self

from kontinuum._native import check_public_key
from kontinuum.identity.base58 import decode_base58, encode_base58
from kontinuum.identity.errors import BadIdentityError
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import PEER_ID_BYTES, PEER_ID_TEXT_CHARS_MAX

_LIBP2P_PREFIX = bytes.fromhex("002408011220")
"""Identity multihash of 36 bytes, then the protobuf header of a 32-byte Ed25519 key."""

_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

_FORMS = "an identity is 64 hexadecimal characters or begins with 12D3KooW"

_FOREIGN_FORMS = (
    (("Qm",), "a hash of an RSA key, which Kontinuum does not use"),
    (("16Uiu2",), "a secp256k1 key, which Kontinuum does not use"),
    (("baf", "BAF", "k51", "k2k4", "z5A"), "the CID form of a peer id, which Kontinuum does not read"),
    (("kontinuum:",), "a whole contact, not an identity"),
    (("/",), "an address, not an identity"),
)


class PeerId(bytes):
    """Who a peer is: 32 bytes, the Ed25519 public key that it proves to hold in every handshake.

    A ``bytes`` in every respect (dictionary keys, comparison, ``hex()``), but checked: canonical encoding, on
    the curve, not of small order. ``str()`` is the hexadecimal form.

    Args:
        data: The public key, 32 bytes, untrusted.

    Raises:
        BadIdentityError: It is no usable public key.
    """

    __slots__ = ()

    def __new__(cls, data: bytes) -> Self:
        """Check ``data`` and keep it."""
        try:
            check_public_key(data)
        except ValueError as error:
            raise BadIdentityError(f"no identity: {error}") from None
        return super().__new__(cls, data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read either text form; white space around it is ignored.

        Raises:
            BadIdentityError: The text is no identity of ours; the message names what it looks like.
        """
        if len(text) > PEER_ID_TEXT_CHARS_MAX:
            raise BadIdentityError(f"{len(text)} characters are too many: {_FORMS}")
        text = text.strip()
        if _HEX.fullmatch(text):
            return cls(bytes.fromhex(text))
        for prefixes, meaning in _FOREIGN_FORMS:
            if text.startswith(prefixes):
                raise BadIdentityError(f"{text[:12]!r} begins {meaning}; {_FORMS}")
        try:
            data = decode_base58(text)
        except MalformedError:
            raise BadIdentityError(f"{text[:12]!r} is no identity: {_FORMS}") from None
        if not data.startswith(_LIBP2P_PREFIX) or len(data) != len(_LIBP2P_PREFIX) + PEER_ID_BYTES:
            raise BadIdentityError(f"{text[:12]!r} is no identity: {_FORMS}")
        return cls(data[len(_LIBP2P_PREFIX) :])

    @classmethod
    def from_multihash(cls, data: bytes) -> Self:
        """Read the binary form of libp2p's wires: 38 bytes, an identity multihash of the public key.

        Raises:
            BadIdentityError: It is another kind of key, or none.
        """
        if not data.startswith(_LIBP2P_PREFIX) or len(data) != len(_LIBP2P_PREFIX) + PEER_ID_BYTES:
            raise BadIdentityError("no identity: not the multihash of an Ed25519 key")
        return cls(data[len(_LIBP2P_PREFIX) :])

    @property
    def multihash(self) -> bytes:
        """The binary form of libp2p's wires, 38 bytes."""
        return _LIBP2P_PREFIX + self

    @property
    def libp2p(self) -> str:
        """The form that libp2p programs show: ``12D3KooW`` and 44 more characters."""
        return encode_base58(self.multihash)

    @property
    def short(self) -> str:
        """The first eight hexadecimal characters, for tables and logs; not unique, never compare it."""
        return self[:4].hex()

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"PeerId({self.short}…)"
