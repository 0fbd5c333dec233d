"""A conversation: joins what is typed, what peers say, and a node. Both faces of the chat sit on it.

Bounds:   ROOMS_MAX rooms; one announcement of ourselves per room and ANNOUNCE_PAUSE_S; SENDING_MAX files and
          direct messages on their way; what strangers make appear is bounded by ``calm``.
Trust:    authors of room messages are proven by their signature, those of direct messages by the connection.
          Everything else they say is made safe to show first.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError, PeerError, UnavailableError
from kontinuum.cli.chat import lines as typed
from kontinuum.cli.chat.calm import Calm
from kontinuum.cli.chat.files import ChatFiles
from kontinuum.cli.chat.lines import LineError
from kontinuum.cli.chat.people import People, Person
from kontinuum.cli.chat.safe import safe_line, safe_lines
from kontinuum.cli.chat.shown import Moved, Notice, Said, Warned
from kontinuum.cli.chat.wire import DIRECT_PROTOCOL, TOPIC_PREFIX, ChatMessage, Kind, decode, topic_of
from kontinuum.node.events import TopicJoined, TopicLeft
from kontinuum.rpc.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from kontinuum.cli.chat.shown import Show
    from kontinuum.gossip.events import Message
    from kontinuum.gossip.subscription import Subscription
    from kontinuum.identity import PeerId
    from kontinuum.node.node import Node

ROOMS_MAX = 32
"""Rooms at once. Our choice: what a person can follow."""

ANNOUNCE_PAUSE_S = 1.0
"""Seconds between two announcements of our name in one room, however many people come. Our choice."""

SENDING_MAX = 16
"""Files and direct messages on their way at once. Our choice."""

DIRECT_TIMEOUT_S = 10.0
"""Seconds until a direct message has failed. Our choice: as long as a dial."""

NO_MESSAGE, UNKNOWN_KIND, TOO_FAST = 100, 101, 102
"""What a chat answers to a call that it cannot show."""

_LATEST_NS = 253_370_764_800 * 10**9
"""The year 9999 begins. A time of an author is held to it, so that every time zone can show it."""


def time_of(seqno: int) -> datetime:
    """When a message was written, by its author: any number that it claims gives a time that can be shown."""
    return datetime.fromtimestamp(min(seqno, _LATEST_NS) / 1e9, tz=UTC)


class Conversation:
    """One chat of one person.

    Args:
        node: It runs; handlers are registered here.
        nick: What we want to be called.
        show: Given all that is to be seen.
        downloads: Where accepted files go.
        verified: Keys whose codes were compared in earlier chats.
        remember: Told the keys whose codes were compared, to be kept.
    """

    def __init__(
        self,
        node: Node,
        nick: str,
        *,
        show: Show,
        downloads: Path,
        verified: frozenset[PeerId] = frozenset(),
        remember: Callable[[list[PeerId]], None] = lambda _keys: None,
    ) -> None:
        self.people = People(node.peer_id, nick, verified, present=self._present)
        self.room: str | None = None
        """Where one speaks."""
        self._node = node
        self._show = show
        self._remember = remember
        self._nick = nick
        self._calm = Calm(
            show, self._draw, monotonic=node.clock.monotonic, later=asyncio.get_running_loop().call_later
        )
        self._files = ChatFiles(node, self.people, show, downloads)
        self._rooms: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}
        self._announcing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        node.handler(DIRECT_PROTOCOL)(self._on_direct)

    # --- life ---

    async def start(self, rooms: list[str]) -> None:
        """Enter the first rooms."""
        self._spawn(self._watch())
        self._spawn(self._files.serve())
        for room in rooms:
            self._join(room)

    async def close(self) -> None:
        """Leave everything."""
        self._calm.close()
        for subscription, _ in self._rooms.values():
            subscription.close()
        tasks = [*self._tasks, *(task for _, task in self._rooms.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def here(self, room: str) -> list[Person]:
        """Who is in a room, ourselves first."""
        peers = [self.people.hear(peer_id) for peer_id in self._node.topic_peers(topic_of(room))]
        return [self.people.me, *sorted(peers, key=lambda person: person.name)]

    async def enter(self, line: str) -> bool:
        """Do what was typed. Returns whether the chat goes on.

        Raises nothing: what cannot be done is shown.
        """
        try:
            return await self._do(typed.parse_line(line))
        except KontinuumError as error:
            self._show(Warned(safe_line(str(error))))
            return True

    async def _do(self, line: typed.Line) -> bool:  # noqa: C901, PLR0912 -- one case for each command
        match line:
            case typed.Say(text):
                await self._say(Kind.SAY, text)
            case typed.Act(text):
                await self._say(Kind.ACT, text)
            case typed.Join(room):
                self._join(room)
            case typed.Leave(room):
                await self._leave(room)
            case typed.Peers():
                self._show_people()
            case typed.Direct(name, text):
                self._later(self._direct(self.people.find(name), text))
            case typed.Nick(nick):
                self._nick = nick
                self.people.hear(self.people.me.peer_id, nick)
                self._show(Notice(f"you are {self.people.me.name} now"))
                for room in self._rooms:
                    self._announce(room)
            case typed.SendFile(name, path):
                self._later(self._files.send(self.people.find(name), path))
            case typed.Accept(name, yes):
                self._files.answer(None if name is None else self.people.find(name), yes=yes)
            case typed.Verify(name, confirmed):
                self._verify(self.people.find(name), confirmed=confirmed)
            case typed.Help():
                for text in typed.HELP.splitlines():
                    self._show(Notice(text))
            case typed.Quit():
                return False
        return True

    # --- rooms ---

    def _join(self, room: str) -> None:
        if room not in self._rooms:
            if len(self._rooms) >= ROOMS_MAX:
                raise LineError(f"{ROOMS_MAX} rooms are enough; /leave one")
            subscription = self._node.subscribe(topic_of(room), own=False)
            self._rooms[room] = (subscription, asyncio.create_task(self._follow(room, subscription)))
            self._show(Notice(f"you are in #{room} as {self.people.me.name}; /help shows what can be typed"))
            self._announce(room)
        self.room = room
        self._calm.moved()

    async def _leave(self, room: str | None) -> None:
        name = room or self.room
        if name is None or name not in self._rooms:
            raise LineError("you are in no room" if room is None else f"you are not in #{room}")
        subscription, task = self._rooms.pop(name)
        subscription.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._show(Notice(f"you have left #{name}"))
        if self.room == name:
            self.room = next(reversed(self._rooms), None)
        self._calm.moved()

    async def _follow(self, room: str, subscription: Subscription) -> None:
        async with subscription as messages:
            self._calm.moved()
            dropped = 0
            async for message in messages:
                if messages.dropped > dropped:
                    self._calm.news(Warned(f"{messages.dropped - dropped} messages in #{room} came too fast"))
                    dropped = messages.dropped
                with contextlib.suppress(PeerError):  # It is no message of a chat; others may use the topic.
                    self._on_message(room, message)

    def _on_message(self, room: str, message: Message) -> None:
        chat = decode(message.data)
        if chat is None:
            return
        before = self.people.hear(message.author)
        nick = before.nick
        author = self._hear(message.author, chat.nick)
        if chat.kind is Kind.HERE:
            if not nick and author.nick:
                self._calm.news(Notice(f"{author.name} is in #{room}"))
            return
        self._calm.said(
            Said(
                time_of(message.seqno), room, author, tuple(safe_lines(chat.text)), act=chat.kind is Kind.ACT
            )
        )

    def _hear(self, peer_id: PeerId, nick: str) -> Person:
        """Somebody says how it is called; shows when that is somebody else's name."""
        known = self.people.hear(peer_id)
        before = known.nick
        person = self.people.hear(peer_id, nick)
        if person.nick == before:
            return person
        self._calm.moved()
        if before:
            self._calm.news(Notice(f"{before}#{person.fingerprint} is called {person.name} now"))
        if person.mistaken_for is not None:
            other = self.people.hear(person.mistaken_for)
            self._calm.news(
                Warned(f"{person.name} is NOT {other.name}: the names look alike, the keys differ (/verify)")
            )
        return person

    async def _say(self, kind: Kind, text: str) -> None:
        if self.room is None:
            raise LineError("enter a room first: /join ROOM")
        message = ChatMessage(kind, text, self._nick)
        reached = await self._node.publish(topic_of(self.room), message.encode())
        now, lines = self._node.clock.utc(), tuple(safe_lines(text))
        self._show(Said(now, self.room, self.people.me, lines, act=kind is Kind.ACT))
        if not reached:
            self._show(Notice(f"nobody is in #{self.room} yet; whoever comes in a moment gets it"))

    def _announce(self, room: str) -> None:
        """Say our name in a room soon, once for all who have just come."""
        if room not in self._announcing:
            self._announcing.add(room)
            self._spawn(self._announce_soon(room))

    async def _announce_soon(self, room: str) -> None:
        await asyncio.sleep(ANNOUNCE_PAUSE_S)
        self._announcing.discard(room)
        if room in self._rooms:
            with contextlib.suppress(KontinuumError):
                await self._node.publish(topic_of(room), ChatMessage(Kind.HERE, "", self._nick).encode())

    async def _watch(self) -> None:
        async for event in self._node.events():
            if not isinstance(event, TopicJoined | TopicLeft) or not event.topic.startswith(TOPIC_PREFIX):
                continue
            room = event.topic.removeprefix(TOPIC_PREFIX)
            if room not in self._rooms:
                continue
            if isinstance(event, TopicJoined):
                self._announce(room)
            else:
                person = self.people.hear(event.peer_id)
                self._calm.news(Notice(f"{person.name} has left #{room}, or is offline"))
            self._calm.moved()

    def _present(self) -> list[PeerId]:
        """Who is in one of the rooms."""
        return [peer_id for room in self._rooms for peer_id in self._node.topic_peers(topic_of(room))]

    def _draw(self) -> None:
        here = 0 if self.room is None else len(self.here(self.room))
        self._show(Moved(self.room, here))

    def _show_people(self) -> None:
        if not self._rooms:
            raise LineError("you are in no room: /join ROOM")
        for room in self._rooms:
            self._show(Notice(f"in #{room}:"))
            for person in self.here(room):
                marks = " (you)" if person is self.people.me else " (verified)" if person.verified else ""
                if person.mistaken_for is not None:
                    marks += f" (NOT {self.people.hear(person.mistaken_for).name})"
                self._show(Notice(f"  {person.name}{marks}  {person.peer_id.hex()}"))

    # --- one person ---

    async def _direct(self, person: Person, text: str) -> None:
        if person is self.people.me:
            raise LineError("that is you")
        message = ChatMessage(Kind.SAY, text, self._nick)
        try:
            await self._node.call(person.peer_id, DIRECT_PROTOCOL, message.encode(), timeout=DIRECT_TIMEOUT_S)
        except UnavailableError as error:
            raise LineError(f"{person.name} is offline; nothing was said ({error})") from None
        lines = tuple(safe_lines(text))
        self._show(Said(self._node.clock.utc(), None, self.people.me, lines, to=person))

    def _on_direct(self, peer: PeerId, data: bytes) -> bytes:
        try:
            message = decode(data)
        except PeerError:
            raise CallError(NO_MESSAGE, "no message of a chat") from None
        if message is None or message.kind is Kind.HERE:
            raise CallError(UNKNOWN_KIND, "a kind of message that this chat does not know")
        author = self._hear(peer, message.nick)
        lines = tuple(safe_lines(message.text))
        said = Said(self._node.clock.utc(), None, author, lines, act=message.kind is Kind.ACT)
        if not self._calm.said(said):
            raise CallError(TOO_FAST, "too many messages; this one was not shown")
        return b""

    def _verify(self, person: Person, *, confirmed: bool) -> None:
        if person is self.people.me:
            raise LineError("you know yourself")
        if not confirmed:
            self._show(Notice(f"compare this with {person.name}, face to face or by voice:"))
            self._show(Notice(f"  {self.people.code(person)}"))
            self._show(Notice(f"if both see the same: /verify {person.name} ok"))
            return
        self.people.verify(person)
        self._remember(self.people.verified)
        self._show(Notice(f"{person.name} is verified"))
        self._calm.moved()

    # --- inside ---

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that waits for a peer, so that the person can go on typing."""
        if len(self._tasks) >= SENDING_MAX + ROOMS_MAX:
            work.close()
            raise LineError("too much is on its way already; wait a moment")
        self._spawn(self._shown(work))

    async def _shown(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except KontinuumError as error:
            self._show(Warned(safe_line(str(error))))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
