"""Base58 with Bitcoin's alphabet, as libp2p writes peer ids.

Source:   https://datatracker.ietf.org/doc/html/draft-msporny-base58-03 (alphabet, leading zeros).
Why here: forty lines that are bounded and tested with the draft's vectors; not worth a dependency.
Bounds:   BASE58_CHARS_MAX characters, because the algorithm takes quadratic time.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.wire.errors import MalformedError

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}

BASE58_CHARS_MAX = 128
"""Characters that are decoded. Our choice: a peer id has 52. Longer: refused."""


def encode_base58(data: bytes) -> str:
    """The base58 text of ``data``; every leading zero byte becomes one ``1``."""
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def decode_base58(text: str) -> bytes:
    """The bytes behind ``text``.

    Raises:
        MalformedError: A character is not of the alphabet, or the text is longer than BASE58_CHARS_MAX.
    """
    if len(text) > BASE58_CHARS_MAX:
        raise MalformedError(f"a base58 text has more than {BASE58_CHARS_MAX} characters")
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            raise MalformedError(f"{character!r} is no base58 character")
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
