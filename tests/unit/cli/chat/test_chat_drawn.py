"""How what was said is drawn, on a screen and as lines."""

from datetime import UTC, datetime

from kontinuum.cli.chat.people import People
from kontinuum.cli.chat.plain import as_json, said_lines
from kontinuum.cli.chat.safe import LINES_SHOWN_MAX
from kontinuum.cli.chat.screen import said_texts
from kontinuum.cli.chat.shown import Said
from kontinuum.identity import KeyPair

ALICE = People(KeyPair.from_seed(bytes(32)).peer_id, "alice").me


def said(*lines: str) -> Said:
    """Alice's words."""
    return Said(datetime(2026, 1, 1, tzinfo=UTC), "dev", ALICE, lines)


def test_one_message_does_not_fill_the_screen():
    """
    Of thousands of lines the first are drawn, and the rest is counted; a program gets all of them.
    """
    message = said(*([""] * 8192))

    for drawn in (said_lines(message), [text.plain for text in said_texts(message)]):
        assert len(drawn) == LINES_SHOWN_MAX + 1
        assert f"{8192 - LINES_SHOWN_MAX} more lines" in drawn[-1]
    assert len(as_json(message)["lines"]) == 8192


def test_a_message_of_as_many_lines_as_are_drawn_is_whole():
    """
    The limit is met, not missed by one.
    """
    message = said(*([""] * LINES_SHOWN_MAX))

    assert len(said_lines(message)) == len(said_texts(message)) == LINES_SHOWN_MAX
