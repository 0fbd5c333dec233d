"""A second implementation of the key formats, written from docs/protocols and not from our code.

It uses the standard library's HMAC, `cryptography` and `cbor2`, and imports nothing of `kontinuum`. Tests
hold the golden vectors against it and against the library.
"""

import hashlib
import hmac
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def slip10(seed: bytes, numbers: list[int]) -> tuple[bytes, bytes]:
    """SLIP-0010, curve ed25519: private key and chain code at the end of a path of unhardened numbers."""
    digest = hmac.new(b"ed25519 seed", seed, hashlib.sha512).digest()
    for number in numbers:
        key, chain_code = digest[:32], digest[32:]
        data = b"\x00" + key + (0x80000000 + number).to_bytes(4, "big")
        digest = hmac.new(chain_code, data, hashlib.sha512).digest()
    return digest[:32], digest[32:]


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-512, no salt, 32 bytes: one block of output."""
    extracted = hmac.new(bytes(64), secret, hashlib.sha512).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha512).digest()[:32]


def numbers_of(cluster: int, path: list[int]) -> list[int]:
    """The numbers of SLIP-0010 to a branch, whose path is child, branch, child, branch and so on."""
    return [19279, cluster, *path]


def branch_of(seed: bytes, cluster: int, path: list[int]) -> dict[str, bytes]:
    """The secrets and the public key of a branch."""
    key, chain_code = slip10(seed, numbers_of(cluster, path))
    signing = hkdf(key + chain_code, b"kontinuum/branch-signing/v1\x00")
    return {
        "private_key": key,
        "chain_code": chain_code,
        "signing_seed": signing,
        "public_key": ed25519_public(signing),
    }


def epoch_of(branch: dict[str, bytes], epoch: int) -> dict[str, bytes]:
    """The secrets and public keys of an epoch."""
    secret = hkdf(
        branch["private_key"] + branch["chain_code"], b"kontinuum/epoch/v1\x00" + epoch.to_bytes(4, "big")
    )
    signing = hkdf(secret, b"kontinuum/epoch-signing/v1\x00")
    encryption = hkdf(secret, b"kontinuum/epoch-encryption/v1\x00")
    return {
        "secret": secret,
        "signing_seed": signing,
        "signing_public": ed25519_public(signing),
        "encryption_private": encryption,
        "encryption_public": X25519PrivateKey.from_private_bytes(encryption).public_key().public_bytes_raw(),
        "storage": hkdf(secret, b"kontinuum/epoch-storage/v1\x00"),
    }


def ed25519_public(seed: bytes) -> bytes:
    """RFC 8032's public key of a private key."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, purpose: str, data: bytes) -> bytes:
    """A signature bound to its purpose."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(
        b"kontinuum/" + purpose.encode() + b"/v1\x00" + data
    )


def commitment(public_key: bytes) -> bytes:
    """What fixes a key without showing it."""
    return hashlib.sha256(b"kontinuum/key-commitment/v1\x00" + public_key).digest()


def cbor(value: Any) -> bytes:
    """Deterministic CBOR; maps have small integer keys, for which cbor2's order is RFC 8949's as well."""
    return cbor2.dumps(value, canonical=True)


def genesis(fields: dict[int, Any], root_seed: bytes) -> tuple[bytes, bytes]:
    """The encoded genesis and the cluster's id."""
    unsigned = cbor(fields)
    signature = sign(root_seed, "key-genesis", unsigned)
    return cbor({**fields, 3: signature}), hashlib.sha256(b"kontinuum/cluster-id/v1\x00" + unsigned).digest()


def statement(fields: dict[int, Any], branch_seed: bytes, proof_seed: bytes | None) -> tuple[bytes, bytes]:
    """The encoded statement and its id."""
    proven = cbor(fields)
    signed = dict(fields)
    if proof_seed is not None:
        signed[8] = sign(proof_seed, "key-proof", proven)
    signature = sign(branch_seed, "key-statement", cbor(signed))
    return cbor({**signed, 9: signature}), hashlib.sha256(b"kontinuum/statement-id/v1\x00" + proven).digest()


def order(fields: dict[int, Any], branch_seed: bytes) -> bytes:
    """The encoded order."""
    return cbor({**fields, 8: sign(branch_seed, "key-order", cbor(fields))})
