"""How much of what strangers do is shown."""

from datetime import UTC, datetime

import pytest

from kontinuum.cli.chat.calm import DRAW_S, NEWS_MAX, NEWS_S, WORDS_MAX, WORDS_S, Calm
from kontinuum.cli.chat.people import People
from kontinuum.cli.chat.shown import Notice, Said
from kontinuum.identity import KeyPair

PEOPLE = People(KeyPair.from_seed(bytes(32)).peer_id, "me")
ALICE, BOB = (PEOPLE.hear(KeyPair.from_seed(bytes([seed]) * 32).peer_id, f"n{seed}") for seed in (1, 2))


class Timers:
    """A clock that is set by hand, and what waits for it."""

    def __init__(self):
        self.now = 100.0
        self.waiting = []

    def later(self, seconds, call):
        """Wait for the clock."""
        self.waiting.append((self.now + seconds, call))
        return self

    def cancel(self):
        """Nothing waits any more."""
        self.waiting = []

    def move(self, seconds):
        """Let time pass."""
        self.now += seconds
        due = [call for at, call in self.waiting if at <= self.now]
        self.waiting = [each for each in self.waiting if each[0] > self.now]
        for call in due:
            call()


class Seen:
    """What is shown, and how often the people are drawn."""

    def __init__(self):
        self.timers = Timers()
        self.shown = []
        self.drawn = 0
        self.calm = Calm(
            self.shown.append, self.draw, monotonic=lambda: self.timers.now, later=self.timers.later
        )

    def draw(self):
        """Count."""
        self.drawn += 1


@pytest.fixture
def seen():
    """A screen."""
    return Seen()


def words(author):
    """Somebody's words."""
    return Said(datetime(2026, 1, 1, tzinfo=UTC), "dev", author, ("hello",))


def test_a_crowd_of_names_is_a_few_notices_and_a_number(seen):
    """
    However many keys come or change their names, in one second.
    """
    for number in range(1000):
        seen.calm.news(Notice(f"n{number} is in #dev"))
    assert len(seen.shown) == NEWS_MAX

    seen.timers.move(NEWS_S)
    assert [notice.text for notice in seen.shown[NEWS_MAX:]] == [
        f"too fast to be shown: {1000 - NEWS_MAX} notices about names and comings"
    ]
    seen.calm.news(Notice("bob is in #dev"))
    assert seen.shown[-1] == Notice("bob is in #dev")


def test_one_who_never_stops_is_held_back_and_nobody_else(seen):
    """
    The rest of its words is counted; those of others are shown, and its own again after a while.
    """
    shown = [seen.calm.said(words(ALICE)) for _ in range(WORDS_MAX + 7)]
    assert shown == [True] * WORDS_MAX + [False] * 7
    assert seen.calm.said(words(BOB))

    seen.timers.move(NEWS_S)
    assert seen.shown[-1].text.endswith(f": 7 messages of {ALICE.name}")
    seen.timers.move(WORDS_S)
    assert seen.calm.said(words(ALICE))


def test_people_are_drawn_at_once_and_then_not_too_often(seen):
    """
    Many changes are one drawing, and the last one is never missed.
    """
    seen.calm.moved()
    assert seen.drawn == 1
    for _ in range(1000):
        seen.calm.moved()
    assert seen.drawn == 1

    seen.timers.move(DRAW_S)
    assert seen.drawn == 2
    seen.timers.move(DRAW_S)
    assert seen.drawn == 2


def test_nothing_is_shown_after_the_end(seen):
    """
    The screen is gone by then.
    """
    for _ in range(NEWS_MAX + 1):
        seen.calm.news(Notice("x"))
    seen.calm.close()
    seen.timers.move(NEWS_S)

    assert len(seen.shown) == NEWS_MAX
