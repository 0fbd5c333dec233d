"""What lies between hosts: addresses, delays, partitions."""

from collections import Counter
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from kontinuum.sim.addresses import Addresses
from kontinuum.sim.chance import stream
from kontinuum.sim.network import Network
from kontinuum.sim.regions import REGIONS, RTT_MS
from kontinuum.sim.scenario import NetworkSettings

TOKYO = next(i for i, region in enumerate(REGIONS) if region.name == "tokyo")
LONDON = next(i for i, region in enumerate(REGIONS) if region.name == "london")


def host(region=LONDON, access_s=0.001):
    """Somebody there."""
    return SimpleNamespace(region=region, access_s=access_s)


def network(**settings):
    """A network without chance but for what is given."""
    still = {"loss": 0.0, "reorder": 0.0, "jitter": 0.0}
    return Network(NetworkSettings(**still | settings), stream(1, "network"))


def test_the_matrix_is_symmetric_and_complete():
    """
    Every pair of regions has one round trip, and the way home is short.
    """
    for i, row in enumerate(RTT_MS):
        assert len(row) == len(REGIONS)
        for j, rtt_ms in enumerate(row):
            assert rtt_ms == RTT_MS[j][i]
            assert (rtt_ms <= 2) == (i == j)


def test_shares_of_regions_are_percent():
    """
    The shares of all regions are a hundred.
    """
    assert sum(region.share for region in REGIONS) == 100


def test_a_message_takes_half_the_round_trip_and_both_accesses():
    """
    Without jitter the delay is what the matrix says.
    """
    delay = network().delay(host(LONDON), host(TOKYO, 0.003))

    assert delay == pytest.approx(RTT_MS[LONDON][TOKYO] / 2000 + 0.004)


def test_jitter_adds_its_share_in_the_mean():
    """
    Jitter of a tenth makes messages a tenth slower in the mean, and never faster.
    """
    rough, exact = network(jitter=0.1), network().delay(host(), host(TOKYO))
    delays = [rough.delay(host(), host(TOKYO)) for _ in range(4000)]

    assert min(delays) >= exact
    assert sum(delays) / 4000 == pytest.approx(1.1 * exact, rel=0.02)


def test_a_lost_packet_comes_later():
    """
    Loss delays by at least a probe time-out, which is longer than a round trip, and never for ever.
    """
    lossy, exact = network(loss=0.5), network().delay(host(), host(TOKYO))
    delays = [lossy.delay(host(), host(TOKYO)) for _ in range(2000)]
    late = [delay for delay in delays if delay > exact]

    assert len(late) / 2000 == pytest.approx(0.5, abs=0.05)
    assert min(late) >= 3 * exact
    assert max(late) < 1000 * exact


def test_some_messages_are_overtaken():
    """
    What is held back arrives after what was sent a moment later.
    """
    rough, exact = network(reorder=0.2, reorder_ms=50.0), network().delay(host(), host())
    delays = [rough.delay(host(), host()) for _ in range(2000)]

    assert sum(delay == pytest.approx(exact + 0.05) for delay in delays) / 2000 == pytest.approx(
        0.2, abs=0.04
    )


def test_a_partition_separates_its_regions_until_it_heals():
    """
    Inside of either side all is well; between them nothing, until the end.
    """
    cut = network()
    cut.cut(("tokyo", "osaka"))

    assert not cut.connected(host(TOKYO), host(LONDON))
    assert cut.connected(host(TOKYO), host(TOKYO))
    assert cut.connected(host(LONDON), host(LONDON))
    cut.heal(("tokyo", "osaka"))
    assert cut.connected(host(TOKYO), host(LONDON))


def addresses(**settings):
    """Addresses of a fresh world."""
    return Addresses(NetworkSettings(**settings), stream(1, "addresses"))


def test_every_honest_host_has_an_address_of_its_own_on_the_internet():
    """
    No address twice, none that is not global.
    """
    given = addresses()
    ips = [given.honest()[1] for _ in range(2000)]

    assert len(set(ips)) == len(ips)
    assert all(ip_address(ip).is_global for ip in ips)


def test_hosts_share_networks_as_the_scenario_says():
    """
    Two hosts for each /24 in the mean, and many in the largest /16.
    """
    given = addresses(hosts_per_24=2.0, prefixes_16=100)
    ips = [given.honest()[1] for _ in range(4000)]
    prefixes = Counter(ip.rpartition(".")[0] for ip in ips)
    blocks = Counter(".".join(ip.split(".")[:2]) for ip in ips)

    assert 4000 / len(prefixes) == pytest.approx(2.0, rel=0.1)
    assert len(blocks) <= 100
    assert blocks.most_common(1)[0][1] > 4000 / 100 * 4


def test_a_block_belongs_to_one_region():
    """
    Latency follows the /16, as in the internet.
    """
    given = addresses()
    regions = {}
    for _ in range(2000):
        region, ip = given.honest()
        assert regions.setdefault(".".join(ip.split(".")[:2]), region) == region


def test_regions_have_their_shares():
    """
    A scenario may say where hosts are.
    """
    given = addresses(regions={"tokyo": 3.0, "london": 1.0})
    regions = Counter(given.honest()[0] for _ in range(2000))

    assert set(regions) == {TOKYO, LONDON}
    assert regions[TOKYO] / 2000 == pytest.approx(0.75, abs=0.04)


def test_attackers_have_as_many_networks_as_stated():
    """
    Their /24 networks are their own, and hold as many identities as they like.
    """
    given = addresses()
    honest = {given.honest()[1].rpartition(".")[0] for _ in range(500)}
    networks = [prefix for _, prefix in given.hostile(16)]

    assert len(set(networks)) == 16
    assert not honest & set(networks)
    assert all(given.within(networks[0]).startswith(networks[0] + ".") for _ in range(600))
