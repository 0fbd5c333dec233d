"""A second reader of envelopes, written from docs/protocols/envelope.md: it imports nothing of the room.

It trusts its input and checks only what the format promises; the first one is tested for the rest.
"""

import base64
import hmac

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kontinuum._native import blake3_256

MAGIC = b"kontinuum/signed-stream/1\n"
CHUNK = 65536 + 16
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def hkdf(key, salt, info):
    """HKDF-SHA-256 of 32 bytes, RFC 5869, section 2: one round of expansion."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def unbase64(text):
    """Base64 without padding."""
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def secret_of(text):
    """The 32 bytes of AGE-SECRET-KEY-1...; the checksum is not looked at."""
    bits = "".join(f"{CHARSET.index(c):05b}" for c in text.lower().rpartition("1")[2][:-6])
    return bytes(int(bits[at : at + 8], 2) for at in range(0, 256, 8))


def stanzas_of(header):
    """The stanzas, each as arguments and body, and where in the header each begins."""
    found, at = [], header.index(b"\n") + 1
    while header[at : at + 3] == b"-> ":
        begin, end = at, header.index(b"\n", at)
        arguments, body, at = header[at + 3 : end].split(b" "), b"", end + 1
        while True:
            end = header.index(b"\n", at)
            line, at = header[at:end], end + 1
            body += line
            if len(line) < 64:
                break
        found.append((arguments, unbase64(body), begin))
    return found


def read(sealed, secret):
    """Claim, signed bytes and content of an object or a stream, for the X25519 key of 32 bytes."""
    is_stream = sealed.startswith(MAGIC)
    sealed = sealed.removeprefix(MAGIC)
    mac_at = sealed.index(b"\n--- ") + 1
    end = sealed.index(b"\n", mac_at) + 1
    header, nonce, rest = sealed[:end], sealed[end : end + 16], sealed[end + 16 :]

    stanzas = stanzas_of(header)
    file_key = unwrap(stanzas, secret)
    mac = hmac.digest(hkdf(file_key, b"", b"header"), header[: mac_at + 3], "sha256")
    assert mac == unbase64(header[mac_at + 4 : -1])

    arguments, body, claim_at = stanzas[-1]
    assert arguments == [b"kontinuum/envelope/1"]
    key = hkdf(file_key, b"", b"kontinuum/envelope/1 claim")
    plain = ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
    length = int.from_bytes(plain[:2])
    encoded, signature = plain[2 : 2 + length], plain[2 + length : 2 + length + 64]
    assert not any(plain[2 + length + 64 :])
    assert len(plain) % 256 == 0
    claim = cbor2.loads(encoded)
    sender = Ed25519PublicKey.from_public_bytes(claim[1])
    commitment = hkdf(file_key, b"", b"kontinuum/envelope/1 commitment")
    sender.verify(
        signature, b"kontinuum/envelope/v1\0" + blake3_256(header[:claim_at]) + commitment + encoded
    )

    if is_stream:
        chunks = stream_chunks(nonce, rest, sender, blake3_256(encoded + signature), file_key)
    else:
        assert claim[6] == blake3_256(nonce + rest)
        chunks = [rest[at : at + CHUNK] for at in range(0, len(rest), CHUNK)]
    content = payload(chunks, hkdf(file_key, nonce, b"payload"))
    assert is_stream or claim[5] == len(content).to_bytes(8)
    return claim, content


def unwrap(stanzas, secret):
    """The data key, from whichever stanza opens."""
    private = X25519PrivateKey.from_private_bytes(secret)
    for arguments, body, _ in stanzas:
        if arguments[0] != b"X25519":
            continue
        share = unbase64(arguments[1])
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        salt = share + private.public_key().public_bytes_raw()
        key = hkdf(shared, salt, b"age-encryption.org/v1/X25519")
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
        except Exception:  # noqa: BLE001, S112 -- not for this key
            continue
    raise AssertionError("no stanza opens")


def stream_chunks(nonce, rest, sender, claim_hash, file_key):
    """The chunks of a stream, each segment's signature verified."""
    secret = hkdf(file_key, b"", b"kontinuum/envelope/1 segments")
    chunks, so_far, size = [], nonce, 4 * CHUNK + 64
    for at in range(0, len(rest), size):
        segment = rest[at : at + size]
        sealed, signature = segment[:-64], segment[-64:]
        so_far += sealed
        final = b"\1" if at + size >= len(rest) else b"\0"
        sender.verify(
            signature, b"kontinuum/envelope-segment/v1\0" + claim_hash + secret + final + blake3_256(so_far)
        )
        chunks += [sealed[at : at + CHUNK] for at in range(0, len(sealed), CHUNK)]
    return chunks


def payload(chunks, key):
    """The content of all chunks."""
    cipher, last = ChaCha20Poly1305(key), len(chunks) - 1
    return b"".join(
        cipher.decrypt(number.to_bytes(11) + (b"\1" if number == last else b"\0"), chunk, None)
        for number, chunk in enumerate(chunks)
    )
