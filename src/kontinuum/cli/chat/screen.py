"""The chat on a full screen: what was said, a line to type in, and who is here.

Bounds:   SCROLL_LINES_MAX lines can be scrolled back to.
Trust:    what is drawn was made safe to show; it is drawn as text, never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.widgets import RichLog, Static, TextArea

from kontinuum.cli.chat.safe import few_lines
from kontinuum.cli.chat.shown import Moved, Notice, Said, Warned

if TYPE_CHECKING:
    from textual.events import Key

    from kontinuum.cli.chat.conversation import Conversation
    from kontinuum.cli.chat.people import Person
    from kontinuum.cli.chat.shown import Shown

SCROLL_LINES_MAX = 5000
"""Lines that can be scrolled back to. Our choice: an evening."""

TIME_COLUMNS = 6
"""Columns of a time and the space behind it, which no words reach."""

HISTORY_MAX = 200
"""Typed lines that the up key brings back. Our choice."""


class Composer(TextArea):
    """Where one types: Enter sends, Ctrl-J or a paste makes more lines, Up brings back what was typed."""

    class Entered(Message):
        """Something was typed to its end."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(soft_wrap=True, show_line_numbers=False, tab_behavior="focus")
        self._history: list[str] = []
        self._back = 0

    async def _on_key(self, event: Key) -> None:
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            if self.text.strip():
                self._history = [*self._history[-HISTORY_MAX + 1 :], self.text]
                self.post_message(self.Entered(self.text))
            self._back = 0
            self.text = ""
        elif event.key == "ctrl+j":
            event.prevent_default()
            event.stop()
            self.insert("\n")
        elif event.key in ("up", "down") and "\n" not in self.text:
            event.prevent_default()
            event.stop()
            self._recall(1 if event.key == "up" else -1)
        else:
            await super()._on_key(event)

    def _recall(self, step: int) -> None:
        self._back = min(max(self._back + step, 0), len(self._history))
        self.text = self._history[-self._back] if self._back else ""
        self.move_cursor(self.document.end)


class ChatScreen(App[None]):
    """The whole screen.

    Args:
        hint: A line above the first words, such as how others get here.
    """

    CSS = """
    Screen { layout: grid; grid-size: 2 3; grid-columns: 1fr 26; grid-rows: 1 1fr auto; }
    #head { column-span: 2; background: $primary-background; color: $text; padding: 0 1; }
    #said { padding: 0 1; scrollbar-size-vertical: 1; }
    #people { border-left: solid $primary-background; padding: 0 1; overflow-y: auto; }
    Composer { column-span: 2; height: auto; min-height: 3; max-height: 10; }
    """
    BINDINGS: ClassVar = [
        Binding("ctrl+c,ctrl+q", "quit", "leave", priority=True),
        Binding("pageup", "scroll(-1)", "earlier", priority=True),
        Binding("pagedown", "scroll(1)", "later", priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "kontinuum chat"

    def __init__(self, hint: str) -> None:
        super().__init__()
        self.conversation: Conversation | None = None
        self._hint = hint
        self._waiting: list[Shown] = []
        self._drawn = False

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static("kontinuum chat", id="head", markup=False)
        yield RichLog(id="said", max_lines=SCROLL_LINES_MAX, wrap=True, markup=False, highlight=False)
        yield Static("", id="people", markup=False)
        yield Composer()

    def on_mount(self) -> None:
        """Show what happened before there was a screen."""
        self.query_one(Composer).focus()
        if self._hint:
            self._write(Text(self._hint, style="dim"))
        self._drawn = True
        waiting, self._waiting = self._waiting, []
        for shown in waiting:
            self.show(shown)

    async def on_composer_entered(self, event: Composer.Entered) -> None:
        """Do what was typed."""
        if self.conversation is not None and not await self.conversation.enter(event.text):
            self.exit()

    def action_scroll(self, pages: int) -> None:
        """Look at what was said earlier, or later."""
        log = self.query_one("#said", RichLog)
        (log.scroll_page_up if pages < 0 else log.scroll_page_down)(animate=False)

    def show(self, shown: Shown) -> None:
        """Draw what happened; before the screen is there, it waits."""
        if not self._drawn:
            self._waiting.append(shown)
            return
        match shown:
            case Said():
                for line in said_texts(shown):
                    self._write(hanging(line))
            case Notice(text):
                self._write(Text(f"  {text}", style="dim"))
            case Warned(text):
                self._write(Text(f"! {text}", style="bold #f76b15"))
            case Moved(room, here):
                self._draw_head(room, here)

    def _write(self, text: Text | Table) -> None:
        log = self.query_one("#said", RichLog)
        log.write(text, scroll_end=log.is_vertical_scroll_end)

    def _draw_head(self, room: str | None, here: int) -> None:
        chat = self.conversation
        if chat is None:
            return
        where = "no room; /join ROOM" if room is None else f"#{room}, {here} here"
        self.query_one("#head", Static).update(Text(f"kontinuum chat   {where}   {chat.people.me.name}"))
        people = Text()
        for person in [] if room is None else chat.here(room):
            people.append_text(name_text(person))
            people.append("\n")
        self.query_one("#people", Static).update(people)


def name_text(person: Person) -> Text:
    """Return a name in the colour of its key, with the digits of the key, and a mark."""
    text = Text()
    text.append(person.nick or "someone", style=f"bold {person.colour}")
    text.append(f"#{person.fingerprint}", style="dim")
    if person.verified:
        text.append(" ✓", style="#5bb318")
    if person.mistaken_for is not None:
        text.append(" ≠", style="bold #e5484d")
    return text


def hanging(line: Text) -> Table:
    """Return ``line`` so that what is wrapped stands below it, indented: no words begin where a time does."""
    first, rest = line[:TIME_COLUMNS], line[TIME_COLUMNS:]
    table = Table.grid(padding=0)
    table.add_column(width=TIME_COLUMNS, no_wrap=True)
    table.add_column()
    table.add_row(first, rest)
    return table


def said_texts(said: Said) -> list[Text]:
    """Return what somebody said, ready to be drawn: the author in front of the first line."""
    head = Text()
    head.append(f"{said.at.astimezone():%H:%M} ", style="dim")
    if said.room is None:
        head.append("direct " if said.to is None else f"to {said.to.name} ", style="bold reverse")
    if said.act:
        head.append("* ")
    head.append_text(name_text(said.author))
    head.append(f" {said.lines[0]}" if said.act else f": {said.lines[0]}")
    return [head, *(Text(f"      {line}") for line in few_lines(said.lines)[1:])]
