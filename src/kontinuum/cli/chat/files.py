"""Files in a chat: offered by one person to another, and taken only when that one says so.

Bounds:   OFFERS_MAX offers wait, each for ANSWER_S.
Trust:    names and sizes of an offer come from a peer; the room ``transfer`` keeps them in the directory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.cli.chat.lines import LineError
from kontinuum.cli.chat.safe import safe_line
from kontinuum.cli.chat.shown import Notice, Warned
from kontinuum.cli.output import size_text
from kontinuum.identity import PeerId
from kontinuum.node.files import NodeFiles
from kontinuum.transfer.digest import new_blake3
from kontinuum.transfer.incoming.policy import Accept, Refuse
from kontinuum.transfer.incoming.target import Target
from kontinuum.transfer.messages import Code, Offer
from kontinuum.transfer.outgoing.source import Source
from kontinuum.transfer.report import FileReport, code_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kontinuum.cli.chat.people import People, Person
    from kontinuum.cli.chat.shown import Show
    from kontinuum.node.node import Node

OFFERS_MAX = 8
"""Offers that wait for an answer; more are refused. Our choice: what a person can keep in mind."""

ANSWER_S = 25.0
"""Seconds until an offer that nobody answers is refused. Our choice: the sender's own patience is 30 s."""


class ChatFiles:
    """Files of one chat.

    Args:
        node: Its handler for files is registered here.
        people: Who is who.
        show: Told what happens.
        directory: Where files go; made when the first one is accepted.
    """

    def __init__(self, node: Node, people: People, show: Show, directory: Path) -> None:
        self._people = people
        self._show = show
        self._directory = directory
        self._files = NodeFiles(node)
        self._answers: dict[PeerId, asyncio.Future[bool]] = {}
        self._target: Target | None = None
        self._opening = asyncio.Lock()
        """Held while the target is made: two files that are accepted at once share one."""

    async def serve(self) -> None:
        """Ask the person about offers, until cancelled."""
        try:
            async with self._files.receiving(self._decide):
                await asyncio.get_running_loop().create_future()
        finally:
            if self._target is not None:
                self._target.close()

    def answer(self, person: Person | None, *, yes: bool) -> None:
        """The person at the keyboard decides about an offer.

        Raises:
            LineError: Nobody offers anything, or several do and none of them is named.
        """
        if person is None and len(self._answers) > 1:
            names = ", ".join(self._people.hear(peer_id).name for peer_id in self._answers)
            raise LineError(f"several offer files: {names}; name one: /accept NAME or /decline NAME")
        peer_id = person.peer_id if person is not None else next(iter(self._answers), None)
        answer = None if peer_id is None else self._answers.get(peer_id)
        if answer is None or answer.done():
            raise LineError("nobody offers a file" if person is None else f"{person.name} offers no file")
        answer.set_result(yes)

    async def send(self, person: Person, path: Path) -> None:
        """Offer a file, and send it if it is wanted."""
        source = await asyncio.to_thread(
            Source, path
        )  # What is wrong with the file is told before anybody is asked.
        name = safe_line(source.offer.name)
        self._show(Notice(f"{name} ({size_text(source.offer.size)}) is offered to {person.name}"))
        (report,) = await self._files.send(person.peer_id, [source])
        if report.outcome.code == Code.STORED:
            self._show(Notice(f"{person.name} has {name}, verified"))
        else:
            self._show(Warned(f"{person.name} did not take {name}: {code_text(report.outcome.code)}"))

    async def _decide(self, peer: bytes, offer: Offer) -> Accept | Refuse:
        peer_id = PeerId(peer)
        if len(self._answers) >= OFFERS_MAX or peer_id in self._answers:
            return Refuse(Code.BUSY)
        person = self._people.hear(peer_id)
        names = ", ".join(f"{safe_line(file.name)} ({size_text(file.size)})" for file in offer.files[:4])
        more = f" and {len(offer.files) - 4} more" if len(offer.files) > 4 else ""
        self._show(Warned(f"{person.name} offers {names}{more}: /accept or /decline"))
        answer = self._answers[peer_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                accepted = await answer
        except TimeoutError:
            self._show(Notice(f"the offer of {person.name} has lapsed"))
            accepted = False
        finally:
            del self._answers[peer_id]
        if not accepted:
            return Refuse(Code.REFUSED)
        try:
            target = await self._open()
        except (KontinuumError, OSError) as error:  # Such as a file where the directory should be.
            self._show(Warned(f"no file can be stored in {self._directory}: {safe_line(str(error))}"))
            return Refuse(Code.REFUSED)

        def ended(reports: Sequence[FileReport], error: KontinuumError | None) -> None:
            for report in reports:
                if report.outcome.code == Code.STORED:
                    self._show(Notice(f"{safe_line(report.name)} is in {self._directory}, verified"))
                else:
                    self._show(Warned(f"{safe_line(report.name)}: {code_text(report.outcome.code)}"))
            if error is not None:
                self._show(Warned(f"the files of {person.name}: {safe_line(str(error))}"))

        return Accept(target, on_end=ended)

    async def _open(self) -> Target:
        async with self._opening:
            if self._target is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._target = await asyncio.to_thread(Target, self._directory.absolute(), new_blake3)
            return self._target
