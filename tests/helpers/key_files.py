"""Key files of Alice: plain, protected, and changed by somebody who knows the format."""

import base64

from helpers.identities import ALICE
from kontinuum.base import SystemEntropy
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN, Argon2Cost, encode_plain, encode_protected
from kontinuum.wire import cbor

CHEAP = Argon2Cost(memory_kib=ARGON2_MEMORY_KIB_MIN, iterations=1, lanes=1)
ENTROPY = SystemEntropy()
PLAIN = encode_plain(ALICE)
PROTECTED = encode_protected(ALICE, "sesame", ENTROPY, CHEAP)


def pem(label: str, body: bytes) -> bytes:
    """``body`` in PEM."""
    text = base64.encodebytes(body)
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), text, label.encode())


def body_of(content: bytes) -> bytes:
    """What is inside a PEM block."""
    return base64.b64decode(b"".join(content.split(b"\n")[1:-2]))


def protected_with(changes: dict, *, right_checksum: bool = True) -> bytes:
    """A protected key file with fields changed by somebody who knows the format."""
    fields = dict(cbor.decode(body_of(PROTECTED)))
    fields.update(changes)
    if right_checksum:
        from kontinuum.identity.key_file import _checksum  # noqa: PLC0415

        del fields[8]
        fields[8] = _checksum(fields)
    return pem("KONTINUUM ENCRYPTED KEY", cbor.encode(fields))
