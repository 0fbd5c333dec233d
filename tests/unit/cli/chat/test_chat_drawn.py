"""How what was said is drawn, on a screen and as lines."""

from datetime import UTC, datetime

from rich.console import Console

from kontinuum.cli.chat.people import People
from kontinuum.cli.chat.plain import as_json, said_lines
from kontinuum.cli.chat.safe import LINES_SHOWN_MAX
from kontinuum.cli.chat.screen import hanging, said_texts
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


def test_what_is_wrapped_does_not_begin_where_a_speaker_does():
    """
    Padding brings the words of one to the left edge, where they would look like those of another.
    """
    console = Console(width=40, no_color=True)
    with console.capture() as drawn:
        for text in said_texts(said("x " * 60 + "12:00 bob#12345678: hello")):
            console.print(hanging(text))
    first, *more = drawn.get().splitlines()

    assert first[0].isdigit()
    assert more
    assert all(line.startswith(" " * 6) for line in more)
