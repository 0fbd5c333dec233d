"""Shares: the official vectors, groups and thresholds, and a message for each thing that is wrong."""

from dataclasses import replace
from itertools import combinations

import pytest
from shamir_mnemonic import Share

from helpers.identities import vectors
from kontinuum.base import MisuseError
from kontinuum.base.entropy import SystemEntropy
from kontinuum.keys.backup.errors import (
    BackupError,
    ForgedShareError,
    GroupMissing,
    MixedSharesError,
    RepeatedShareError,
    ShareError,
    TooFewSharesError,
    UnknownWordsError,
    WordCountError,
    WrongShareError,
)
from kontinuum.keys.backup.roots import ShortSeed
from kontinuum.keys.backup.shares import Group, combine_secret, combine_shares, share_face, split_root
from kontinuum.keys.derivation import RootSeed

SLIP39 = vectors("slip39.json")
VALID = [row for row in SLIP39 if row["secret"]]
BROKEN = [row for row in SLIP39 if not row["secret"]]
REASONS = {
    2: WrongShareError,
    3: WrongShareError,
    5: TooFewSharesError,
    6: MixedSharesError,
    7: MixedSharesError,
    8: MixedSharesError,
    9: MixedSharesError,
    10: WrongShareError,
    11: ForgedShareError,
    12: MixedSharesError,
    13: ForgedShareError,
    14: TooFewSharesError,
    15: TooFewSharesError,
    16: TooFewSharesError,
    39: WordCountError,
    40: WordCountError,
}
"""What each broken vector of 128 bits is to us; those of 256 bits follow 19 later."""

ROOT = RootSeed(bytes(range(32)))
FAMILY = split_root(ROOT, [Group(2, 3)], entropy=SystemEntropy())[0]
OTHERS = split_root(ROOT, [Group(2, 3)], entropy=SystemEntropy())[0]
WIDE = split_root(ROOT, [Group(2, 3), Group(3, 5), Group(1, 1)], 2, entropy=SystemEntropy())


def number(row):
    """A vector's number."""
    return int(row["what"].partition(".")[0])


@pytest.mark.parametrize("row", VALID, ids=number)
def test_the_valid_vectors_of_slip_39(row):
    """
    Every official set gives its secret, under the standard's own passphrase.
    """
    assert combine_secret(row["shares"], b"TREZOR").hex() == row["secret"]


@pytest.mark.parametrize("row", BROKEN, ids=number)
def test_the_broken_vectors_of_slip_39(row):
    """
    Every official broken set is refused, and by the error that says why.
    """
    expected = REASONS.get(number(row)) or REASONS[number(row) - 19]
    with pytest.raises(expected):
        combine_secret(row["shares"], b"TREZOR")


def test_any_two_of_three_give_the_root():
    """
    In any order, as the standard wants it; one alone does not.
    """
    for pair in combinations(FAMILY, 2):
        assert combine_shares(pair) == combine_shares(pair[::-1]) == ROOT


def test_twelve_words_make_short_shares():
    """
    A root of 16 bytes has shares of 20 words, one of 32 bytes shares of 33.
    """
    short = ShortSeed(bytes(range(16)))
    shares = split_root(short, [Group(2, 2)], entropy=SystemEntropy())[0]

    assert combine_shares(shares) == short
    assert {len(share.split()) for share in shares} == {20}
    assert {len(share.split()) for share in FAMILY} == {33}


def test_groups_are_completed_one_by_one():
    """
    Two of three groups: one alone is not enough, two are, and the message says how far it is.
    """
    assert combine_shares([*WIDE[0][:2], *WIDE[1][:3]]) == ROOT
    assert combine_shares([*WIDE[1][2:], *WIDE[2]]) == ROOT
    with pytest.raises(TooFewSharesError) as caught:
        combine_shares([*WIDE[0][:2], *WIDE[1][:1]])

    assert caught.value.groups == (GroupMissing(1, 2, 2), GroupMissing(2, 1, 3))
    assert "group 2 has 1 of 3" in str(caught.value)
    assert "1 of 2 groups complete" in str(caught.value)
    with pytest.raises(TooFewSharesError, match="1 more group needed"):
        combine_shares(WIDE[2])


def test_more_shares_than_needed_are_checked_and_welcome():
    """
    A third share, and a third group, do no harm; if one of them does not fit, it is noticed.
    """
    everything = [share for group in WIDE for share in group]
    assert combine_shares(FAMILY) == combine_shares(everything) == ROOT

    for position in range(3):
        shares = [*FAMILY[:position], altered(FAMILY[position]), *FAMILY[position + 1 :]]
        with pytest.raises(ForgedShareError, match="do not belong together"):
            combine_shares(shares)


def altered(share):
    """A share with another value and a right checksum: what somebody malicious would hand in."""
    parsed = Share.from_mnemonic(share)
    return replace(parsed, value=bytes([parsed.value[0] ^ 1]) + parsed.value[1:]).mnemonic()


def test_a_made_up_share_is_noticed():
    """
    Its words fit together, and it does not fit the others.
    """
    with pytest.raises(ForgedShareError):
        combine_shares([FAMILY[0], altered(FAMILY[1])])
    with pytest.raises(ForgedShareError, match="both say that they are share 1"):
        combine_shares([FAMILY[0], altered(FAMILY[0])])


def test_a_mistyped_word_names_share_and_place():
    """
    The share is counted as it was given, the word as it stands in it, with a suggestion.
    """
    words = FAMILY[1].split()
    typed = " ".join([*words[:8], words[8] + "x", *words[9:]])
    with pytest.raises(UnknownWordsError, match="share 2: word 9") as caught:
        combine_shares([FAMILY[0], typed])
    assert caught.value.mistakes[0].suggestions[0] == words[8]


def test_a_wrong_word_of_the_list_is_told_from_a_mistyped_one():
    """
    The checksum of the share fails, and the message says which share.
    """
    words = FAMILY[1].split()
    other = "academic" if words[8] != "academic" else "acid"
    with pytest.raises(WrongShareError, match="share 2") as caught:
        combine_shares([FAMILY[0], " ".join([*words[:8], other, *words[9:]])])
    assert caught.value.shares == (2,)


def test_shares_of_two_backups_are_told_apart():
    """
    Even of the same root: two backups never mix.
    """
    with pytest.raises(MixedSharesError, match="share 2 is of another backup") as caught:
        combine_shares([FAMILY[0], OTHERS[1]])
    assert caught.value.shares == (1, 2)


def test_a_share_twice_counts_once():
    """
    The same share again is its own error, whatever its capitals.
    """
    with pytest.raises(RepeatedShareError, match="share 2 is share 1 again") as caught:
        combine_shares([FAMILY[0], FAMILY[0].upper()])
    assert caught.value.shares == (1, 2)


def test_no_shares_and_half_a_share():
    """
    Nothing, and too few words, are said as such.
    """
    with pytest.raises(ShareError, match="no share"):
        combine_shares([])
    with pytest.raises(WordCountError, match="share 1: 16 words"):
        combine_shares([" ".join(FAMILY[0].split()[:16])])


def test_a_share_says_who_it_is():
    """
    Its first words are no secret: which backup, group and share, and how many it takes.
    """
    face = share_face(WIDE[1][3])
    assert (face.group, face.share, face.needed, face.groups, face.groups_needed) == (2, 4, 3, 3, 2)
    assert face.backup == share_face(WIDE[0][0]).backup


@pytest.mark.parametrize(
    ("groups", "needed"),
    [([], 1), ([(2, 3)], 0), ([(2, 3)], 2), ([(2, 2)] * 17, 1), ([(1, 1), (2, 3)], 1)],
    ids=["none", "needs none", "needs more", "too many", "one alone is all"],
)
def test_groups_that_cannot_be(groups, needed):
    """
    Nothing is split in a way that nobody, or a single paper, could put together.
    """
    with pytest.raises(MisuseError):
        split_root(ROOT, [Group(*group) for group in groups], needed, entropy=SystemEntropy())


@pytest.mark.parametrize("numbers", [(0, 1), (3, 2), (1, 2), (2, 17), (1, 0)])
def test_a_group_that_cannot_be(numbers):
    """
    One of several is refused: every paper would be the whole root.
    """
    with pytest.raises(MisuseError):
        Group(*numbers)


def test_the_number_of_a_backup_comes_from_our_entropy():
    """
    The only chance that the package lets us give it.
    """

    class Counted:
        def token(self, length):
            assert length == 2
            return b"\xff\xfe"

    made = split_root(ROOT, [Group(2, 3)], entropy=Counted())
    assert share_face(made[0][0]).backup == 0x7FFF


@pytest.mark.parametrize("text", ["", "zoo", "\0", "é" * 100, "academic " * 33, "academic " * 20])
def test_any_text_gives_an_error_of_ours(text):
    """
    Whatever is handed in as a share.
    """
    with pytest.raises(BackupError):
        combine_shares([text])
