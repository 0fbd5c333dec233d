"""The sending side of one session: offer, wait for the answers, send what is wanted, collect the verdicts.

Source:  our own protocol, ``docs/protocols/file.md``.
Bounds:  FILES_MAX files; one file's content in flight; UNKNOWN_MESSAGES_MAX messages skipped; IDLE_TIMEOUT_S
         without progress.
Trust:   the receiver is hostile input: it cannot make us send a file that was not offered, twice, or from an
         offset beyond its end, nor wait for ever.
Pure:    no I/O, clock or randomness. Driven by ``kontinuum.transfer.outgoing.service``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from kontinuum.transfer.errors import TransferProtocolError
from kontinuum.transfer.events import (
    HASH_BYTES_PER_S_MIN,
    IDLE_TIMEOUT_S,
    UNKNOWN_MESSAGES_MAX,
    ContentEnded,
    ContentFailed,
    Finished,
    HashPrefix,
    Interrupted,
    Moved,
    Outcome,
    PrefixHashed,
    Received,
    Send,
    SendContent,
    SenderEffect,
    SenderEvent,
    StopContent,
    StreamEnded,
)
from kontinuum.transfer.messages import (
    Abort,
    Answer,
    Answers,
    Begin,
    Code,
    End,
    FileOffer,
    Offer,
    Unknown,
    Verdict,
)


class State(Enum):
    """Where one file of the offer stands."""

    OFFERED = auto()
    """No answer yet."""
    ACCEPTED = auto()
    """Wanted; its turn has not come."""
    HASHING = auto()
    """We check whether what the receiver holds is the beginning of our file."""
    SENDING = auto()
    """Its content is on the way."""
    STOPPING = auto()
    """The receiver gave it up while it was on the way; the content stops at the next chunk border."""
    SENT = auto()
    """All is sent; the verdict is missing."""
    DONE = auto()
    """Its outcome is known."""


@dataclass(slots=True)
class _File:
    offer: FileOffer
    state: State = State.OFFERED
    answer: Answer = field(default_factory=lambda: Answer(Code.STORED))
    resumed_from: int = 0
    digest: bytes = b""
    judged: bool = False
    outcome: Outcome = field(default_factory=lambda: Outcome(Code.CANCELLED))


class Sender:
    """One session as its sender sees it.

    Call :meth:`start` once, then :meth:`handle` for each event and :meth:`handle_timeout` at or after
    :meth:`next_deadline`. Perform effects in order. Each method may raise :class:`TransferProtocolError`;
    the machine is then over and the stream is to be reset.
    """

    def __init__(self, files: Sequence[FileOffer]) -> None:
        self._files = [_File(file) for file in files]
        self._current: _File | None = None
        self._over = False
        self._unknown = 0
        self._deadline: float | None = None

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One outcome for each file of the offer; ``CANCELLED`` for one that was not reached."""
        return tuple(file.outcome for file in self._files)

    def start(self, now: float) -> list[SenderEffect]:
        """Return the offer to send."""
        self._deadline = now + IDLE_TIMEOUT_S + self._bytes_total() / HASH_BYTES_PER_S_MIN
        return [Send(Offer(tuple(file.offer for file in self._files)))]

    def handle(self, event: SenderEvent, now: float) -> list[SenderEffect]:
        """Take one event; return what to do about it, in order."""
        if self._over:
            return []
        effects = self._record(event)
        effects += self._advance()
        self._rearm(now)
        return effects

    def handle_timeout(self, now: float) -> list[SenderEffect]:
        """End the session when nothing moved for too long."""
        if self._over or self._deadline is None or now < self._deadline:
            return []
        return self._interrupt("the receiver stood still for too long")

    def next_deadline(self) -> float | None:
        """When the session is given up, unless something moves before."""
        return None if self._over else self._deadline

    def _bytes_total(self) -> int:
        return sum(file.offer.size for file in self._files)

    def _rearm(self, now: float) -> None:
        sizes = sum(file.offer.size for file in self._files if file.state in (State.SENT, State.HASHING))
        self._deadline = now + IDLE_TIMEOUT_S + sizes / HASH_BYTES_PER_S_MIN

    def _record(self, event: SenderEvent) -> list[SenderEffect]:
        match event:
            case Received(message=message):
                return self._record_message(message)
            case StreamEnded(reason=reason):
                return self._interrupt(reason or "the receiver ended the session early")
            case PrefixHashed(index=index, digest=digest, code=code):
                return self._record_prefix(index, digest, code)
            case ContentEnded(index=index, digest=digest):
                return self._record_content(index, digest)
            case ContentFailed(index=index, code=code):
                return self._record_failure(index, code)
            case Moved():
                return []

    def _record_message(self, message: object) -> list[SenderEffect]:
        match message:
            case Answers(answers=answers):
                self._record_answers(answers)
                return []
            case Verdict(index=index, code=code):
                return self._record_verdict(index, code)
            case Unknown():
                self._unknown += 1
                if self._unknown > UNKNOWN_MESSAGES_MAX:
                    raise TransferProtocolError("too many messages of unknown kind")
                return []
            case _:
                raise TransferProtocolError(f"the receiver sent {type(message).__name__}")

    def _record_answers(self, answers: tuple[Answer, ...]) -> None:
        if any(file.state is not State.OFFERED for file in self._files):
            raise TransferProtocolError("the receiver answered twice")
        if len(answers) != len(self._files):
            raise TransferProtocolError(f"{len(answers)} answers to {len(self._files)} files")
        for file, answer in zip(self._files, answers, strict=True):
            if answer.offset > file.offer.size:
                raise TransferProtocolError("the receiver claims more bytes than the file has")
            if answer.code == Code.STORED:
                file.state, file.answer = State.ACCEPTED, answer
            else:
                file.state, file.outcome = State.DONE, Outcome(answer.code)

    def _record_verdict(self, index: int, code: int) -> list[SenderEffect]:
        file = self._files[index] if index < len(self._files) else None
        if file is None or file.judged:
            raise TransferProtocolError("a verdict on a file that has none to come")
        file.judged = True
        match file.state:
            case State.SENT:
                stored = code == Code.STORED
                self._conclude(file, Outcome(code, file.resumed_from, file.digest if stored else b""))
                return []
            case State.SENDING if code != Code.STORED:
                file.state = State.STOPPING
                file.outcome = Outcome(code, file.resumed_from)
                return [StopContent(index)]
            case State.DONE:
                return []  # It crossed our Abort on the way.
            case _:
                raise TransferProtocolError("a verdict on a file that was not sent")

    def _record_prefix(self, index: int, digest: bytes | None, code: int) -> list[SenderEffect]:
        file = self._files[index]
        if digest is None:
            return self._abort(file, index, code)
        offset = file.answer.offset if digest == file.answer.prefix_digest else 0
        return self._begin(file, index, offset)

    def _record_content(self, index: int, digest: bytes) -> list[SenderEffect]:
        file = self._files[index]
        if file.state is State.STOPPING:
            return self._abort(file, index, Code.CANCELLED)
        file.state, file.digest = State.SENT, digest
        self._current = None
        return [Send(End(digest))]

    def _record_failure(self, index: int, code: int) -> list[SenderEffect]:
        return self._abort(self._files[index], index, code)

    def _abort(self, file: _File, index: int, code: int) -> list[SenderEffect]:
        # A file that the receiver gave up keeps the receiver's reason.
        self._conclude(
            file, file.outcome if file.state is State.STOPPING else Outcome(code, file.resumed_from)
        )
        return [Send(Abort(index, code))]

    def _begin(self, file: _File, index: int, offset: int) -> list[SenderEffect]:
        file.state, file.resumed_from = State.SENDING, offset
        return [Send(Begin(index, offset)), SendContent(index, offset)]

    def _conclude(self, file: _File, outcome: Outcome) -> None:
        file.state, file.outcome = State.DONE, outcome
        if self._current is file:
            self._current = None

    def _interrupt(self, reason: str) -> list[SenderEffect]:
        self._over = True
        return [Interrupted(reason)]

    def _advance(self) -> list[SenderEffect]:
        """Begin the next file when none is on the way; finish when nothing is left."""
        if self._over or self._current is not None:
            return []
        for index, file in enumerate(self._files):
            if file.state is State.ACCEPTED:
                self._current = file
                if file.answer.offset:
                    file.state = State.HASHING
                    return [HashPrefix(index, file.answer.offset)]
                return self._begin(file, index, 0)
        if all(file.state is State.DONE for file in self._files):
            self._over = True
            return [Finished()]
        return []
