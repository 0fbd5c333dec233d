"""Addresses of libp2p peers: ours with the peer's id behind it, ``/ip4/192.0.2.1/udp/1/quic-v1/p2p/12D3...``.

Source:   https://github.com/multiformats/multiaddr; libp2p specs, addressing/README.md ("p2p multiaddrs").
Differs:  one shape only, QUIC version 1 over UDP. ``/dns/`` stands for ``/dns6/`` and ``/dns4/`` both, and is
          only read. ``/dnsaddr/`` is not looked up: it names whole addresses, not hosts.
Bounds:   MULTIADDR_BYTES_MAX and the peer's id; ADDRESS_TEXT_CHARS_MAX.
Trust:    input is hostile. Addresses of other kinds, which honest peers have beside, are no errors where a
          peer lists several: they are left out.
Pure:     no I/O, clock or randomness; names are not resolved here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from kontinuum.base.errors import PeerError
from kontinuum.identity import Multiaddr, PeerId
from kontinuum.libp2p.errors import AddressMisuseError
from kontinuum.wire.limits import (
    MULTIADDR_TEXT_CHARS_MAX,
    PEER_ID_TEXT_CHARS_MAX,
)
from kontinuum.wire.varint import encode_uvarint

ADDRESS_TEXT_CHARS_MAX = MULTIADDR_TEXT_CHARS_MAX + len("/p2p/") + PEER_ID_TEXT_CHARS_MAX
"""Characters of an address with a peer's id. Longer: refused."""

_P2P = encode_uvarint(0x01A5)
_DNS, _DNS4, _DNS6 = encode_uvarint(0x35), encode_uvarint(0x36), encode_uvarint(0x37)
_MULTIHASH_BYTES = 38

_SHAPE = "a libp2p address looks like /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3KooW..."


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a libp2p peer is, and who it has to be."""

    peer_id: PeerId
    addresses: tuple[Multiaddr, ...]
    """One, or for ``/dns/`` the two that it stands for."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what our own user typed.

        Raises:
            AddressMisuseError: It cannot be dialled; the message says why.
        """
        text = text.strip()
        if len(text) > ADDRESS_TEXT_CHARS_MAX:
            raise AddressMisuseError(f"{len(text)} characters are too many: {_SHAPE}")
        where, found, who = text.partition("/p2p/")
        if "/p2p-circuit" in text:
            raise AddressMisuseError("relayed libp2p addresses cannot be dialled")
        if where.startswith("/dnsaddr/"):
            raise AddressMisuseError("/dnsaddr/ is not looked up; give an address that it names")
        if not found:
            raise AddressMisuseError(f"the address does not say whose it is: {_SHAPE}")
        try:
            addresses, peer_id = _parse_addresses(where), PeerId.parse(who)
        except PeerError as error:
            raise AddressMisuseError(str(error)) from None
        if peer_id.libp2p != who:
            raise AddressMisuseError(f"write the peer's id as {peer_id.libp2p}")
        return cls(peer_id, addresses)


def _parse_addresses(text: str) -> tuple[Multiaddr, ...]:
    if "/tcp/" in text:
        raise AddressMisuseError(f"Kontinuum speaks QUIC, not TCP: {_SHAPE}")
    if text.endswith("/quic"):
        raise AddressMisuseError("/quic is a draft that nobody speaks any more; write /quic-v1")
    if text.startswith("/dns/"):
        rest = text.removeprefix("/dns/")
        return Multiaddr.parse(f"/dns6/{rest}"), Multiaddr.parse(f"/dns4/{rest}")
    return (Multiaddr.parse(text),)


def address_text(address: Multiaddr, peer_id: PeerId) -> str:
    """The text form with the peer's id."""
    return f"{address}/p2p/{peer_id.libp2p}"


def encode_address(address: Multiaddr, peer_id: PeerId | None = None) -> bytes:
    """The binary form, with the peer's id if it is given."""
    if peer_id is None:
        return address.encode()
    return address.encode() + _P2P + encode_uvarint(_MULTIHASH_BYTES) + peer_id.multihash


def decode_address(data: bytes) -> tuple[tuple[Multiaddr, ...], PeerId | None]:
    """Read the binary form, the whole of ``data``: where it is, and who, if it says so.

    Raises:
        BadAddressError: It is of another kind, not in its only spelling, cut off or too long.
        BadIdentityError: It names a peer that we cannot have.
    """
    tail = len(_P2P) + 1 + _MULTIHASH_BYTES
    where, who, peer_id = data[:-tail], data[-tail:], None
    if len(data) > tail and who.startswith(_P2P + bytes([_MULTIHASH_BYTES])):
        peer_id = PeerId.from_multihash(who[len(_P2P) + 1 :])
    else:
        where = data
    if where.startswith(_DNS):
        rest = where[len(_DNS) :]
        return (Multiaddr.decode(_DNS6 + rest), Multiaddr.decode(_DNS4 + rest)), peer_id
    return (Multiaddr.decode(where),), peer_id


def usable_addresses(listed: Iterable[bytes], peer_id: PeerId) -> tuple[Multiaddr, ...]:
    """Those of the addresses of ``peer_id`` that we could dial, each once, in their order."""
    found: dict[Multiaddr, None] = {}
    for data in listed:
        try:
            addresses, owner = decode_address(data)
        except PeerError:
            continue
        if owner in (None, peer_id):
            found.update(dict.fromkeys(addresses))
    return tuple(found)
