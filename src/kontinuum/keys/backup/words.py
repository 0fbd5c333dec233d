"""A root as 24 or 12 English words.

Source:   BIP39, with the word list of the ``mnemonic`` package, which its authors maintain. Its
          "From mnemonic to seed" is not used: the words stand for the bytes themselves.
Bounds:   those of ``spelling``.
Trust:    words are typed by people; every mistake that can be told apart is.
Secrets:  what is returned is a secret. An error shows a mistyped word and what was meant, and nothing more.
Pure:     no I/O, clock or randomness, but for the word list, which the package reads from its own files.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from kontinuum.identity import Secret
from kontinuum.keys.backup.errors import WordChecksumError, WordCountError
from kontinuum.keys.backup.roots import WrittenRoot, public_of, root_of
from kontinuum.keys.backup.spelling import verify_words, words_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mnemonic import Mnemonic

PHRASE_WORDS = (24, 12)
"""Words of a phrase. BIP39 knows others; we write down none of them."""


def phrase_of(root: WrittenRoot) -> str:
    """The words of a root, with a space between them."""
    return str(_bip39().to_mnemonic(root.expose()))


def read_phrase(text: str, *, expected: bytes | None = None) -> WrittenRoot:
    """The root that the words of ``text`` stand for.

    Args:
        text: Words as somebody typed them; capitals, numbers and commas do not matter.
        expected: The public key of the root that they should give; it only makes the error more exact.

    Raises:
        WordCountError: There are not 12 or 24 words.
        UnknownWordsError: Some are not in the list; it has suggestions.
        WordChecksumError: All are in the list, and one is wrong or two changed places.
    """
    words = words_in(text)
    if len(words) not in PHRASE_WORDS:
        raise WordCountError(f"{len(words)} words: a phrase has 12 or 24; count them again")
    bip39 = _bip39()
    verify_words(words, bip39.wordlist, "the phrase")
    indexes = [bip39.wordlist.index(word) for word in words]
    data = _checked(indexes)
    root = None if data is None else root_of(data)
    if expected is not None and (root is None or public_of(root) != expected):
        _verify_nothing_is_suspect(indexes, expected)
    if root is None:
        raise WordChecksumError(
            "the phrase: every word is in the list, but one is the wrong one, or two changed places;"
            " compare each with the paper"
        )
    return root


def wordlist() -> tuple[str, ...]:
    """All 2048 words."""
    return tuple(_bip39().wordlist)


@cache
def _bip39() -> Mnemonic:
    from mnemonic import Mnemonic  # Reads its word lists, which few runs of the program need.

    return Mnemonic("english")


def _checked(indexes: list[int]) -> Secret | None:
    """The bytes behind the words' numbers, by BIP39; ``None`` if the checksum is wrong."""
    check_bits = len(indexes) // 3
    number = 0
    for index in indexes:
        number = number << 11 | index
    data = (number >> check_bits).to_bytes(len(indexes) * 4 // 3, "big")
    check = hashlib.sha256(data).digest()[0] >> (8 - check_bits)
    return Secret(data) if check == number & ((1 << check_bits) - 1) else None


def _verify_nothing_is_suspect(indexes: list[int], expected: bytes) -> None:
    """Name the wrong word, or the two that changed places, if putting that right gives the expected root.

    One word of 24 has 2047 others and one in 256 passes the checksum: some 200 roots to try, well below a
    second. Twelve words leave 1 in 16, some 1500.
    """
    for places, repaired in _repairs(indexes):
        data = _checked(repaired)
        if data is not None and public_of(root_of(data)) == expected:
            said = " and ".join(map(str, places))
            raise WordChecksumError(
                f"the phrase: word {said} is not the right one; look closely"
                if len(places) == 1
                else f"the phrase: words {said} changed places",
                places,
            )


def _repairs(indexes: list[int]) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Every phrase that is one mistake away."""
    for left in range(len(indexes)):
        for right in range(left + 1, len(indexes)):
            swapped = list(indexes)
            swapped[left], swapped[right] = swapped[right], swapped[left]
            yield (left + 1, right + 1), swapped
    for place in range(len(indexes)):
        for other in range(2048):
            yield (place + 1,), [*indexes[:place], other, *indexes[place + 1 :]]
