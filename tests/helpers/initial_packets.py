"""Open the Initial packets of QUIC v1, as anybody on the path can. RFC 9001, section 5."""

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

INITIAL_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")


def _label(secret: bytes, label: bytes, length: int) -> bytes:
    full = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def _keys(destination: bytes, label: bytes) -> tuple[bytes, bytes, bytes]:
    extract = hmac.HMAC(INITIAL_SALT, hashes.SHA256())
    extract.update(destination)
    secret = _label(extract.finalize(), label, 32)
    return tuple(
        _label(secret, name, n) for name, n in ((b"quic key", 16), (b"quic iv", 12), (b"quic hp", 16))
    )  # type: ignore[return-value]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A QUIC integer and where it ends."""
    length = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + length], "big") & ((1 << (8 * length - 2)) - 1), at + length


def open_initial(datagram: bytes, original_destination: bytes | None = None) -> bytes:
    """The frames of the Initial packet at the start of ``datagram``.

    Args:
        datagram: As it travelled.
        original_destination: The client's first destination id, for a packet of the server.
    """
    assert datagram[0] & 0xF0 == 0xC0, "an Initial"
    end = 6 + datagram[5]
    destination = datagram[6:end]
    from_server = original_destination is not None
    end += 1 + datagram[end]
    token_length, end = read_varint(datagram, end)
    length, number_at = read_varint(datagram, end + token_length)
    key, iv, mask_key = _keys(
        original_destination or destination, b"server in" if from_server else b"client in"
    )
    sample = datagram[number_at + 4 : number_at + 20]
    mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sample)  # noqa: S305 -- RFC 9001, 5.4.3
    first = datagram[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(datagram[number_at : number_at + size], mask[1:], strict=False))
    header = bytes([first]) + datagram[1:number_at] + number
    nonce = bytes(a ^ b for a, b in zip(iv, number.rjust(12, b"\0"), strict=True))
    body = datagram[number_at + size : number_at + length]
    return AESGCM(key).decrypt(nonce, body, header)


def crypto_data(frames: bytes) -> dict[int, bytes]:
    """The pieces of CRYPTO frames by offset; only frames that a hello consists of are understood."""
    pieces, at = {}, 0
    while at < len(frames):
        kind, at = read_varint(frames, at)
        if kind in (0x00, 0x01):  # PADDING, PING
            continue
        assert kind == 0x06, f"frame {kind:#x}"
        offset, at = read_varint(frames, at)
        length, at = read_varint(frames, at)
        pieces[offset] = frames[at : at + length]
        at += length
    return pieces


def client_hello(datagrams: list[bytes]) -> bytes:
    """The ClientHello in a client's first datagrams."""
    pieces: dict[int, bytes] = {}
    for datagram in datagrams:
        pieces |= crypto_data(open_initial(datagram))
    hello = b""
    for offset in sorted(pieces):
        assert offset <= len(hello), "a piece is missing"
        hello = hello[:offset] + pieces[offset]
    return hello


def extensions(hello: bytes) -> dict[int, bytes]:
    """The extensions of a ClientHello by number (RFC 8446, section 4.1.2)."""
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 2
    found = {}
    while at < end:
        kind, length = (
            int.from_bytes(hello[at : at + 2], "big"),
            int.from_bytes(hello[at + 2 : at + 4], "big"),
        )
        found[kind] = hello[at + 4 : at + 4 + length]
        at += 4 + length
    return found
