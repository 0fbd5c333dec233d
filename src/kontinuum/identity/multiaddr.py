"""Addresses of peers: a strict subset of libp2p's multiaddrs.

``/ip4/192.0.2.1/udp/4433/quic-v1``, ``/ip6/2001:db8::1/udp/...``, ``/dns4/example.org/udp/...``,
``/dns6/...``.

Source:   https://github.com/multiformats/multiaddr (text and binary form, protocol table); RFC 5952 (IPv6
          text); RFC 1123, section 2.1 (host names).
Differs:  one shape only, and one spelling per address. Addresses that are no single host (unspecified,
          multicast, broadcast) and IPv4 inside IPv6 are refused: nobody can be dialled there, or there is a
          plainer form.
Bounds:   MULTIADDR_TEXT_CHARS_MAX, MULTIADDR_BYTES_MAX.
Trust:    input is hostile. Whether a loopback or private address may be *dialled* is the node's decision.
Pure:     no I/O, clock or randomness; names are not resolved here.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, Self, cast

from kontinuum.identity.errors import BadAddressError
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    DNS_LABEL_CHARS_MAX,
    DNS_NAME_CHARS_MAX,
    MULTIADDR_BYTES_MAX,
    MULTIADDR_TEXT_CHARS_MAX,
)
from kontinuum.wire.varint import decode_uvarint, encode_uvarint

AddressKind = Literal["ip4", "ip6", "dns4", "dns6"]

_CODES: dict[AddressKind, int] = {"ip4": 0x04, "ip6": 0x29, "dns4": 0x36, "dns6": 0x37}
"""Protocol numbers of the multiaddr table."""

_KINDS: dict[int, AddressKind] = {code: kind for kind, code in _CODES.items()}

_UDP = encode_uvarint(0x0111)
_QUIC_V1 = encode_uvarint(0x01CD)

_SHAPE = "an address looks like /ip4/192.0.2.1/udp/4433/quic-v1 (or /ip6, /dns4, /dns6)"

_LABEL = re.compile(rf"(?!-)[a-z0-9-]{{1,{DNS_LABEL_CHARS_MAX}}}(?<!-)", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Multiaddr:
    """One address of a peer: where to send UDP datagrams that speak QUIC version 1."""

    kind: AddressKind
    """``ip4``, ``ip6``, ``dns4`` (a name with an IPv4 address) or ``dns6``."""

    host: str
    """The address or name in its only spelling: RFC 5952 for IPv6, lower case for names."""

    port: int
    """UDP port, 1 to 65535."""

    def __post_init__(self) -> None:
        if self.kind not in _CODES:
            raise BadAddressError(f"{str(self.kind)[:20]!r} is no kind of address: {_SHAPE}")
        if type(self.port) is not int or not 1 <= self.port <= 65535:
            raise BadAddressError(f"a port is a number from 1 to 65535: {_SHAPE}")
        if self.kind in ("ip4", "ip6"):
            _check_ip(self.kind, self.host)
        else:
            _check_name(self.host)

    @classmethod
    def from_ip(cls, host: str, port: int) -> Self:
        """The address of an IP address as sockets report it (a zone is dropped, IPv4 inside IPv6 unwrapped).

        Raises:
            BadAddressError: It is no IP address, or none that can be dialled.
        """
        if len(host) > MULTIADDR_TEXT_CHARS_MAX:
            raise BadAddressError(f"no IP address: {_SHAPE}")
        try:
            if ":" not in host:
                return cls("ip4", str(IPv4Address(host)), port)
            address = IPv6Address(host.partition("%")[0])
        except ValueError:
            raise BadAddressError(f"{host[:60]!r} is no IP address") from None
        if address.ipv4_mapped is not None:
            return cls("ip4", str(address.ipv4_mapped), port)
        return cls("ip6", str(address), port)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises:
            BadAddressError: It is not in the subset, or not in its only spelling.
        """
        if len(text) > MULTIADDR_TEXT_CHARS_MAX:
            raise BadAddressError(f"{len(text)} characters are too many: {_SHAPE}")
        parts = text.split("/")
        if len(parts) != 6 or parts[0] or parts[3] != "udp" or parts[5] != "quic-v1":
            raise BadAddressError(f"{text[:60]!r} is no address of ours: {_SHAPE}")
        if not _PORT.fullmatch(parts[4]):
            raise BadAddressError(f"a port is a number from 1 to 65535 without leading zeros: {_SHAPE}")
        return cls(cast("AddressKind", parts[1]), parts[2], int(parts[4]))

    def encode(self) -> bytes:
        """The binary form of libp2p."""
        if self.kind == "ip4":
            host = IPv4Address(self.host).packed
        elif self.kind == "ip6":
            host = IPv6Address(self.host).packed
        else:
            host = encode_uvarint(len(self.host)) + self.host.encode("ascii")
        return encode_uvarint(_CODES[self.kind]) + host + _UDP + self.port.to_bytes(2, "big") + _QUIC_V1

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the binary form, the whole of ``data``.

        Raises:
            BadAddressError: It is not in the subset, not in its only spelling, cut off or too long.
        """
        if len(data) > MULTIADDR_BYTES_MAX:
            raise BadAddressError(f"an address has more than {MULTIADDR_BYTES_MAX} bytes")
        kind, offset, length = _read_kind(data)
        host, rest = data[offset : offset + length], data[offset + length :]
        if len(host) != length or len(rest) != len(_UDP) + 2 + len(_QUIC_V1):
            raise BadAddressError("an address is cut off or has something behind it")
        if not rest.startswith(_UDP) or not rest.endswith(_QUIC_V1):
            raise BadAddressError("an address does not speak UDP and QUIC version 1")
        return cls(kind, _host_text(kind, host), int.from_bytes(rest[2:4], "big"))

    def __str__(self) -> str:
        return f"/{self.kind}/{self.host}/udp/{self.port}/quic-v1"


def _read_kind(data: bytes) -> tuple[AddressKind, int, int]:
    """The kind of an address, and where its host stands and ends."""
    try:
        code, offset = decode_uvarint(data)
        kind = _KINDS.get(code)
        if kind == "ip4":
            return kind, offset, 4
        if kind == "ip6":
            return kind, offset, 16
        length, offset = decode_uvarint(data, offset)
    except MalformedError as error:
        raise BadAddressError(str(error)) from None
    if kind is None:
        raise BadAddressError(f"protocol {code} begins no address of ours")
    return kind, offset, length


def _host_text(kind: AddressKind, host: bytes) -> str:
    if kind == "ip4":
        return str(IPv4Address(host))
    if kind == "ip6":
        return str(IPv6Address(host))
    try:
        return host.decode("ascii")
    except UnicodeDecodeError:
        raise BadAddressError("a host name has characters beyond ASCII; write it in its xn-- form") from None


def _check_ip(kind: AddressKind, host: str) -> None:
    if len(host) > 45:  # The longest spelling of an IPv6 address.
        raise BadAddressError(f"no IP address: {_SHAPE}")
    try:
        address = IPv4Address(host) if kind == "ip4" else IPv6Address(host)
    except ValueError:
        raise BadAddressError(f"{host!r} is no address for /{kind}: {_SHAPE}") from None
    if str(address) != host:
        raise BadAddressError(f"write {host!r} as {str(address)!r}")
    if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address.scope_id):
        raise BadAddressError(f"{host!r} is an IPv4 address or names an interface; use its plain form")
    if address.is_unspecified or address.is_multicast or host == "255.255.255.255":
        raise BadAddressError(f"{host!r} is not the address of one host")


def _check_name(host: str) -> None:
    labels = host.split(".", DNS_NAME_CHARS_MAX)
    if not 1 <= len(host) <= DNS_NAME_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadAddressError(f"{host[:60]!r} is no host name in lower case without a final dot")
    if labels[-1].isdigit():
        raise BadAddressError(f"{host[:60]!r} is a number, not a host name; use /ip4 for addresses")
