"""A second implementation of the formats of a meeting, written from docs/protocols/meet.md alone.

It uses the standard library and `cbor2`, and imports nothing of `kontinuum`. Tests hold the golden vectors
against it and against the library.
"""

import hashlib
import hmac
import ipaddress

import cbor2

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def base32(data: bytes) -> str:
    """RFC 4648, section 6, without padding: five bits at a time, zeros behind the end."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(ALPHABET[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256; at most one block of output."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()[:length]


def commitment(nonce: bytes, cluster: bytes, key: bytes) -> bytes:
    """What the code says about the host's nonce."""
    return hashlib.sha256(b"kontinuum/meet-nonce/v1\x00" + nonce + cluster + key).digest()[:16]


def payload(row: dict[str, object]) -> bytes:
    """A code without its checksum."""
    addresses = b""
    for host, port in row["addresses"]:
        address = ipaddress.ip_address(host)
        addresses += bytes([address.version]) + address.packed + port.to_bytes(2, "big")
    cluster, key = bytes.fromhex(row["host_cluster"]), bytes.fromhex(row["host_key"])
    return (
        cluster
        + key
        + bytes.fromhex(row["secret"])
        + commitment(bytes.fromhex(row["host_nonce"]), cluster, key)
        + row["expires_at"].to_bytes(4, "big")
        + addresses
    )


def code(row: dict[str, object]) -> str:
    """The text."""
    body = payload(row)
    return "KMEET1:" + base32(body + hashlib.sha256(b"kontinuum/meet-code/v1\x00" + body).digest()[:4])


def mac(row: dict[str, object], role: bytes, content: bytes) -> bytes:
    """The MAC of a role."""
    secret, exporter = bytes.fromhex(row["secret"]), bytes.fromhex(row["exporter"])
    key = hkdf(secret, exporter, b"kontinuum/meet-mac/v1\x00" + role, 32)
    said = hashlib.sha256(payload(row)).digest() + bytes.fromhex(row["guest_key"]) + content
    return hmac.new(key, said, hashlib.sha256).digest()


def body(row: dict[str, object], side: str) -> bytes:
    """What a side says of itself."""
    fields = {
        1: bytes.fromhex(row[f"{side}_genesis"]),
        2: bytes.fromhex(row[f"{side}_bundle"]),
        3: bytes.fromhex(row[f"{side}_nonce"]),
        4: row[f"{side}_name"],
    }
    return cbor2.dumps(fields, canonical=True)


def request(row: dict[str, object]) -> bytes:
    """The guest's message."""
    said = body(row, "guest")
    return cbor2.dumps([1, said, mac(row, b"guest", said)], canonical=True)


def answer(row: dict[str, object]) -> bytes:
    """The host's message."""
    said = body(row, "host")
    content = hashlib.sha256(request(row)).digest() + said
    return cbor2.dumps([1, said, mac(row, b"host", content)], canonical=True)


def word_numbers(row: dict[str, object]) -> list[int]:
    """The four numbers: the first 44 of 48 bits, eleven at a time."""
    who = [bytes.fromhex(row[name]) for name in ("host_cluster", "guest_cluster", "host_key", "guest_key")]
    nonces = bytes.fromhex(row["host_nonce"]) + bytes.fromhex(row["guest_nonce"])
    info = b"kontinuum/meet-words/v1\x00" + b"".join(who)
    drawn = hkdf(nonces, bytes.fromhex(row["exporter"]), info, 6)
    bits = "".join(f"{byte:08b}" for byte in drawn)
    return [int(bits[at : at + 11], 2) for at in range(0, 44, 11)]
