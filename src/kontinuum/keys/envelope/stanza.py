"""One stanza of an age header: arguments on a line, then a body in base64.

Source:   C2SP age.md, "Recipient stanza", and its ABNF.
Bounds:   those of ``header``, which reads the lines; here a line is complete and bounded.
Trust:    lines are hostile: base64 must be in its only canonical form, an argument visible ASCII.
Pure:     no I/O, clock or randomness.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from kontinuum.keys.envelope.errors import HeaderError

COLUMNS = 64
"""Characters of a full line of a body; the first shorter line is its last. age.md, "Recipient stanza"."""

_ARGUMENTS = re.compile(rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)")


def encode_base64(data: bytes) -> bytes:
    """Base64 without padding, RFC 4648, section 4."""
    return base64.b64encode(data).rstrip(b"=")


def decode_base64(text: bytes) -> bytes:
    """The bytes of canonical base64 without padding.

    Raises:
        HeaderError: A wrong character, padding, or bits behind the end that are not zero.
    """
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise HeaderError("the header has base64 that cannot be read") from None
    if encode_base64(data) != text:
        raise HeaderError("the header has base64 that is not canonical")
    return data


@dataclass(frozen=True, slots=True)
class Stanza:
    """What a header says for one recipient, or of another kind."""

    kind: str
    """The first argument; it says how the others and the body are to be understood."""

    arguments: tuple[str, ...]
    """The arguments after the first."""

    body: bytes
    """What the body's base64 holds."""

    def encode(self) -> bytes:
        """The lines of it, with the last one's end."""
        text = encode_base64(self.body)
        lines = [text[start : start + COLUMNS] for start in range(0, len(text) + 1, COLUMNS)]
        return b"\n".join([" ".join(["->", self.kind, *self.arguments]).encode("ascii"), *lines, b""])


def parse_arguments(line: bytes) -> tuple[str, ...]:
    """The arguments of a stanza's first line, one at least.

    Raises:
        HeaderError: It is no such line.
    """
    match = _ARGUMENTS.fullmatch(line)
    if match is None:
        raise HeaderError("the header has a line that begins no stanza")
    return tuple(match[1].decode("ascii").split(" "))
