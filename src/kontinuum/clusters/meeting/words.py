"""What both sides compute from a meeting: the keys of its MACs, and the number that becomes four words.

People read the words to each other when the code came over something that others can change (a chat, a
projector, a voice). Why nobody between them can make the words agree: whoever replaces the code commits, in
the code, to the nonce that he will open to the guest, before the guest picks one. To the host he shows a
nonce of his before the host opens its own. So each side's number hangs on a nonce that came after everything
that he could still choose, and the two numbers agree with a chance of 2^-44 per code.

Source:   our own, docs/protocols/meet.md. HKDF: RFC 5869 with SHA-256. The idea: Vaudenay, "Secure
          Communications over Insecure Channels Based on Short Authenticated Strings", CRYPTO 2005.
Trust:    the words prove nothing that nobody compares.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kontinuum.clusters.meeting.code import MEET_COMMITMENT_BYTES

if TYPE_CHECKING:
    from kontinuum.clusters.meeting.code import MeetCode
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import ClusterId

EXPORTER_LABEL = b"EXPORTER-kontinuum-meet"
"""Label of the secret that both ends of a TLS session derive for a meeting. RFC 8446, section 7.5."""

EXPORTER_BYTES = 32
"""Bytes of that secret."""

MEET_NONCE_BYTES = 32
"""Bytes of each side's nonce."""

MEET_MAC_BYTES = 32
"""Bytes of a MAC: HMAC-SHA-256, uncut."""

MEET_WORDS = 4
"""Words that people compare. Our choice: read aloud in ten seconds, 44 bits."""

_BITS_PER_WORD = 11
"""The list has 2,048 words."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Which two nodes meet, on which session, with which code."""

    code: MeetCode
    """What the host shows; its key and its cluster are the host's."""

    exporter: bytes
    """EXPORTER_BYTES that only the two ends of the session know."""

    guest: PeerId
    """The guest's key, as the handshake proved it. The exporter does not cover it: in TLS 1.3 the client's
    certificate comes after what the exporter is made of."""

    def guest_mac(self, body: bytes) -> bytes:
        """Under the guest's message: it knows the code's secret, on this session."""
        return self._mac(b"guest", body)

    def host_mac(self, request: bytes, body: bytes) -> bytes:
        """Under the host's answer to ``request``."""
        return self._mac(b"host", hashlib.sha256(request).digest() + body)

    def word_numbers(self, host_nonce: bytes, guest_nonce: bytes, guest: ClusterId) -> tuple[int, ...]:
        """MEET_WORDS numbers below 2,048, the same on both sides of an undisturbed meeting.

        Nothing goes in here that a side can still choose when it knows the other's nonce.
        """
        info = b"kontinuum/meet-words/v1\0" + self.code.cluster + guest + self.code.key + self.guest
        drawn = int.from_bytes(_hkdf(host_nonce + guest_nonce, self.exporter, info, 6), "big")
        drawn >>= 6 * 8 - MEET_WORDS * _BITS_PER_WORD
        shifts = range((MEET_WORDS - 1) * _BITS_PER_WORD, -1, -_BITS_PER_WORD)
        return tuple(drawn >> shift & (1 << _BITS_PER_WORD) - 1 for shift in shifts)

    def _mac(self, role: bytes, content: bytes) -> bytes:
        key = _hkdf(self.code.secret, self.exporter, b"kontinuum/meet-mac/v1\0" + role, 32)
        digest = hashlib.sha256(self.code.payload()).digest()
        return hmac.new(key, digest + self.guest + content, hashlib.sha256).digest()


def commit(nonce: bytes, cluster: ClusterId, key: PeerId) -> bytes:
    """The commitment to a nonce that stands in the code of this node."""
    digest = hashlib.sha256(b"kontinuum/meet-nonce/v1\0" + nonce + cluster + key).digest()
    return digest[:MEET_COMMITMENT_BYTES]


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)
