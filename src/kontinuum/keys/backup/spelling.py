"""Words as people type them, and which word of a list was meant.

Both lists are made for this: the first four letters of each word are its own, and few words are one letter
apart. So four letters, or one slip of the finger, name one word.

Source:   BIP39, "Wordlist"; SLIP-39, "Wordlist"; optimal string alignment distance (Damerau, 1964).
Bounds:   TEXT_CHARS_MAX; WORDS_MAX; SUGGESTIONS_MAX.
Trust:    texts are typed or scanned; nothing beyond the bounds is looked at.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from kontinuum.keys.backup.errors import Mistake, UnknownWordsError, WordCountError

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_CHARS_MAX = 16 * 1024
"""Characters of a phrase or share. Our choice: the longest has some 300. Longer: WordCountError."""

WORDS_MAX = 64
"""Words of a phrase or share. Our choice: the longest has 33. More: WordCountError."""

WORD_CHARS_MAX = 16
"""Characters of a word that are looked at; the longest of both lists has 8. Our choice."""

SUGGESTIONS_MAX = 3
"""Suggestions for one word. Our choice."""

MISTAKES_MAX = 8
"""Words of a text that suggestions are looked for; each takes some 10 ms. Our choice. The rest has none.
"""

UNIQUE_LETTERS = 4
"""Letters that name a word. BIP39 and SLIP-39, "Wordlist"."""

DISTANCE_MAX = 2
"""Slips (a wrong, missing, additional or exchanged letter) within which a word is suggested. Our choice."""

_BETWEEN_WORDS = re.compile(r"[^a-z]+")


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text; capitals, numbers, commas and line ends do not matter.

    Raises:
        WordCountError: It is far longer than anything that is written down.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise WordCountError("this is far more text than a phrase or a share has")
    plain = unicodedata.normalize("NFKD", text).lower()
    words = tuple(word for word in _BETWEEN_WORDS.split(plain) if word)
    if len(words) > WORDS_MAX:
        raise WordCountError(f"{len(words)} words or more: give one phrase, or one share, at a time")
    return words


def verify_words(words: Sequence[str], wordlist: Sequence[str], what: str) -> None:
    """Check that every word is in the list.

    Args:
        words: What was typed.
        wordlist: All words there are.
        what: What they stand in, for the message.

    Raises:
        UnknownWordsError: Some are not; it names each and what was probably meant.
    """
    known = frozenset(wordlist)
    unknown = [(position, word) for position, word in enumerate(words, start=1) if word not in known]
    if unknown:
        raise UnknownWordsError(
            tuple(
                Mistake(
                    position, word[:WORD_CHARS_MAX], suggestions(word, wordlist) if row < MISTAKES_MAX else ()
                )
                for row, (position, word) in enumerate(unknown)
            ),
            what,
        )


def suggestions(word: str, wordlist: Sequence[str]) -> tuple[str, ...]:
    """Which words were probably meant, the likeliest first; nothing if none is near."""
    word = word[:WORD_CHARS_MAX]
    begins = [listed for listed in wordlist if listed[:UNIQUE_LETTERS] == word[:UNIQUE_LETTERS]]
    if len(word) >= UNIQUE_LETTERS and len(begins) == 1 and begins[0].startswith(word):
        return (begins[0],)
    near = [(_distance(word, listed), listed) for listed in wordlist]
    found = sorted((distance, listed not in begins, listed) for distance, listed in near)
    return tuple(listed for distance, _, listed in found if distance <= DISTANCE_MAX)[:SUGGESTIONS_MAX]


def _distance(left: str, right: str) -> int:
    """How many slips lie between two words."""
    if abs(len(left) - len(right)) > DISTANCE_MAX:
        return DISTANCE_MAX + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, letter in enumerate(left, start=1):
        older, before, row = before, row, [i]
        for j, other in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and left[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(*row, *before) > DISTANCE_MAX:
            return DISTANCE_MAX + 1  # It only grows from here: an exchange looks back two rows at most.
    return row[-1]
