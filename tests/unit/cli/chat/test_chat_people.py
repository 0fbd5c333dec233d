"""Who is who in a chat, whatever they call themselves."""

import pytest

from kontinuum.cli.chat.lines import LineError
from kontinuum.cli.chat.people import PEOPLE_MAX, People
from kontinuum.cli.chat.safe import MARKS_MAX, NICK_CHARACTERS_MAX, safe_line, safe_lines, safe_nick, skeleton
from kontinuum.identity import KeyPair, PeerId


def key(number: int) -> PeerId:
    """The identity of a fixed seed."""
    return KeyPair.from_seed(number.to_bytes(32)).peer_id


ME, ALICE, MALLORY = key(1), key(2), key(3)


def test_the_first_who_has_a_name_keeps_it():
    """
    A second key under the same name is marked; the first is not.
    """
    people = People(ME, "me")
    alice = people.hear(ALICE, "alice")
    mallory = people.hear(MALLORY, "alice")

    assert alice.mistaken_for is None
    assert mallory.mistaken_for == ALICE
    assert alice.name != mallory.name


@pytest.mark.parametrize(
    "nick", ["\u0430lice", "ALICE", "al1ce", "a-l-i-c-e", "ali\u0441e", "álice", "a1ice"]
)
def test_a_name_that_looks_alike_is_marked(nick):
    """
    Other scripts, digits and punctuation do not hide whom a name imitates.
    """
    people = People(ME, "me")
    people.hear(ALICE, "alice")

    assert people.hear(MALLORY, nick).mistaken_for == ALICE


def test_nobody_takes_our_own_name():
    """
    We are known to ourselves first.
    """
    assert People(ME, "me").hear(MALLORY, "me").mistaken_for == ME


def test_a_verified_key_owns_its_name():
    """
    Verifying turns the mark around: whoever was there first is the one that is not meant.
    """
    people = People(ME, "me")
    mallory = people.hear(MALLORY, "alice")
    alice = people.hear(ALICE, "alice")
    people.verify(alice)

    assert alice.mistaken_for is None
    assert mallory.mistaken_for == ALICE
    assert people.verified == [ALICE]


def test_a_key_that_was_verified_in_an_earlier_chat_owns_its_name_at_once():
    """
    Coming late does not matter then.
    """
    people = People(ME, "me", frozenset([ALICE]))
    people.hear(MALLORY, "alice")

    assert people.hear(ALICE, "alice").mistaken_for is None


def test_a_name_that_was_given_up_is_free():
    """
    A new name is judged anew, and the old one can be had by others.
    """
    people = People(ME, "me")
    people.hear(ALICE, "alice")
    people.hear(ALICE, "carol")

    assert people.hear(MALLORY, "alice").mistaken_for is None


def test_people_are_found_by_name_and_by_digits():
    """
    Where a name is not enough, the error lists what is.
    """
    people = People(ME, "me")
    alice, mallory = people.hear(ALICE, "alice"), people.hear(MALLORY, "alice")

    with pytest.raises(LineError, match=f"{alice.name}.*{mallory.name}"):
        people.find("alice")
    assert people.find(mallory.name) is mallory
    assert people.find(ALICE.hex()) is alice
    with pytest.raises(LineError, match="nobody here"):
        people.find("bob")


def test_both_sides_see_the_same_code_and_others_do_not():
    """
    The code is of the pair, whoever looks.
    """
    mine = People(ME, "me")
    hers = People(ALICE, "alice")

    code = mine.code(mine.hear(ALICE))
    assert code == hers.code(hers.hear(ME))
    assert code != mine.code(mine.hear(MALLORY))
    assert [len(group) for group in code.split()] == [5] * 8


def test_colour_and_digits_belong_to_the_key():
    """
    A new name changes neither.
    """
    people = People(ME, "me")
    before = (people.hear(ALICE, "alice").colour, people.hear(ALICE).fingerprint)

    assert before == (people.hear(ALICE, "carol").colour, people.hear(ALICE).fingerprint)


def test_a_crowd_of_strangers_pushes_out_no_friend():
    """
    The oldest stranger gives way; we and verified people stay.
    """
    people = People(ME, "me")
    people.verify(people.hear(ALICE, "alice"))
    for number in range(10, 10 + PEOPLE_MAX):
        people.hear(key(number), f"n{number}")

    assert people.find("alice").verified
    assert people.find("me") is people.me
    with pytest.raises(LineError):
        people.find("n10")
    assert people.find("n12").nick == "n12"


def test_a_crowd_of_strangers_pushes_out_nobody_who_is_in_a_room():
    """
    Keys that were only heard of give way before those that are here, however long ago they spoke.
    """
    people = People(ME, "me", present=lambda: [ALICE])
    people.hear(ALICE, "alice")
    for number in range(10, 10 + PEOPLE_MAX):
        people.hear(key(number), f"n{number}")

    assert people.find("alice").peer_id == ALICE
    assert len(people._people) == PEOPLE_MAX


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\x07b", "a\\x07b"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("a\x9bb", "a\\x9bb"),
        ("tab\there", "tab    here"),
        ("a" + "\u0301" * 50, "a" + "\u0301" * MARKS_MAX),
    ],
)
def test_nothing_that_is_said_drives_a_terminal(text, shown):
    """
    Escapes are written out, and marks do not pile up.
    """
    assert safe_line(text) == shown


def test_lines_stay_lines_and_nothing_else_moves_the_cursor():
    """
    A carriage return alone would write over what stands there.
    """
    assert safe_lines("a\r\nb\nc\rd") == ["a", "b", "c\\rd"]


def test_a_nickname_is_short_and_has_no_spaces():
    """
    Whatever a peer says.
    """
    assert safe_nick("  a  b\n") == "a-b"
    assert len(safe_nick("x" * 1000)) == NICK_CHARACTERS_MAX
    assert safe_nick("\x1b[31mred") == "\\x1b[31mred"
    assert skeleton("Ali-Ce") == skeleton("alice")


def test_a_name_holds_no_digits_of_a_key():
    """
    ``alice#deadbeef`` as a nickname would look like somebody's name and digits.
    """
    assert safe_nick("alice#deadbeef") == "alice-deadbeef"
    assert safe_nick("#") == ""


def test_a_name_holds_nothing_that_is_drawn_around_names():
    """
    Brackets and the mark of a verified key are the chat's own.
    """
    assert safe_nick("a<b>c\u2713\u2714\u2705\u2260") == "a-b-c"


@pytest.mark.parametrize("blank", "\u115f\u1160\u2800\u3164\uffa0")
def test_letters_that_nobody_sees_hide_nothing(blank):
    """
    They are written as escapes: ``alice`` with one of them is told apart.
    """
    assert blank not in safe_nick("alice" + blank)
    assert blank not in safe_line(blank)


def test_a_verified_key_takes_its_name_from_who_came_first():
    """
    After a restart only keys are known: who used the name meanwhile is marked once its owner says it.
    """
    people = People(ME, "me", frozenset([ALICE]))
    mallory = people.hear(MALLORY, "alice")
    assert mallory.mistaken_for is None
    alice = people.hear(ALICE, "alice")

    assert alice.mistaken_for is None
    assert mallory.mistaken_for == ALICE


def test_who_is_forgotten_leaves_no_name_behind():
    """
    Keys cost nothing, so what is kept of each must not outlive it.
    """
    people = People(ME, "me")
    for number in range(10, PEOPLE_MAX + 110):
        people.hear(key(number), f"n{number:x}")

    assert len(people._people) == PEOPLE_MAX
    assert len(people._owners) <= PEOPLE_MAX


def test_the_newest_verified_keys_come_last():
    """
    So that they are the ones that do not fit into the file.
    """
    people = People(ME, "me", frozenset([max(ALICE, MALLORY)]))
    people.verify(people.hear(min(ALICE, MALLORY), "late"))

    assert people.verified == [max(ALICE, MALLORY), min(ALICE, MALLORY)]
