"""What is derived from a cluster's id and from a TLS session: tags, topics, the seal of what is published.

A cluster's id is known to its nodes and to the clusters that it met, and to nobody else who did not hear it
from them. So whoever makes the right tag has heard of the cluster, and whoever has not learns nothing from
it; and since each TLS session has another exporter, a tag says nothing in another one.

Source:   docs/protocols/cluster.md. HMAC: RFC 2104. ChaCha20-Poly1305: RFC 8439.
Trust:    whoever knows the id is no member yet: that is for the chain to say.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kontinuum.wire.errors import MalformedError

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import ClusterId

EXPORTER_LABEL = b"EXPORTER-kontinuum-cluster"
"""Label of the secret that both ends of a TLS session derive for this protocol. RFC 8446, section 7.5."""

EXPORTER_BYTES = 32
"""Bytes of that secret."""

TAG_BYTES = 32
"""Bytes of a tag: HMAC-SHA-256, uncut."""

REAUTH_PURPOSE = "cluster-reauth"
"""Purpose of the signature by which a session goes over to a new key."""

_NONCE_BYTES = 12
_TOPIC_BYTES = 16


def hello_tag(exporter: bytes, cluster: ClusterId, *, dialler: bool) -> bytes:
    """What one side of a session shows the other, who recognises it only if he knows the cluster's id.

    Args:
        exporter: The session's secret.
        cluster: Of which cluster the sender is.
        dialler: The sender dialled; else a tag could be sent back to its sender.
    """
    role = b"d" if dialler else b"a"
    return _keyed(exporter, b"kontinuum/cluster-hello/v1\0" + role + cluster)


def reauth_bytes(exporter: bytes, old: PeerId, new: PeerId) -> bytes:
    """What the new key signs to take a session over."""
    return exporter + old + new


def topic_of(cluster: ClusterId) -> str:
    """The topic on which news of a cluster's chain are published."""
    return "kontinuum/cluster/" + _keyed(cluster, b"kontinuum/cluster-topic/v1")[:_TOPIC_BYTES].hex()


def seal_news(cluster: ClusterId, data: bytes) -> bytes:
    """Encrypt what goes to the topic: those who pass it on need not know the cluster.

    The nonce is a keyed hash of the content, so that the same news are the same bytes, and no nonce stands
    before two contents.
    """
    nonce = _keyed(cluster, b"kontinuum/cluster-news-nonce/v1\0" + data)[:_NONCE_BYTES]
    return nonce + _cipher(cluster).encrypt(nonce, data, None)


def open_news(cluster: ClusterId, sealed: bytes) -> bytes:
    """What :func:`seal_news` was given. Anybody who knows the cluster's id may have made it.

    Raises:
        MalformedError: It was not made for this cluster.
    """
    try:
        return _cipher(cluster).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except (InvalidTag, ValueError):
        raise MalformedError("a message on a cluster's topic that was not made for it") from None


def _cipher(cluster: ClusterId) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(_keyed(cluster, b"kontinuum/cluster-news-key/v1"))


def _keyed(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
