"""The DHT among hosts that are far from each other."""

import asyncio
from statistics import median

import pytest

from helpers.dht_hosts import Forbidden, hosts
from helpers.dht_processes import join

pytestmark = pytest.mark.slow

HOSTS = 10
DELAY_S = 0.05


async def test_a_warm_resolve_takes_less_than_four_round_trips():
    """
    Ten hosts, each 50 ms away from every other: once they know each other, finding a peer by its key takes
    less than four round trips, by the median of many; the round trip is that of calls over the same wire.
    """
    try:
        async with hosts(HOSTS, delay_s=DELAY_S) as made:
            opened = await join(made, 1)
            identities = [identity for contacts in opened for identity in contacts]
            pings, resolves = [], []
            for name, took in (("time_pings", pings), ("time_resolves", resolves)) * 2:
                asked = (
                    process.ask(name, identities[:number] + identities[number + 1 :])
                    for number, process in enumerate(made)
                )
                for answer in await asyncio.gather(*asked):
                    took.extend(answer)
    except Forbidden as reason:
        pytest.skip(f"no hosts with a network of their own: {reason}")
    round_trip = median(pings)
    assert round_trip >= 2 * DELAY_S
    assert median(resolves) < 4 * round_trip
