"""What a person typed: words for the room, or a command.

Bounds:   LINE_CHARACTERS_MAX.
Trust:    whoever sits at the keyboard.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.cli.chat.safe import NICK_CHARACTERS_MAX, safe_nick
from kontinuum.cli.chat.wire import ROOM_BYTES_MAX, TEXT_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{ROOM_BYTES_MAX - 1}}}")
"""Names of rooms: what everybody can type, and two of which do not look alike."""


class LineError(MisuseError):
    """What was typed cannot be done; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Say:
    """Words for the room."""

    text: str


@dataclass(frozen=True, slots=True)
class Act:
    """``/me``: what the person does."""

    text: str


@dataclass(frozen=True, slots=True)
class Join:
    """``/join``: enter a room, and speak there from now on."""

    room: str


@dataclass(frozen=True, slots=True)
class Leave:
    """``/leave``: leave a room, the present one if none is named."""

    room: str | None


@dataclass(frozen=True, slots=True)
class Peers:
    """``/peers``: who is here."""


@dataclass(frozen=True, slots=True)
class Direct:
    """``/dm``: words for one person alone."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Nick:
    """``/nick``: be called something else."""

    nick: str


@dataclass(frozen=True, slots=True)
class SendFile:
    """``/send``: offer a file to one person."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Accept:
    """``/accept``: take the file that somebody offers; a name is needed only while several do."""

    name: str | None
    yes: bool = True


@dataclass(frozen=True, slots=True)
class Verify:
    """``/verify``: show the code to compare with somebody, or say that it was compared."""

    name: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Quit:
    """``/quit``."""


@dataclass(frozen=True, slots=True)
class Help:
    """``/help``."""


Line = Say | Act | Join | Leave | Peers | Direct | Nick | SendFile | Accept | Verify | Quit | Help

HELP = """\
/join ROOM            enter a room and speak there     /leave [ROOM]   leave it
/peers                who is here                      /nick NAME      be called that
/dm NAME WORDS        words for one person alone       /me WORDS       say what you do
/send NAME FILE       offer a file                     /accept [NAME]  take one, /decline refuses
/verify NAME          a code to compare aloud; /verify NAME ok when it was the same
/quit                 leave                            //words         say something that begins with /"""
"""What ``/help`` shows."""


def parse_line(typed: str) -> Line:
    """Return what was typed.

    Raises:
        LineError: It cannot be done; the text says what to type instead.
    """
    text = typed.strip("\n")
    if not text.strip():
        raise LineError("nothing was typed")
    if len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise LineError(f"that is longer than {TEXT_BYTES_MAX} bytes; send it as a file: /send NAME FILE")
    if not text.startswith("/"):
        return Say(text)
    if text.startswith("//"):
        return Say(text[1:])
    command, _, rest = text[1:].partition(" ")
    rest = rest.strip()
    if (parse := _COMMANDS.get(command)) is None:
        near = difflib.get_close_matches(command, _COMMANDS, n=1)
        raise LineError(
            f"there is no /{command}" + (f"; did you mean /{near[0]}?" if near else "; see /help")
        )
    return parse(rest)


def room_name(text: str) -> str:
    """Return a room's name.

    Raises:
        LineError: It is none.
    """
    name = text.strip().removeprefix("#").lower()
    if not ROOM.fullmatch(name):
        raise LineError(f"a room is named by 1 to {ROOM_BYTES_MAX} of a-z, 0-9, dot, dash and underscore")
    return name


def nickname(text: str) -> str:
    """Return a nickname of one's own.

    Raises:
        LineError: It is none.
    """
    if not text or safe_nick(text) != text:
        raise LineError(f"a name has 1 to {NICK_CHARACTERS_MAX} visible characters, no spaces, #, < or >")
    return text


def _two(rest: str, usage: str) -> tuple[str, str]:
    first, _, second = rest.partition(" ")
    if not first or not second.strip():
        raise LineError(f"type {usage}")
    return first, second.strip()


def _direct(rest: str) -> Line:
    return Direct(*_two(rest, "/dm NAME WORDS"))


def _send(rest: str) -> Line:
    name, path = _two(rest, "/send NAME FILE")
    try:
        return SendFile(name, Path(path).expanduser().absolute())
    except RuntimeError as error:  # ~somebody, who has no home here.
        raise LineError(f"{path}: {error}") from None


def _act(rest: str) -> Line:
    if not rest:
        raise LineError("type /me WORDS")
    return Act(rest)


def _verify(rest: str) -> Line:
    name, _, word = rest.partition(" ")
    if not name or word.strip() not in ("", "ok"):
        raise LineError("type /verify NAME, compare the code, then /verify NAME ok")
    return Verify(name, confirmed=bool(word.strip()))


_COMMANDS: dict[str, Callable[[str], Line]] = {
    "join": lambda rest: Join(room_name(rest)),
    "leave": lambda rest: Leave(room_name(rest) if rest else None),
    "peers": lambda _rest: Peers(),
    "dm": _direct,
    "nick": lambda rest: Nick(nickname(rest)),
    "me": _act,
    "send": _send,
    "accept": lambda rest: Accept(rest or None),
    "decline": lambda rest: Accept(rest or None, yes=False),
    "verify": _verify,
    "quit": lambda _rest: Quit(),
    "help": lambda _rest: Help(),
}
