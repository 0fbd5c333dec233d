"""Phrases: the official vectors, typing as people type, and every mistake with words of its own."""

import pytest

from helpers.identities import vectors
from kontinuum.keys.backup.errors import UnknownWordsError, WordChecksumError, WordCountError
from kontinuum.keys.backup.roots import ShortSeed, public_of, root_of, seed_of
from kontinuum.keys.backup.spelling import (
    MISTAKES_MAX,
    TEXT_CHARS_MAX,
    WORDS_MAX,
    suggestions,
    words_in,
)
from kontinuum.keys.backup.words import phrase_of, read_phrase, wordlist
from kontinuum.keys.derivation import RootSeed, labelled

BIP39 = vectors("bip39_english.json")
OURS = [row for row in BIP39 if len(row["entropy"]) in {32, 64}]
ROOT = RootSeed(bytes(range(32)))
PHRASE = phrase_of(ROOT)
SHORT = ShortSeed(bytes(range(16)))


@pytest.mark.parametrize("row", OURS, ids=lambda row: row["entropy"][:8])
def test_the_official_vectors_of_bip39(row):
    """
    Bytes to words and words to bytes, for every official vector of 12 and 24 words.
    """
    root = root_of(bytes.fromhex(row["entropy"]))

    assert phrase_of(root) == row["words"]
    assert read_phrase(row["words"]) == root


@pytest.mark.parametrize("row", [row for row in BIP39 if row not in OURS], ids=lambda row: row["entropy"][:8])
def test_eighteen_words_are_a_phrase_of_somebody_else(row):
    """
    BIP39 has phrases of other lengths; no root is one.
    """
    with pytest.raises(WordCountError, match="18 words"):
        read_phrase(row["words"])


def test_twelve_words_lead_to_a_seed_by_a_label_of_their_own():
    """
    A root of twelve words is no prefix, repetition or extension of one of twenty-four.
    """
    assert seed_of(SHORT) == RootSeed(labelled(bytes(range(16)), "short-seed"))
    assert seed_of(ROOT) == ROOT
    assert public_of(SHORT) != public_of(ROOT)


@pytest.mark.parametrize(
    "typed",
    [
        PHRASE.upper(),
        PHRASE.replace(" ", "\n"),
        PHRASE.replace(" ", ", ") + ".",
        "\n".join(f"{number}. {word}" for number, word in enumerate(PHRASE.split(), start=1)),
        f"  {PHRASE}\r\n",
    ],
    ids=["capitals", "a line each", "commas", "numbered", "white space"],
)
def test_how_words_are_typed_does_not_matter(typed):
    """
    Capitals, line ends, commas and numbers are no words.
    """
    assert read_phrase(typed) == ROOT


@pytest.mark.parametrize(("count", "text"), [(0, ""), (11, "abandon " * 11), (25, f"{PHRASE} zoo")])
def test_a_wrong_number_of_words_is_counted_aloud(count, text):
    """
    A word left out, or one too many, is its own error.
    """
    with pytest.raises(WordCountError, match=f"{count} words"):
        read_phrase(text)


def test_nobody_can_make_us_read_a_book():
    """
    At the limit a text is read; beyond it, not.
    """
    assert len(words_in("a " * WORDS_MAX)) == WORDS_MAX
    assert words_in("." * TEXT_CHARS_MAX) == ()
    with pytest.raises(WordCountError):
        words_in("a " * (WORDS_MAX + 1))
    with pytest.raises(WordCountError):
        words_in("." * (TEXT_CHARS_MAX + 1))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("abondon", "abandon"),
        ("abandn", "abandon"),
        ("abanndon", "abandon"),
        ("abnadon", "abandon"),
        ("aban", "abandon"),
        ("zooo", "zoo"),
        ("recieve", "receive"),
        ("adress", "address"),
        ("gardenn", "garden"),
        ("wether", "weather"),
    ],
)
def test_a_mistyped_word_is_recognised(typed, meant):
    """
    A wrong, missing, additional or exchanged letter, and the first four letters, name the word.
    """
    assert suggestions(typed, wordlist())[0] == meant


def test_nothing_is_suggested_for_what_is_near_nothing():
    """
    A guess that is no better than chance is not made.
    """
    assert suggestions("xylophonist", wordlist()) == ()
    assert suggestions("q" * 10_000, wordlist()) == ()


def test_every_unknown_word_is_told_with_its_place():
    """
    All mistakes at once, so that one correction suffices.
    """
    words = PHRASE.split()
    words[2], words[20] = words[2] + "x", "qqqqqqqqq"
    with pytest.raises(UnknownWordsError) as caught:
        read_phrase(" ".join(words))

    assert [(mistake.position, mistake.suggestions[:1]) for mistake in caught.value.mistakes] == [
        (3, (PHRASE.split()[2],)),
        (21, ()),
    ]
    assert "word 3" in str(caught.value)
    assert "did you mean" in str(caught.value)


def test_suggestions_are_looked_for_so_many_times():
    """
    A text full of words that are none costs no more than MISTAKES_MAX searches; all are named nevertheless.
    """
    with pytest.raises(UnknownWordsError) as caught:
        read_phrase("abondon " * 24)
    found = [mistake.suggestions for mistake in caught.value.mistakes]
    assert found == [("abandon",)] * MISTAKES_MAX + [()] * (24 - MISTAKES_MAX)


def test_two_exchanged_words_fail_the_checksum():
    """
    Every word is right, and together they are not: that is said, and no word is shown.
    """
    words = PHRASE.split()
    words[0], words[5] = words[5], words[0]
    with pytest.raises(WordChecksumError) as caught:
        read_phrase(" ".join(words))

    assert caught.value.suspects == ()
    assert not set(str(caught.value).split()) & {word for word in words if len(word) > 5}


@pytest.mark.parametrize("root", [ROOT, SHORT], ids=["24", "12"])
def test_who_knows_the_root_key_is_told_which_word_is_wrong(root):
    """
    With the public key at hand, one wrong word or two exchanged ones are found, and their places told.
    """
    words = phrase_of(root).split()
    wrong = [*words[:6], "zoo", *words[7:]]
    swapped = [words[3], *words[1:3], words[0], *words[4:]]
    for typed, places in ((wrong, (7,)), (swapped, (1, 4))):
        with pytest.raises(WordChecksumError) as caught:
            read_phrase(" ".join(typed), expected=public_of(root))
        assert caught.value.suspects == places


def test_of_two_wrong_words_nothing_is_guessed():
    """
    Two mistakes are beyond what is tried; no place is named wrongly.
    """
    words = phrase_of(SHORT).split()
    for other in ("zone", "wrong", "wolf", "zebra"):
        typed = " ".join(["zoo", other, *words[2:]])
        try:
            found = read_phrase(typed, expected=public_of(SHORT))
        except WordChecksumError as error:
            assert error.suspects == ()  # noqa: PT017 -- one in sixteen passes the checksum
            return
        assert found != SHORT
    raise AssertionError("four of four passed a checksum of four bits")
