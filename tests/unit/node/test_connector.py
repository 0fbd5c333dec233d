"""Dialling a peer: one race for all who ask, more where addresses differ; whoever arrives ends them."""

import asyncio

import pytest

from helpers.nodes import eventually
from kontinuum.base.entropy import Rng
from kontinuum.base.errors import KontinuumError
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.node.connector import Connector
from kontinuum.node.errors import NoAddressError, PeerBackoffError
from kontinuum.transport import ALPN
from kontinuum.transport.errors import ConnectError, DialTimeoutError, WrongPeerError

PEER = KeyPair.from_seed(b"\1" * 32).peer_id
OLD, NEW = (Multiaddr.from_ip("192.0.2.1", port) for port in (1, 2))


class FakeConnection:
    """What the connector needs of a connection."""

    def __init__(self, peer_id=PEER):
        self.peer_id = peer_id


class FakeEndpoint:
    """Dials end when the test says so."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.dials = {}

    async def dial(self, _peer_id, address, *, timeout_s, alpn):
        assert timeout_s > 0
        assert alpn == ALPN
        future = self.dials[address[1]] = self.loop.create_future()
        return await future


@pytest.fixture
async def endpoint():
    """A transport without a network."""
    return FakeEndpoint()


@pytest.fixture
async def connector(endpoint):
    """A connector on it."""
    connector = Connector(endpoint, Rng(1), timeout_s=5)
    yield connector
    await connector.close()
    assert connector._races == connector._arrivals == connector._dialled == {}


async def begin(connector, endpoint, address, **how):
    """A race to ``address`` that has begun to dial."""
    race = asyncio.create_task(connector.connect(PEER, (address,), **how))
    await eventually(lambda: address.port in endpoint.dials)
    return race


def waiting(connector):
    """Whether the peer is left alone now."""
    return connector.back_off.wait_s(PEER, asyncio.get_running_loop().time()) > 0


async def test_two_races_for_one_peer_end_when_it_arrives(connector, endpoint):
    """Whoever dialled where gets the one connection; the older race is not a failure of a connected peer."""
    races = [await begin(connector, endpoint, address) for address in (OLD, NEW)]
    connection = FakeConnection()
    connector.arrived(connection)

    assert await asyncio.gather(*races) == [connection, connection]
    assert not waiting(connector)


async def test_the_end_of_one_race_does_not_break_the_other(connector, endpoint):
    """The older address refuses; the race to the newer one goes on and succeeds."""
    old, new = [await begin(connector, endpoint, address) for address in (OLD, NEW)]
    endpoint.dials[1].set_exception(ConnectError("nobody there"))
    with pytest.raises(ConnectError):
        await old
    connection = FakeConnection()
    connector.arrived(connection)
    endpoint.dials[2].set_result(connection)

    assert await new is connection
    assert not waiting(connector)


@pytest.mark.parametrize("error", [ConnectError("nobody there"), WrongPeerError("another key")])
async def test_a_peer_that_arrives_as_its_race_fails_is_connected(connector, endpoint, error):
    """In the very turn in which the last dial fails: no error, no back-off."""
    race = await begin(connector, endpoint, OLD)
    connection = FakeConnection()
    endpoint.dials[1].set_exception(error)
    # The dial's own task has heard of its failure, the race has not.
    endpoint.loop.call_soon(endpoint.loop.call_soon, connector.arrived, connection)

    assert await race is connection
    assert not waiting(connector)


async def test_a_peer_that_arrives_as_time_is_up_is_connected(endpoint):
    """The same for the time-out of the whole race."""
    connector = Connector(endpoint, Rng(1), timeout_s=0.01)
    run = connector._run

    async def late(*args):
        try:
            return await run(*args)
        finally:
            connector.arrived(connection)

    connector._run = late
    connection = FakeConnection()

    assert await connector.connect(PEER, (OLD,)) is connection
    assert not waiting(connector)


async def test_those_who_want_the_same_share_a_race(connector, endpoint):
    """A second call at a known address does not dial; one who gives up does not end the race."""
    first = await begin(connector, endpoint, OLD)
    second = asyncio.create_task(connector.connect(PEER, (OLD,)))
    await asyncio.sleep(0)
    first.cancel()
    connection = FakeConnection()
    endpoint.dials[1].set_result(connection)

    assert await second is connection
    assert list(endpoint.dials) == [1]
    assert list(connector.dialled) == []


async def test_a_failure_leaves_the_peer_alone_for_a_while(connector, endpoint):
    """Who is patient hears of it at once; a person who asks again is served; an arrival ends it."""
    race = await begin(connector, endpoint, OLD)
    endpoint.dials.pop(1).set_exception(ConnectError("nobody there"))
    with pytest.raises(ConnectError, match="nobody there"):
        await race

    with pytest.raises(PeerBackoffError):
        await connector.connect(PEER, (OLD,), patient=True)
    again = await begin(connector, endpoint, OLD)
    connector.arrived(FakeConnection())
    await again
    assert not waiting(connector)


async def test_nobody_answers_in_time(endpoint):
    """The error says how many addresses were tried and for how long."""
    connector = Connector(endpoint, Rng(1), timeout_s=0.01)

    with pytest.raises(DialTimeoutError, match=r"none of 2 addresses .* within 0\.01 s"):
        await connector.connect(PEER, (OLD, NEW))
    assert waiting(connector)
    assert connector._arrivals == {}


async def test_no_address_is_known(connector):
    """Said at once, and no failure of the peer."""
    with pytest.raises(NoAddressError):
        await connector.connect(PEER, ())
    assert not waiting(connector)


async def test_closing_ends_all_races(connector, endpoint):
    """Also those that nobody waits for any more."""
    races = [await begin(connector, endpoint, address) for address in (OLD, NEW)]
    await connector.close()

    results = await asyncio.gather(*races, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_an_error_of_ours_is_not_hidden(connector, endpoint):
    """What is no error of the network reaches the caller as it is."""
    race = await begin(connector, endpoint, OLD)
    endpoint.dials[1].set_exception(ValueError("a bug"))

    with pytest.raises(ValueError, match="a bug") as caught:
        await race
    assert not isinstance(caught.value, KontinuumError)


@pytest.mark.parametrize("wanted", ["old name", "new name"])
async def test_a_peer_that_takes_another_name_serves_who_waits_for_either(connector, endpoint, wanted):
    """Its one connection is what both want."""
    race = await begin(connector, endpoint, OLD)
    other = KeyPair.from_seed(b"\2" * 32).peer_id
    connection = FakeConnection(other if wanted == "old name" else PEER)
    connector.arrived(connection, PEER if wanted == "old name" else other)
    assert await race is connection
