"""The code of a meeting: one text that a screen shows and a camera, or a hand, brings to the other side.

``KMEET1:`` and base32 of: cluster id (32 bytes), node key (32), one-time secret (16), commitment to the
nonce (16), expiry (4, Unix seconds), up to four addresses (IP version as one byte, address, port), checksum
(4). All characters are of the alphanumeric mode of QR codes, which takes two of them in 11 bits.

Source:   our own format, docs/protocols/meet.md. Base32: RFC 4648, section 6, without padding.
Bounds:   CODE_TEXT_BYTES_MAX; MEET_ADDRESSES_MAX.
Trust:    a text may come from anybody. What it says is what its maker wants us to believe: the meeting
          proves the key, the words that people compare prove that the code was not replaced on its way.
Secrets:  the text is a secret until it is used: whoever reads it can come first.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Self

from kontinuum.base.errors import MisuseError
from kontinuum.clusters.meeting.errors import CodeExpiredError, MeetCodeError, MistypedCodeError
from kontinuum.identity import Multiaddr, PeerId, Secret
from kontinuum.identity.errors import BadAddressError
from kontinuum.keys.fields import unix_seconds
from kontinuum.keys.genesis import cluster_id
from kontinuum.wire.limits import PEER_ID_BYTES, STATEMENT_HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.keys.genesis import ClusterId

PREFIX = "KMEET1:"
"""What a code begins with; the digit is the version."""

MEET_SECRET_BYTES = 16
"""Bytes of the one-time secret: nobody guesses 128 bits within its ten minutes, nor later."""

MEET_COMMITMENT_BYTES = 16
"""Bytes of the commitment to the nonce. Our choice: who makes two nonces for one commitment (2^64 hashes)
gains one bit of the 44 that people compare; more nonces cost nearly 2^128."""

MEET_ADDRESSES_MAX = 4
"""Addresses in a code. Our choice, for 300 bytes: further ones are left out."""

CODE_TEXT_BYTES_MAX = 300
"""Bytes of a code's text. Issue of the keys: at most 300; the fullest has 295. Longer, without white space:
MeetCodeError."""

TYPED_CHARS_MAX = 4096
"""Characters, with white space, that are looked at. Our choice. More: MeetCodeError."""

CLOCKS_APART_S = 120.0
"""Seconds that two machines' clocks may be apart. Our choice, as for contacts: a code that is older than it
may be by more than this is not dialled any more; whether it is still good, only its maker's clock says."""

_CHECKSUM_BYTES = 4
_EXPIRES_MAX = 2**32 - 1
_ADDRESS_BYTES = {4: 4, 6: 16}
_FIXED_BYTES = STATEMENT_HASH_BYTES + PEER_ID_BYTES + MEET_SECRET_BYTES + MEET_COMMITMENT_BYTES + 4
_BODY = re.compile(r"[A-Z2-7]+", re.ASCII)
_WHITE_OR_HYPHEN = re.compile(r"[\s-]+")
_LOOKS_LIKE = str.maketrans("0189", "OIBG")
"""Digits that base32 does not have, and the letter that somebody who typed them probably read."""


@dataclass(frozen=True, slots=True)
class MeetCode:
    """What a code says. Made by :meth:`issue` and :meth:`parse`."""

    cluster: ClusterId
    """Whose; it pins the root key."""

    key: PeerId
    """Which node shows it."""

    secret: Secret
    """Shows that somebody saw the code. Once."""

    commitment: bytes
    """To the nonce that this node will open (``words.commit``)."""

    expires_at: datetime
    """Until when, aware UTC, whole seconds."""

    addresses: tuple[Multiaddr, ...]
    """Where the node may be, the preferred address first: IP addresses only."""

    @classmethod
    def issue(
        cls,
        cluster: ClusterId,
        key: PeerId,
        *,
        secret: bytes,
        commitment: bytes,
        expires_at: datetime,
        addresses: Iterable[Multiaddr],
    ) -> Self:
        """A code of our own. Of the addresses, names and those beyond MEET_ADDRESSES_MAX are left out.

        Raises:
            MisuseError: A secret or commitment of another length, or a time that does not fit.
        """
        if len(secret) != MEET_SECRET_BYTES or len(commitment) != MEET_COMMITMENT_BYTES:
            raise MisuseError("a code has a secret and a commitment of 16 bytes each")
        if not 0 <= unix_seconds(expires_at) <= _EXPIRES_MAX:
            raise MisuseError("a code's time does not fit")
        numeric = [address for address in addresses if address.kind in ("ip4", "ip6")]
        return cls(
            cluster,
            key,
            Secret(secret),
            commitment,
            expires_at.astimezone(UTC).replace(microsecond=0),
            tuple(numeric[:MEET_ADDRESSES_MAX]),
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what was scanned, pasted or typed.

        White space, hyphens and the case of letters do not matter; the digits 0, 1, 8 and 9, which no code
        has, are read as O, I, B and G.

        Raises:
            MeetCodeError: It is no code, or cut off.
            MistypedCodeError: Something in it is wrong.
        """
        if len(text) > TYPED_CHARS_MAX:
            raise MeetCodeError(f"{len(text)} characters are too many for a code")
        plain = _WHITE_OR_HYPHEN.sub("", text).upper()
        if len(plain) > CODE_TEXT_BYTES_MAX:
            raise MeetCodeError(f"a code has at most {CODE_TEXT_BYTES_MAX} characters")
        head, colon, body = plain.partition(":")
        if not colon or not head.startswith("KMEET"):
            raise MeetCodeError(f"a code begins with {PREFIX}")
        if head + colon != PREFIX:
            raise MeetCodeError(f"a code of another version; we know the one that begins with {PREFIX}")
        body = body.translate(_LOOKS_LIKE)
        if not _BODY.fullmatch(body):
            raise MistypedCodeError("a code has letters and the digits 2 to 7 only; compare it again")
        return cls._decode(_from_base32(body))

    def text(self) -> str:
        """The text, at most CODE_TEXT_BYTES_MAX bytes; :meth:`parse` reads it."""
        body = self.payload()
        return PREFIX + base64.b32encode(body + _checksum(body)).decode("ascii").rstrip("=")

    def payload(self) -> bytes:
        """Everything but the checksum: what both sides mean when they speak of this code."""
        packed = b"".join(map(_pack, self.addresses))
        expires = unix_seconds(self.expires_at).to_bytes(4, "big")
        return self.cluster + self.key + self.secret + self.commitment + expires + packed

    def verify_fresh(self, at: datetime) -> None:
        """Check that it is worth dialling.

        Raises:
            CodeExpiredError: It is not, unless our clock is wrong.
        """
        if at - self.expires_at > timedelta(seconds=CLOCKS_APART_S):
            raise CodeExpiredError(
                f"the code was good until {self.expires_at:%H:%M:%S} UTC and is too old, or the clock of this"
                " machine is wrong; ask for a new code"
            )

    @classmethod
    def _decode(cls, data: bytes) -> Self:
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if len(body) < _FIXED_BYTES:
            raise MeetCodeError("the code is cut off; it goes on behind this")
        if _checksum(body) != checksum:
            raise MistypedCodeError(
                "the code's checksum is wrong: a character is mistyped, missing or in another place"
            )
        reader = _Reader(body)
        return cls(
            cluster=cluster_id(reader.take(STATEMENT_HASH_BYTES)),
            key=PeerId(reader.take(PEER_ID_BYTES)),
            secret=Secret(reader.take(MEET_SECRET_BYTES)),
            commitment=reader.take(MEET_COMMITMENT_BYTES),
            expires_at=datetime.fromtimestamp(int.from_bytes(reader.take(4), "big"), UTC),
            addresses=tuple(_addresses(reader)),
        )


class _Reader:
    """Takes bytes off the front."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, length: int) -> bytes:
        taken, self.rest = self.rest[:length], self.rest[length:]
        if len(taken) != length:
            raise MeetCodeError("the code is cut off within an address")
        return taken


def _addresses(reader: _Reader) -> Iterable[Multiaddr]:
    for _ in range(MEET_ADDRESSES_MAX):
        if not reader.rest:
            return
        length = _ADDRESS_BYTES.get(reader.take(1)[0])
        if length is None:
            raise MeetCodeError("the code has an address of an unknown kind; a newer program made it")
        host, port = reader.take(length), int.from_bytes(reader.take(2), "big")
        if length == 4:
            yield Multiaddr("ip4", str(IPv4Address(host)), port)
        else:
            yield Multiaddr("ip6", str(IPv6Address(host)), port)
    if reader.rest:
        raise MeetCodeError(f"a code has at most {MEET_ADDRESSES_MAX} addresses")


def _pack(address: Multiaddr) -> bytes:
    if address.kind == "ip4":
        host = b"\x04" + IPv4Address(address.host).packed
    elif address.kind == "ip6":
        host = b"\x06" + IPv6Address(address.host).packed
    else:
        raise BadAddressError("a code has IP addresses only")
    return host + address.port.to_bytes(2, "big")


def _from_base32(body: str) -> bytes:
    try:
        data = base64.b32decode(body + "=" * (-len(body) % 8))
    except binascii.Error:
        raise MeetCodeError("the code is cut off, or has a character too many") from None
    if base64.b32encode(data).decode("ascii").rstrip("=") != body:  # Unused bits of the last character.
        raise MistypedCodeError("the last character of the code is wrong")
    return data


def _checksum(body: bytes) -> bytes:
    """For slips of a hand or a camera; whoever wants to make a false code can."""
    return hashlib.sha256(b"kontinuum/meet-code/v1\0" + body).digest()[:_CHECKSUM_BYTES]
