"""
How long a revocation takes to reach everybody, on hosts that are far from each other.
"""

import pytest

from helpers.cluster_hosts import measure
from helpers.dht_hosts import Forbidden

pytestmark = pytest.mark.slow


async def test_a_revocation_reaches_everybody_in_time_and_cuts_the_sessions(tmp_path):
    """
    At 50 ms a round trip below 2 s, sessions cut included; after a partition heals below 5 s. A rekeying
    takes every session along.
    """
    try:
        figures = await measure(tmp_path)
    except Forbidden as reason:
        pytest.skip(f"no hosts with a network of their own: {reason}")
    assert figures["revoked_known_max_s"] < 2.0
    assert figures["session_cut_max_s"] < 2.0
    assert figures["healed_known_max_s"] < 5.0
    assert figures["rekey_sessions_renamed_max_s"] < 10.0
