"""Receive files: join the receiver's machine to a stream, to the policies and to the disk.

Bounds:   SESSIONS_MAX accepted sessions, SESSIONS_PER_PEER_MAX of one peer; BLOCKS_IN_FLIGHT_MAX blocks
          between the network and the disk of each.
Trust:    what a stream says goes through the machine; what a policy accepts goes through ``Target``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from kontinuum.base.clock import Clock, SystemClock
from kontinuum.base.errors import KontinuumError
from kontinuum.transfer import events as ev
from kontinuum.transfer.digest import HasherFactory, new_blake3
from kontinuum.transfer.errors import TransferInterruptedError, TransferProtocolError
from kontinuum.transfer.incoming.leftovers import remove_leftovers
from kontinuum.transfer.incoming.machine import Receiver
from kontinuum.transfer.incoming.policy import Accept, Policy, Refuse
from kontinuum.transfer.incoming.target import Held, Part, PartError, Target
from kontinuum.transfer.messages import CHUNK_BYTES_MAX, Answer, Code, FileOffer, Offer, encode
from kontinuum.transfer.report import FileReport, Progress
from kontinuum.transfer.shell import ByteStream, Worker, read_message

SESSIONS_MAX = 16
"""Accepted sessions at once. Our choice (ADR 0012); the next one is answered ``BUSY``."""

SESSIONS_PER_PEER_MAX = 4
"""Accepted sessions of one peer at once. Our choice (ADR 0012); the next one is answered ``BUSY``."""

BLOCKS_IN_FLIGHT_MAX = 4
"""Blocks of up to CHUNK_BYTES_MAX between the network and the disk of one session. Our choice (ADR
0012): keeps the disk busy while the network is read; the stream is not read further at the limit."""

SWEEP_INTERVAL_S = 3600.0
"""Seconds between two looks for old partial files while files are received. Our choice (ADR 0012)."""

LINGER_S = 5.0
"""Seconds that a receiver who refused everything waits for the sender to end its half. Our choice (ADR 0012);
then the half is stopped."""


logger = logging.getLogger("kontinuum.transfer")


@asynccontextmanager
async def sweeping(target: Target, clock: Clock | None = None) -> AsyncIterator[None]:
    """Remove partial files that nobody continued, now and every SWEEP_INTERVAL_S, while the block runs.

    At its end the directory is at rest, so that it may be closed.
    """
    clock = clock or SystemClock()

    async def sweep() -> None:
        while True:
            # As one step: a thread that still worked when we were gone would use a closed directory.
            work = asyncio.ensure_future(asyncio.to_thread(remove_leftovers, target.descriptor, clock.utc()))
            try:
                removed = await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                raise
            if removed:
                logger.info("%d partial files that nobody continued were removed", removed)
            await asyncio.sleep(SWEEP_INTERVAL_S)

    sweeper = asyncio.create_task(sweep(), name="partial files")
    try:
        yield
    finally:
        sweeper.cancel()
        await asyncio.wait([sweeper])


class FileReceiver:
    """Answers incoming sessions by the policies that are active; refuses when there is none.

    Args:
        new_hasher: the hash; BLAKE3 outside of tests.
    """

    def __init__(self, new_hasher: HasherFactory = new_blake3) -> None:
        self.new_hasher = new_hasher
        self._policies: list[Policy] = []
        self._sessions: dict[bytes, list[_Receiving]] = {}

    @asynccontextmanager
    async def receiving(self, policy: Policy) -> AsyncIterator[None]:
        """Ask ``policy`` about offers while the block runs; of several, the latest that accepts decides.

        At its end, sessions that it accepted and that still run are ended; what they wrote stays for later.
        """
        self._policies.append(policy)
        try:
            yield
        finally:
            self._policies.remove(policy)
            for session in [each for sessions in self._sessions.values() for each in sessions]:
                if session.policy is policy:
                    await session.supersede()

    async def handle(self, peer: bytes, stream: ByteStream) -> None:
        """Serve one stream of ``kontinuum/file/1`` to its end. Raises nothing that the peer caused."""
        others = self._sessions.setdefault(peer, [])
        session = _Receiving(peer, stream, self._decide)
        others.append(session)
        try:
            await session.run()
        finally:
            others.remove(session)
            if not others and self._sessions.get(peer) is others:
                del self._sessions[peer]

    async def _decide(self, session: "_Receiving", offer: Offer) -> Accept | Refuse:
        decision: Accept | Refuse = Refuse(Code.NOT_RECEIVING)
        for policy in reversed(self._policies):
            decision = await policy(session.peer, offer)
            if isinstance(decision, Accept):
                session.policy = policy
                break
        else:
            return decision
        # A sender that was killed and came back must not wait until its old connection is noticed to be dead.
        names = {file.name for file in offer.files}
        for other in list(self._sessions[session.peer]):
            if other is not session and other.accepted is not None and not names.isdisjoint(other.names):
                await other.supersede()
        at_work = [s for sessions in self._sessions.values() for s in sessions if s.accepted is not None]
        of_peer = [other for other in at_work if other.peer == session.peer]
        if len(at_work) >= SESSIONS_MAX or len(of_peer) >= SESSIONS_PER_PEER_MAX:
            return Refuse(Code.BUSY)
        session.accepted = decision
        return decision


class _Receiving:
    """One incoming session: a single task; the disk works behind it, BLOCKS_IN_FLIGHT_MAX blocks at most."""

    def __init__(
        self,
        peer: bytes,
        stream: ByteStream,
        decide: "Callable[[_Receiving, Offer], Awaitable[Accept | Refuse]]",
    ) -> None:
        self.peer = peer
        self.accepted: Accept | None = None
        self.policy: Policy | None = None
        self._stream = stream
        self._ask = decide
        self._now = asyncio.get_running_loop().time
        self._machine = Receiver(self._now())
        self._worker = Worker()
        self._held: dict[int, Held] = {}
        self._part: Part | None = None
        self._done = 0
        self._writes: deque[asyncio.Future[None]] = deque()
        self._heard_end = False
        self._finished = False
        self._serving: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def names(self) -> set[str]:
        """Names of the files on offer."""
        return {file.name for file in self._machine.offer.files}

    async def supersede(self) -> None:
        """End this session, as a newer one takes its place; returns when its files are closed."""
        if self._serving is not None:
            self._serving.cancel("superseded")
        await self._closed.wait()

    async def run(self) -> None:
        self._serving = asyncio.create_task(self._serve())
        try:
            await asyncio.wait([self._serving])
        finally:
            self._serving.cancel()
            await self._close()
        error = None if self._serving.cancelled() else self._serving.exception()
        if error is not None and not isinstance(error, KontinuumError):
            raise error

    async def _close(self) -> None:
        if not self._finished:
            self._stream.reset()
            self._stream.stop()
        try:
            if self._part is not None:
                # After all queued writes, because the worker has one thread; awaited, because a newer session
                # wants the lock on the part.
                await asyncio.wait([self._worker.submit(self._part.close)])
        finally:
            self._worker.close()
            self._closed.set()
            self._report()

    def _report(self) -> None:
        if self.accepted is None or self.accepted.on_end is None:
            return
        error: KontinuumError | None = None
        if not self._finished:
            error = TransferInterruptedError("it was ended on this side")
            if self._serving is not None and self._serving.done() and not self._serving.cancelled():
                problem = self._serving.exception()
                error = problem if isinstance(problem, KontinuumError) else error
        outcomes = self._machine.outcomes
        files = self._machine.offer.files[: len(outcomes)]
        self.accepted.on_end(
            [FileReport(file.name, file.size, outcomes[index]) for index, file in enumerate(files)], error
        )

    async def _serve(self) -> None:
        while not self._finished:
            event = await self._next_event()
            effects = (
                self._machine.handle_timeout(self._now())
                if event is None
                else self._machine.handle(event, self._now())
            )
            await self._perform_all(effects)
        if not self._heard_end:
            await self._linger()

    async def _next_event(self) -> ev.ReceiverEvent | None:
        """Wait for the peer's next message; ``None`` at the deadline."""
        try:
            async with asyncio.timeout_at(self._machine.next_deadline()):
                message = await read_message(self._stream)
        except TimeoutError:
            return None
        except TransferProtocolError:
            raise
        except KontinuumError as error:
            return ev.StreamEnded(str(error))
        if message is None:
            self._heard_end = True
            return ev.StreamEnded()
        return ev.Received(message)

    async def _linger(self) -> None:
        """Let the sender end its half: a stopped half would look to it like a failure."""
        with suppress(TimeoutError, KontinuumError):
            async with asyncio.timeout(LINGER_S):
                if not await self._stream.read(1):
                    return
        self._stream.stop()

    async def _perform_all(self, effects: Sequence[ev.ReceiverEffect]) -> None:
        """Perform effects in order; an event that one of them brings is handled before the next effect."""
        for effect in effects:
            event = await self._perform(effect)
            if event is not None:
                await self._perform_all(self._machine.handle(event, self._now()))

    async def _perform(self, effect: ev.ReceiverEffect) -> ev.ReceiverEvent | None:  # noqa: C901 -- a table
        match effect:
            case ev.Send(message=message):
                try:
                    await self._stream.write(encode(message))
                except KontinuumError as error:
                    return ev.StreamEnded(str(error))
            case ev.Decide(offer=offer, problems=problems):
                return await self._decide(offer, problems)
            case ev.OpenPart(index=index, file=file, offset=offset):
                return await self._open_part(index, file, offset)
            case ev.TakeContent(length=length, keep=keep):
                return await self._take_content(length, keep=keep)
            case ev.Finalise(index=index, digest=digest):
                return await self._finalise(index, digest)
            case ev.ClosePart():
                await self._drain()
                part, self._part = self._part, None
                if part is not None:
                    await self._worker.submit(part.close)
            case ev.Finished():
                self._finished = True
                with suppress(KontinuumError):
                    await self._stream.finish()
            case ev.Interrupted(reason=reason):
                raise TransferInterruptedError(reason)
        return None

    async def _decide(self, offer: Offer, problems: tuple[int, ...]) -> ev.ReceiverEvent:
        decision = await self._ask(self, offer)
        if isinstance(decision, Refuse):
            return ev.Decided(tuple(Answer(problem or decision.code) for problem in problems))
        answers = await self._worker.submit(self._inspect, decision, offer, problems)
        return ev.Decided(tuple(answers))

    def _inspect(self, accepted: Accept, offer: Offer, problems: tuple[int, ...]) -> list[Answer]:
        """Ask the disk about each file (in the worker)."""
        answers: list[Answer] = []
        free = accepted.target.bytes_free()
        for index, (file, problem) in enumerate(zip(offer.files, problems, strict=True)):
            answer, held = Answer(problem or Code.TOO_LARGE), None
            if not problem and file.size <= accepted.bytes_max:
                answer, held = accepted.target.inspect(self.peer, file, overwrite=accepted.overwrite)
            missing = file.size - answer.offset
            if answer.code == Code.STORED and missing > free:
                answer, held = Answer(Code.NO_SPACE), None
            if answer.code == Code.STORED:
                free -= missing
            if held is not None:
                self._held[index] = held
            answers.append(answer)
        return answers

    async def _open_part(self, index: int, file: FileOffer, offset: int) -> ev.ReceiverEvent | None:
        held = self._held.pop(index, None)
        try:
            self._part = await self._worker.submit(
                self._accepted().target.open_part, self.peer, file, offset, held
            )
        except PartError as error:
            return ev.PartFailed(index, error.code)
        self._done = offset
        self._tell()
        return None

    async def _take_content(self, length: int, *, keep: bool) -> ev.ReceiverEvent | None:
        blocks: list[bytes] = []
        ended: ev.StreamEnded | None = None
        while length and ended is None:
            try:
                async with asyncio.timeout_at(self._machine.next_deadline()):
                    block = await self._stream.read(min(length, CHUNK_BYTES_MAX))
            except TimeoutError:
                ended = ev.StreamEnded("the sender stood still for too long")
            except KontinuumError as error:
                ended = ev.StreamEnded(str(error))
            else:
                if not block:
                    ended = ev.StreamEnded("the stream ended in the middle of a file")
                length -= len(block)
                self._machine.handle(ev.Moved(len(block)), self._now())
                blocks.append(block)
        # What came before the end is kept, so that less travels again.
        failed = await self._write(blocks) if keep else None
        return ended or failed

    async def _write(self, blocks: list[bytes]) -> ev.ReceiverEvent | None:
        """Hand blocks to the disk; wait only when BLOCKS_IN_FLIGHT_MAX are there already."""
        if self._part is None:
            raise AssertionError("content is kept only for an open part")
        self._writes.append(self._worker.submit(self._part.append, blocks))
        self._done += sum(map(len, blocks))
        self._tell()
        if len(self._writes) <= BLOCKS_IN_FLIGHT_MAX:
            return None
        try:
            await self._writes.popleft()
        except PartError as error:
            return ev.PartFailed(self._machine.current, error.code)
        return None

    async def _drain(self) -> Code:
        """Wait for all writes; return the first failure, or ``STORED``."""
        code = Code.STORED
        while self._writes:
            try:
                await self._writes.popleft()
            except PartError as error:
                code = code or error.code
        return code

    async def _finalise(self, index: int, digest: bytes) -> ev.ReceiverEvent:
        code = await self._drain()
        part, self._part = self._part, None
        if part is None:
            raise AssertionError("only an open part is finalised")
        if code != Code.STORED:
            await self._worker.submit(part.close)
            return ev.Finalised(index, code)
        overwrite = self._accepted().overwrite
        return ev.Finalised(
            index, await self._worker.submit(lambda: part.finalise(digest, overwrite=overwrite))
        )

    def _tell(self) -> None:
        accepted, index = self._accepted(), self._machine.current
        if accepted.on_progress is not None:
            file = self._machine.offer.files[index]
            accepted.on_progress(Progress(index, file.name, self._done, file.size))

    def _accepted(self) -> Accept:
        if self.accepted is None:
            raise AssertionError("no content before a yes")
        return self.accepted
