"""The receiving side of one session: judge the offer, take the content, verify, give the verdict.

Source:  our own protocol, ``docs/protocols/file.md``.
Bounds:  FILES_MAX files; one partial file open; UNKNOWN_MESSAGES_MAX messages skipped; IDLE_TIMEOUT_S without
         progress. Content is taken only for an accepted file and never beyond the size that was offered.
Trust:   the sender is hostile input. Names are checked before anything else sees them.
Pure:    no I/O, clock or randomness. Driven by ``kontinuum.transfer.incoming.service``.
"""

from dataclasses import dataclass
from enum import Enum, auto

from kontinuum.transfer.errors import BadFileNameError, TransferProtocolError
from kontinuum.transfer.events import (
    HASH_BYTES_PER_S_MIN,
    IDLE_TIMEOUT_S,
    UNKNOWN_MESSAGES_MAX,
    ClosePart,
    Decide,
    Decided,
    Finalise,
    Finalised,
    Finished,
    Interrupted,
    Moved,
    OpenPart,
    Outcome,
    PartFailed,
    Received,
    ReceiverEffect,
    ReceiverEvent,
    Send,
    StreamEnded,
    TakeContent,
)
from kontinuum.transfer.messages import (
    Abort,
    Answer,
    Answers,
    Begin,
    Chunk,
    Code,
    End,
    FileOffer,
    Offer,
    Unknown,
    Verdict,
)
from kontinuum.transfer.names import collision_key, verify_file_name


class State(Enum):
    """Where the session stands."""

    NEW = auto()
    """No offer yet."""
    DECIDING = auto()
    """Policy and disk are being asked."""
    READY = auto()
    """The answers are sent; no file is on the way."""
    TAKING = auto()
    """Content of one file is being stored."""
    SKIPPING = auto()
    """We gave the current file up; its content is thrown away until the sender notices."""
    FINALISING = auto()
    """The current file is being verified and moved into place."""
    OVER = auto()
    """Nothing more will happen."""


@dataclass(slots=True)
class _File:
    offer: FileOffer
    answer: Answer
    outcome: Outcome


class Receiver:
    """One session as its receiver sees it.

    Call :meth:`handle` for each event and :meth:`handle_timeout` at or after :meth:`next_deadline`. Perform
    effects in order. :meth:`handle` may raise :class:`TransferProtocolError`; the machine is then over,
    an open part is to be closed and the stream to be reset.
    """

    def __init__(self, now: float) -> None:
        self.state = State.NEW
        self._files: list[_File] = []
        self._offer = Offer(())
        self._current = -1
        self._offset = 0
        self._remaining = 0
        self._unknown = 0
        self._deadline = now + IDLE_TIMEOUT_S

    @property
    def offer(self) -> Offer:
        """What was offered; empty before the offer came."""
        return self._offer

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One outcome for each file of the offer; ``CANCELLED`` for one that was not completed."""
        return tuple(file.outcome for file in self._files)

    @property
    def current(self) -> int:
        """Index of the file that is on the way, or was last; -1 before the first."""
        return self._current

    def handle(self, event: ReceiverEvent, now: float) -> list[ReceiverEffect]:
        """Take one event; return what to do about it, in order."""
        if self.state is State.OVER:
            return []
        effects = self._record(event)
        # The sender may have to hash all that we hold before its next message.
        held = sum(file.answer.offset for file in self._files[self._current + 1 :])
        self._deadline = now + IDLE_TIMEOUT_S + held / HASH_BYTES_PER_S_MIN
        return effects

    def handle_timeout(self, now: float) -> list[ReceiverEffect]:
        """End the session when nothing moved for too long. While we decide or verify, nobody is late."""
        if self.next_deadline() is None or now < self._deadline:
            return []
        return self._interrupt("the sender stood still for too long")

    def next_deadline(self) -> float | None:
        """When the session is given up, unless something moves before."""
        if self.state in (State.DECIDING, State.FINALISING, State.OVER):
            return None
        return self._deadline

    def _record(self, event: ReceiverEvent) -> list[ReceiverEffect]:
        match event:
            case Received(message=message):
                return self._record_message(message)
            case Decided(answers=answers):
                return self._record_decision(answers)
            case PartFailed(index=index, code=code):
                return self._give_up(index, code)
            case Finalised(index=index, code=code):
                return self._record_final(index, code)
            case StreamEnded(reason=reason):
                return self._record_end(reason)
            case Moved():
                return []

    def _record_message(self, message: object) -> list[ReceiverEffect]:  # noqa: C901, PLR0911 -- a table
        match message, self.state:
            case Offer(), State.NEW:
                self._offer = message
                self.state = State.DECIDING
                return [Decide(message, _problems(message))]
            case Begin(index=index, offset=offset), State.READY:
                return self._begin(index, offset)
            case Chunk(length=length), State.TAKING | State.SKIPPING:
                if length > self._remaining:
                    raise self._broken("more content than was offered")
                self._remaining -= length
                return [TakeContent(length, keep=self.state is State.TAKING)]
            case End(digest=digest), State.TAKING:
                if self._remaining:
                    raise self._broken("the content ended early")
                self.state = State.FINALISING
                file = self._files[self._current]
                file.outcome = Outcome(Code.CANCELLED, self._offset, digest)
                return [Finalise(self._current, digest)]
            case End(), State.SKIPPING:
                self.state = State.READY
                return []
            case Abort(index=index, code=code), State.READY | State.TAKING | State.SKIPPING:
                return self._abort(index, code)
            case Unknown(), _:
                self._unknown += 1
                if self._unknown > UNKNOWN_MESSAGES_MAX:
                    raise self._broken("too many messages of unknown kind")
                return []
            case _:
                raise self._broken(f"{type(message).__name__} came when nobody expected it")

    def _record_decision(self, answers: tuple[Answer, ...]) -> list[ReceiverEffect]:
        if self.state is not State.DECIDING:
            return []
        self._files = [
            _File(file, answer, Outcome(answer.code or Code.CANCELLED))
            for file, answer in zip(self._offer.files, answers, strict=True)
        ]
        if all(answer.code != Code.STORED for answer in answers):
            self.state = State.OVER
            return [Send(Answers(answers)), Finished()]
        self.state = State.READY
        return [Send(Answers(answers))]

    def _begin(self, index: int, offset: int) -> list[ReceiverEffect]:
        self._take_turn(index)
        file = self._files[index]
        if offset not in (0, file.answer.offset):
            raise self._broken("the content begins somewhere else than we said")
        self.state = State.TAKING
        self._offset = offset
        self._remaining = file.offer.size - offset
        return [OpenPart(index, file.offer, offset)]

    def _take_turn(self, index: int) -> None:
        # Turns only go up, so no file of an offer can be sent twice.
        if not self._current < index < len(self._files) or self._files[index].answer.code != Code.STORED:
            raise self._broken("a file that we did not ask for, or not now")
        self._current = index

    def _give_up(self, index: int, code: int) -> list[ReceiverEffect]:
        if self.state is not State.TAKING or index != self._current:
            return []
        self._files[index].outcome = Outcome(code, self._offset)
        self.state = State.SKIPPING
        return [ClosePart(index), Send(Verdict(index, code))]

    def _abort(self, index: int, code: int) -> list[ReceiverEffect]:
        if self.state is State.READY:
            self._take_turn(index)
            self._files[index].outcome = Outcome(code or Code.CANCELLED)
            return []
        if index != self._current:
            raise self._broken("the end of another file than the one on the way")
        skipping = self.state is State.SKIPPING
        self.state = State.READY
        if skipping:
            return []
        self._files[index].outcome = Outcome(code or Code.CANCELLED, self._offset)
        return [ClosePart(index)]

    def _record_final(self, index: int, code: int) -> list[ReceiverEffect]:
        file = self._files[index]
        digest = file.outcome.digest if code == Code.STORED else b""
        file.outcome = Outcome(code, self._offset, digest)
        self.state = State.READY
        return [Send(Verdict(index, code))]

    def _record_end(self, reason: str) -> list[ReceiverEffect]:
        left = any(file.answer.code == Code.STORED for file in self._files[self._current + 1 :])
        # A sender that has its verdicts may leave at once: how the stream ends then does not matter.
        if left or self.state is not State.READY:
            return self._interrupt(reason or "the sender ended the session early")
        self.state = State.OVER
        return [Finished()]

    def _interrupt(self, reason: str) -> list[ReceiverEffect]:
        open_part = self.state is State.TAKING
        self.state = State.OVER
        closing: list[ReceiverEffect] = [ClosePart(self._current)] if open_part else []
        return [*closing, Interrupted(reason)]

    def _broken(self, reason: str) -> TransferProtocolError:
        self.state = State.OVER
        return TransferProtocolError(reason)


def _problems(offer: Offer) -> tuple[int, ...]:
    """Return for each file ``0``, or ``BAD_NAME`` for a bad name or one that an earlier file has taken."""
    problems: list[int] = []
    taken: set[str] = set()
    for file in offer.files:
        try:
            key = collision_key(verify_file_name(file.name))
        except BadFileNameError:
            problems.append(Code.BAD_NAME)
            continue
        problems.append(Code.BAD_NAME if key in taken else Code.STORED)
        taken.add(key)
    return tuple(problems)
