"""Envelopes as text: the strict PEM form of age.

Source:   C2SP age.md, "ASCII armor"; RFC 7468, section 3, figure 3 (strict).
Bounds:   the caller's: text is in memory, whole.
Trust:    text is hostile and would be malleable: one form is accepted, with either line end, and white space
          before and after it.
Pure:     no I/O, clock or randomness.
"""

import base64
import binascii

from kontinuum.keys.envelope.errors import ArmorError
from kontinuum.keys.envelope.stanza import COLUMNS

_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_WHITE = b" \t\r\n"


def is_armored(data: bytes) -> bool:
    """Whether ``data`` looks like the text form of an age file."""
    return data.lstrip(_WHITE).startswith(_BEGIN)


def encode_armor(data: bytes) -> bytes:
    """The text form of ``data``."""
    text = base64.b64encode(data)
    lines = [text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS)]
    return b"\n".join([_BEGIN, *lines, _END, b""])


def decode_armor(data: bytes) -> bytes:
    """What the text form holds.

    Raises:
        ArmorError: It is not exactly the text form of anything.
    """
    lines = data.strip(_WHITE).replace(b"\r\n", b"\n").split(b"\n")
    if lines[0] != _BEGIN:
        raise ArmorError("the text does not begin as a sealed file's does")
    if len(lines) < 2 or lines[-1] != _END:
        raise ArmorError("the text of the sealed file is cut off, or something follows it")
    body = lines[1:-1]
    if any(len(line) != COLUMNS for line in body[:-1]) or (body and not 1 <= len(body[-1]) <= COLUMNS):
        raise ArmorError("the text of the sealed file has lines of a wrong length")
    text = b"".join(body)
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ArmorError("the text of the sealed file has a wrong character") from None
    if base64.b64encode(decoded) != text:
        raise ArmorError("the text of the sealed file is not canonical base64")
    return decoded
