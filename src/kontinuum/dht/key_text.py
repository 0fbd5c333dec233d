"""Keys of records as people write them.

``/contact/PEER``, ``/blake3/HEX``, ``/sha256/HEX``, ``/signed/PEER/NAME``. A key of another namespace is
written with its odd bytes as ``%XX``, and so is the name of a signed record.

Bounds: KEY_TEXT_CHARS_MAX characters are looked at.
Pure:   no I/O, clock or randomness.
"""

from urllib.parse import quote_from_bytes, unquote_to_bytes

from kontinuum.base.errors import KontinuumError, MisuseError
from kontinuum.identity import PeerId
from kontinuum.wire.limits import KAD_KEY_BYTES_MAX

KEY_TEXT_CHARS_MAX = 3 * KAD_KEY_BYTES_MAX
"""Characters of a key's text: each byte as three of them. More: refused."""

CONTACT, BLAKE3, SHA256, SIGNED = b"/contact/", b"/blake3/", b"/sha256/", b"/signed/"
"""The namespaces; docs/protocols/records.md."""

_OF_PEERS = (CONTACT, SIGNED)
_HASHES = (BLAKE3, SHA256)
_FIXED_BYTES = 32
_SAFE = "/._-~+=:@"


class BadKeyError(MisuseError):
    """The text is no key of a record."""


def key_text(key: bytes) -> str:
    """The text of a key."""
    for namespace in (*_OF_PEERS, *_HASHES):
        if key.startswith(namespace):
            fixed, rest = key[len(namespace) :][:_FIXED_BYTES], key[len(namespace) + _FIXED_BYTES :]
            return f"{namespace.decode()}{fixed.hex()}{quote_from_bytes(rest, safe=_SAFE)}"
    return quote_from_bytes(key, safe=_SAFE)


def parse_key(text: str) -> bytes:
    """The key that a person wrote. A peer may be written in either form.

    Raises:
        BadKeyError: It is none; the message says the forms.
    """
    if len(text) > KEY_TEXT_CHARS_MAX or not text.startswith("/"):
        raise BadKeyError(
            "a key is written /contact/PEER, /blake3/HEX, /sha256/HEX or /signed/PEER/NAME, or in full"
        )
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadKeyError("the text of a key is no Unicode text") from None
    _, name, fixed, rest, *_ = [*raw.split(b"/", 3), b"", b""]
    namespace = b"/" + name + b"/"
    tail = unquote_to_bytes(b"/" + rest) if rest else b""
    if namespace in _OF_PEERS:
        try:
            return namespace + PeerId.parse(fixed.decode("utf-8", "replace")) + tail
        except KontinuumError as error:
            raise BadKeyError(f"{namespace.decode()} is followed by a peer: {error}") from None
    if namespace in _HASHES:
        try:
            digest = bytes.fromhex(fixed.decode("ascii"))
        except ValueError:
            digest = b""
        if len(digest) != _FIXED_BYTES:
            raise BadKeyError(f"{namespace.decode()} is followed by 64 hexadecimal digits")
        return namespace + digest + tail
    key = unquote_to_bytes(raw)
    if len(key) > KAD_KEY_BYTES_MAX:
        raise BadKeyError(f"a key has at most {KAD_KEY_BYTES_MAX} bytes")
    return key
