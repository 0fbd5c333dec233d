"""Run whole file sessions over a stream in memory."""

import asyncio
from dataclasses import dataclass, field

from helpers.byte_pipe import new_hasher, pipe
from kontinuum.transfer.incoming.policy import Accept
from kontinuum.transfer.incoming.service import FileReceiver
from kontinuum.transfer.incoming.target import Target
from kontinuum.transfer.outgoing.service import send_files
from kontinuum.transfer.outgoing.source import Source

ALICE = b"A" * 32
MALLORY = b"M" * 32


@dataclass
class Session:
    """What one session left behind."""

    sent: list | BaseException | None = None
    received: list = field(default_factory=list)
    error: BaseException | None = None
    progress: list = field(default_factory=list)
    bytes_on_wire: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, progress):
        """Take one progress report."""
        self.progress.append(progress)
        self.changed.set()

    async def moved(self, bytes_min):
        """Wait until the receiver has so many bytes of one file."""
        while not any(progress.done >= bytes_min for progress in self.progress):
            self.changed.clear()
            await self.changed.wait()


def codes(reports):
    """Return the codes of some reports."""
    return [report.outcome.code for report in reports]


def accept_into(directory, session, **options):
    """Return a policy that takes everything into ``directory`` and notes what happened in ``session``."""
    target = Target(directory, new_hasher)

    def end(reports, error):
        session.received, session.error = reports, error

    async def policy(_peer, _offer):
        return Accept(target, on_progress=session.note, on_end=end, **options)

    return policy


async def transfer(paths, directory, *, peer=ALICE, spoil=None, block_max=None, receiver=None, **options):
    """Send ``paths`` into ``directory``; ``spoil(ours, theirs, session)`` runs beside the session."""
    session = Session()
    ours, theirs = pipe(block_max=block_max)
    receiver = receiver or FileReceiver(new_hasher)
    async with receiver.receiving(accept_into(directory, session, **options)):
        serving = asyncio.create_task(receiver.handle(peer, theirs))
        sources = [Source(path) for path in paths]
        sending = asyncio.create_task(send_files(ours, sources, new_hasher=new_hasher))
        if spoil is not None:
            await spoil(ours, theirs, session)
        [session.sent] = await asyncio.gather(sending, return_exceptions=True)
        await asyncio.wait_for(serving, 10)
    session.bytes_on_wire = ours.outgoing.bytes_total
    return session
