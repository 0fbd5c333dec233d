"""Active waiting before the loop sleeps (docs/adr/0007): rare where it cannot help, and optional."""

import pytest

from helpers import nodes
from kontinuum.base.errors import MisuseError
from kontinuum.transport.options import ACTIVE_WAIT_MAX_S, TransportOptions

CALLS = 1000


async def waits_of(calls, **fields):
    """Waits and waits in vain of both nodes of this process, while one calls the other."""
    async with nodes.pair(fields, fields) as (caller, callee):
        callee.handler("test/echo")(lambda _peer, data: data)
        for _ in range(calls):
            await caller.call(callee.peer_id, "test/echo", b"?")
        ends = ((caller, callee.peer_id), (callee, caller.peer_id))
        counters = [node.connection(peer).endpoint.native.counters() for node, peer in ends]
        return [sum(c[name] for c in counters) for name in ("active_waits", "active_waits_in_vain")]


async def test_a_peer_in_the_same_thread_is_hardly_ever_waited_for():
    """Nobody in this thread can answer meanwhile: each wait is in vain, and the next one far away."""
    _, in_vain = await waits_of(CALLS)
    assert in_vain <= 8 * CALLS / 100


async def test_without_a_window_nothing_waits():
    """Zero switches it off."""
    assert await waits_of(CALLS // 5, active_wait_s=0) == [0, 0]


def test_the_window_ends_where_a_user_would_notice():
    """The longest window is accepted, anything beyond is refused."""
    assert TransportOptions(active_wait_s=ACTIVE_WAIT_MAX_S).active_wait_s == ACTIVE_WAIT_MAX_S
    for wrong in (ACTIVE_WAIT_MAX_S * 1.01, -1e-9):
        with pytest.raises(MisuseError, match="active_wait_s"):
            TransportOptions(active_wait_s=wrong)
