"""What runs the host on the event loop: opening streams, and who waits for a ping or an answer."""

import asyncio

import pytest

from helpers.identities import ALICE, BOB
from helpers.libp2p_streams import FakeConnection, FakeStream
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import UnavailableError
from kontinuum.libp2p.errors import NotConnectedError, PeerSilentError
from kontinuum.libp2p.exchange import IDENTIFY
from kontinuum.libp2p.host import Host
from kontinuum.libp2p.multistream import HEADER_LINE, line
from kontinuum.libp2p.ping import PING
from kontinuum.libp2p.service import OPENINGS_MAX, Libp2pService, LoopShell
from kontinuum.transport import CloseKind, CloseReason
from kontinuum.transport.errors import ConnectionLostError, UnprovenIdentityError

PEER = BOB.peer_id
REFUSED = CloseReason(CloseKind.PEER_TRANSPORT, 0x130, "no identity has signed it")


class Connection(FakeConnection):
    """A connection whose peer allows streams when the test says so."""

    def __init__(self, peer_id=PEER):
        super().__init__(peer_id)
        self.close_reason = None
        self.allows = asyncio.Event()
        self.allows.set()
        self.waiting = 0

    async def open_raw(self):
        self.waiting += 1
        try:
            await self.allows.wait()
        finally:
            self.waiting -= 1
        if self.close_reason is not None:
            raise ConnectionLostError(self.close_reason)
        return FakeStream(self, inbound=False)


def make_service():
    """The service of Alice, without topics."""
    return Libp2pService(
        lambda shell, heard: Host(
            ALICE.peer_id,
            shell,
            sign=lambda _data: bytes(64),
            entropy=SystemEntropy(),
            addresses=list,
            sequence=lambda: 1,
            agent="us/1",
            heard=heard,
        )
    )


async def turns(count=3):
    """Let the loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def connected(service):
    """A connection whose peer was asked who it is."""
    connection = Connection()
    service.on_connection(connection)
    await turns()
    return connection


class TestOpening:
    async def test_streams_open_in_turn_and_so_many_wait(self):
        """
        A peer that allows none keeps OPENINGS_MAX of ours waiting; one more fails, and another peer's do not.
        """
        shell, opened, failed = LoopShell(), [], []
        blocked, other = Connection(), Connection(ALICE.peer_id)
        blocked.allows.clear()
        for _ in range(OPENINGS_MAX + 1):
            shell.open_stream(blocked, opened.append, failed.append)
        shell.open_stream(other, opened.append, failed.append)
        await turns()
        assert [stream.connection for stream in opened] == [other]
        assert [type(error) for error in failed] == [UnavailableError]
        assert blocked.waiting == OPENINGS_MAX
        blocked.allows.set()
        await turns()
        assert len(opened) == 1 + OPENINGS_MAX
        assert shell._openings == {}

    async def test_a_lost_connection_is_a_failure(self):
        """
        The error is that of the connection.
        """
        shell, failed, connection = LoopShell(), [], Connection()
        connection.close_reason = REFUSED
        shell.open_stream(connection, pytest.fail, failed.append)
        await turns()
        assert [type(error) for error in failed] == [ConnectionLostError]

    async def test_after_the_end_nothing_opens(self):
        """
        What waits is given up; what is asked afterwards fails.
        """
        shell, failed, connection = LoopShell(), [], Connection()
        connection.allows.clear()
        shell.open_stream(connection, pytest.fail, failed.append)
        await turns()
        shell.close()
        shell.open_stream(Connection(), pytest.fail, failed.append)
        connection.allows.set()
        await turns()
        assert [type(error) for error in failed] == [UnavailableError]
        assert connection.waiting == 0


class TestPing:
    async def test_several_who_ask_at_once_share_one_ping(self):
        """
        A peer takes one ping at a time from us.
        """
        service = make_service()
        connection = await connected(service)
        both = [asyncio.create_task(service.ping(PEER)) for _ in range(2)]
        await turns()
        (stream,) = connection.streams[1:]
        stream.agrees(PING, stream.taken().removeprefix(HEADER_LINE + line(PING)))
        first, second = await asyncio.gather(*both)
        assert first == second >= 0
        again = asyncio.create_task(service.ping(PEER))
        await turns()
        assert len(connection.streams) == 3
        again.cancel()
        await service.close()

    async def test_who_gives_up_does_not_end_it_for_the_others(self):
        """
        Cancelling one of two leaves the other waiting for the answer.
        """
        service = make_service()
        connection = await connected(service)
        one, other = (asyncio.create_task(service.ping(PEER)) for _ in range(2))
        await turns()
        one.cancel()
        await turns()
        stream = connection.streams[1]
        stream.agrees(PING, stream.taken().removeprefix(HEADER_LINE + line(PING)))
        assert await other >= 0
        await service.close()

    async def test_silence_and_strangers(self):
        """
        No answer in time is an error of its own; so is a peer that is not connected.
        """
        service = make_service()
        await connected(service)
        with pytest.raises(PeerSilentError, match=r"within 0\.01 s"):
            await service.ping(PEER, timeout_s=0.01)
        with pytest.raises(NotConnectedError):
            await service.ping(ALICE.peer_id)
        await service.close()

    async def test_the_end_wakes_who_waits(self):
        """
        With the reason.
        """
        service = make_service()
        await connected(service)
        waiting = asyncio.create_task(service.ping(PEER))
        await turns()
        await service.close()
        with pytest.raises(UnavailableError, match="stops"):
            await waiting


class TestSettling:
    async def test_a_connection_is_settled_when_the_peer_has_said_who_it_is(self):
        """
        Or has failed to, which is no error.
        """
        for answer in (FakeStream.declines, FakeStream.ends):
            service = make_service()
            connection = await connected(service)
            waiting = asyncio.create_task(service.settled(connection))
            await turns()
            assert not waiting.done()
            answer(connection.streams[0])
            await waiting
            await service.settled(connection)
            assert connection.streams[0].sent.startswith(HEADER_LINE + line(IDENTIFY))
            await service.close()

    async def test_a_peer_that_does_not_want_us_says_so_late(self):
        """
        The connection ends after the handshake, and whoever dialled learns why.
        """
        service = make_service()
        connection = await connected(service)
        waiting = asyncio.create_task(service.settled(connection))
        await turns()
        connection.close_reason = REFUSED
        connection.is_lost()
        service.on_closed(connection, REFUSED)
        with pytest.raises(UnprovenIdentityError):
            await waiting
        await service.close()

    async def test_the_end_settles_everything(self):
        """
        Nobody waits for a node that stops.
        """
        service = make_service()
        connection = await connected(service)
        waiting = asyncio.create_task(service.settled(connection))
        await turns()
        await service.close()
        await waiting
