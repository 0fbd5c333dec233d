"""How much of what strangers do is shown: a crowd, or one who never stops, must not drown a conversation.

Bounds:   NEWS_MAX notices in NEWS_S, WORDS_MAX messages of one author in WORDS_S, one drawing in DRAW_S. What
          is left out is counted, in one notice.
Trust:    authors are proven keys; keys cost nothing, so what bounds names and comings is one bound for all.
Pure:     no I/O, clock or randomness; a timer is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kontinuum.cli.chat.people import PEOPLE_MAX
from kontinuum.cli.chat.shown import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.cli.chat.people import Person
    from kontinuum.cli.chat.shown import Said, Show, Warned
    from kontinuum.identity import PeerId

NEWS_MAX, NEWS_S = 5, 1.0
"""Notices about names and comings that are shown, of everybody together, in so many seconds. Our choice: what
can be read."""

WORDS_MAX, WORDS_S = 20, 10.0
"""Messages of one author that are shown, in so many seconds. Our choice: nobody types faster."""

DRAW_S = 0.1
"""Seconds between two drawings of who is here. Our choice: what an eye follows."""


class Timer(Protocol):
    """What a timer gives: a way to stop it."""

    def cancel(self) -> None:
        """Call nothing any more."""


class Quota:
    """So many in a span of time.

    Args:
        most: How many.
        span: The seconds.
    """

    def __init__(self, most: int, span: float) -> None:
        self._most = most
        self._span = span
        self._since = float("-inf")
        self._taken = 0

    def take(self, now: float) -> bool:
        """Take one, unless all are taken."""
        if now >= self._since + self._span:
            self._since, self._taken = now, 0
        if self._taken >= self._most:
            return False
        self._taken += 1
        return True


class Calm:
    """What stands between strangers and a screen.

    Args:
        show: Told what is to be seen.
        draw: Draws who is here.
        monotonic: The time in seconds.
        later: Calls a function after so many seconds.
    """

    def __init__(
        self,
        show: Show,
        draw: Callable[[], None],
        *,
        monotonic: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._show = show
        self._draw = draw
        self._monotonic = monotonic
        self._later = later
        self._news = Quota(NEWS_MAX, NEWS_S)
        self._words: dict[PeerId, Quota] = {}
        self._news_left = 0
        self._words_left: dict[str, int] = {}
        self._telling: Timer | None = None
        self._drawing: Timer | None = None
        self._drawn = float("-inf")

    def news(self, shown: Notice | Warned) -> None:
        """Somebody comes, goes, or is called something else."""
        if self._news.take(self._monotonic()):
            self._show(shown)
        else:
            self._news_left += 1
            self._tell_soon()

    def said(self, said: Said) -> bool:
        """Somebody says something. Returns whether it is shown."""
        if self._words_of(said.author).take(self._monotonic()):
            self._show(said)
            return True
        name = said.author.name
        if name in self._words_left or len(self._words_left) < PEOPLE_MAX:
            self._words_left[name] = self._words_left.get(name, 0) + 1
        self._tell_soon()
        return False

    def moved(self) -> None:
        """The room or its people changed: draw them, now or as soon as the last drawing is old enough."""
        if self._drawing is not None:
            return
        wait = self._drawn + DRAW_S - self._monotonic()
        if wait <= 0:
            self._draw_now()
        else:
            self._drawing = self._later(wait, self._draw_now)

    def close(self) -> None:
        """Show nothing more of its own accord."""
        for timer in (self._telling, self._drawing):
            if timer is not None:
                timer.cancel()

    def _words_of(self, author: Person) -> Quota:
        quota = self._words.pop(author.peer_id, None) or Quota(WORDS_MAX, WORDS_S)
        if len(self._words) >= PEOPLE_MAX:
            del self._words[next(iter(self._words))]
        self._words[author.peer_id] = quota  # Behind the others: spoke the latest.
        return quota

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = self._later(NEWS_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        news, words = self._news_left, self._words_left
        self._news_left, self._words_left = 0, {}
        parts = [f"{news} notices about names and comings"] if news else []
        if words:
            who = next(iter(words)) if len(words) == 1 else f"{len(words)} people"
            parts.append(f"{sum(words.values())} messages of {who}")
        self._show(Notice(f"too fast to be shown: {', '.join(parts)}"))

    def _draw_now(self) -> None:
        self._drawing, self._drawn = None, self._monotonic()
        self._draw()
