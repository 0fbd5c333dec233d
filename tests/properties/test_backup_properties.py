"""Whatever root, groups and mistakes: what was written down comes back, or the error says why."""

import random
from datetime import date

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kontinuum.base import PeerError
from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity import KeyFileError
from kontinuum.keys.backup.errors import BackupError, TooFewSharesError, UnknownWordsError
from kontinuum.keys.backup.reading import read_backup
from kontinuum.keys.backup.roots import root_of
from kontinuum.keys.backup.shares import Group, combine_shares, split_root
from kontinuum.keys.backup.sheet import Sheet
from kontinuum.keys.backup.sheet_pdf import pdf_page
from kontinuum.keys.backup.sheet_svg import svg_page
from kontinuum.keys.backup.spelling import suggestions
from kontinuum.keys.backup.words import phrase_of, read_phrase, wordlist
from kontinuum.keys.keystore import Unprotected, decode_store, encode_store

ROOTS = st.sampled_from([16, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(root_of)
GROUPS = st.integers(1, 4).flatmap(
    lambda count: st.tuples(st.integers(min(2, count), count), st.just(count)).map(lambda pair: Group(*pair))
)
SLIPS = ("drop", "double", "swap", "other")


@given(root=ROOTS)
def test_words_come_back(root):
    """
    Any root, as words and from them.
    """
    assert read_phrase(phrase_of(root)) == root


@given(root=ROOTS)
def test_stores_come_back(root):
    """
    Any root, as a file and from it.
    """
    content = encode_store(root, Unprotected(), entropy=SystemEntropy())
    assert decode_store(content).open() == root


@given(root=ROOTS, groups=st.lists(GROUPS, min_size=1, max_size=4), data=st.data())
@settings(max_examples=25)
def test_enough_shares_give_the_root_and_fewer_do_not(root, groups, data):
    """
    Any groups, any choice of enough shares in any order; and one share less than enough is too few.
    """
    needed = (
        len(groups)
        if any(group.threshold == 1 for group in groups)
        else data.draw(st.integers(1, len(groups)))
    )
    made = split_root(root, groups, needed, entropy=SystemEntropy())
    picked = data.draw(st.permutations(range(len(groups))))[:needed]
    chosen = [
        share
        for index in picked
        for share in data.draw(st.permutations(made[index]))[: groups[index].threshold]
    ]

    assert combine_shares(data.draw(st.permutations(chosen))) == root
    if len(chosen) > 1:
        with pytest.raises(TooFewSharesError):
            combine_shares(chosen[1:])


@given(word=st.sampled_from(wordlist()), slip=st.sampled_from(SLIPS), seed=st.integers(0, 2**32))
def test_one_slip_of_the_finger_is_recognised(word, slip, seed):
    """
    A letter missing, doubled, exchanged with its neighbour or another one: the word is among the suggestions,
    unless the slip made another word of the list.
    """
    chance = random.Random(seed)  # noqa: S311 -- no key
    at = chance.randrange(len(word) - 1)
    typed = {
        "drop": word[:at] + word[at + 1 :],
        "double": word[: at + 1] + word[at:],
        "swap": word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        "other": word[:at] + chance.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
    }[slip]
    if typed in wordlist():
        return
    near = suggestions(typed, wordlist())
    assert word in near or len(near) == 3 or (len(near) == 1 and near[0].startswith(typed))


@given(root=ROOTS, place=st.integers(0, 23))
def test_a_mistyped_word_is_named_with_its_place(root, place):
    """
    Wherever it is.
    """
    words = phrase_of(root).split()
    place %= len(words)
    words[place] += "q"
    with pytest.raises(UnknownWordsError) as caught:
        read_phrase(" ".join(words))
    assert [(each.position, each.word) for each in caught.value.mistakes] == [(place + 1, words[place])]


@given(pieces=st.lists(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)), max_size=3))
def test_whatever_is_brought_is_a_root_or_an_error_of_ours(pieces):
    """
    Any bytes, any number of pieces.
    """
    try:
        read_backup(pieces, passphrase=lambda: "sesame")
    except (BackupError, KeyFileError, PeerError):
        return


@given(title=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=64))
def test_any_title_is_safe_on_a_page(title):
    """
    A name with marks of XML or PDF in it is text.
    """
    import xml.etree.ElementTree as ET  # noqa: PLC0415

    sheet = Sheet(title, ("zoo",), bytes(32), date(2026, 1, 2))
    texts = [element.text or "" for element in ET.fromstring(svg_page(sheet)).iter()]  # noqa: S314 -- ours
    assert title in texts
    with pypdfium2.PdfDocument(pdf_page(sheet)) as document:
        assert len(document) == 1
        assert "zoo" in document[0].get_textpage().get_text_range()
