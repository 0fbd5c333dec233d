"""Bech32: how age writes its keys as text.

Source:   BIP 173, "Bech32". Differs: no limit of 90 characters, as C2SP's age.md says.
Bounds:   BECH32_CHARS_MAX.
Trust:    text is hostile, and may be a secret that stands in the wrong place: no error shows any of it.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.errors import BadKeyTextError

BECH32_CHARS_MAX = 2560
"""Characters of one key. The longest that we know, a hybrid recipient with a tag, has 2,016. Longer:
refused."""

_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_CHARACTERS)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_CHARS = 6


def encode_bech32(prefix: str, data: bytes) -> str:
    """``data`` under a lower-case ``prefix``."""
    values = _regroup(data, 8, 5, pad=True)
    if values is None:
        raise AssertionError("any bytes can be padded")
    checksum = _polymod(_expanded(prefix) + values + [0] * _CHECKSUM_CHARS) ^ 1
    values += [checksum >> 5 * (_CHECKSUM_CHARS - 1 - i) & 31 for i in range(_CHECKSUM_CHARS)]
    return prefix + "1" + "".join(_CHARACTERS[value] for value in values)


def decode_bech32(text: str) -> tuple[str, Secret]:
    """Prefix, in lower case, and data.

    Raises:
        BadKeyTextError: It is no Bech32, or a character of it is wrong.
    """
    if len(text) > BECH32_CHARS_MAX:
        raise BadKeyTextError("the key is too long")
    if text not in (text.lower(), text.upper()) or not text.isascii():
        raise BadKeyTextError("the key mixes capitals and small letters")
    prefix, separator, rest = text.lower().rpartition("1")
    if not prefix or not separator or len(rest) < _CHECKSUM_CHARS or not _is_visible(prefix):
        raise BadKeyTextError("this is no key")
    try:
        values = [_VALUES[character] for character in rest]
    except KeyError:
        raise BadKeyTextError("the key has a character that no key has") from None
    if _polymod(_expanded(prefix) + values) != 1:
        raise BadKeyTextError("a character of the key is wrong or missing")
    data = _regroup(values[:-_CHECKSUM_CHARS], 5, 8, pad=False)
    if data is None:
        raise BadKeyTextError("the key is not written in the only way it can be")
    return prefix, Secret(data)


def _is_visible(prefix: str) -> bool:
    return all(33 <= ord(character) <= 126 for character in prefix)


def _expanded(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _regroup(values: bytes | list[int], old: int, new: int, *, pad: bool) -> list[int] | None:
    """Groups of ``old`` bits as groups of ``new``; ``None`` when what is left over is not zero padding."""
    accumulator, bits, out = 0, 0, []
    for value in values:
        accumulator = accumulator << old | value
        bits += old
        while bits >= new:
            bits -= new
            out.append(accumulator >> bits & (1 << new) - 1)
        accumulator &= (1 << bits) - 1
    if pad:
        return [*out, accumulator << new - bits] if bits else out
    return None if bits >= old or accumulator else out
