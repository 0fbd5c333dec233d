"""The cap of a store is one of memory."""

import gc
import tracemalloc
from datetime import timedelta

import pytest

from helpers.dht_peers import peer
from helpers.identities import NETWORK, NOON
from helpers.records import contact_record, content
from kontinuum.dht.admission import Admission
from kontinuum.dht.peer import Peer
from kontinuum.dht.records import Records, default_validators
from kontinuum.identity import Contact, PeerId

FILLING = 1200
"""Entries that are tried; the store of these tests has room for less than half of them."""


def distinct(data: bytes) -> bytes:
    """The same bytes in memory of their own, as they come from the wire."""
    return bytes(bytearray(data))


def filled(kind: str, bytes_max: int) -> Records:
    """A full store in the worst case: each entry of another sender in another network, nothing shared."""
    validators = default_validators(NETWORK, Admission(NETWORK, 0, memo_max=1).check)
    records = Records(validators, bytes_max=bytes_max, quotas=False)
    for number in range(FILLING):
        sender = PeerId(distinct(peer(number).peer_id))
        ip = f"{20 + number % 80}.{number // 80}.1.1"
        if kind == "providers":
            contact = distinct(peer(number).wire.contact)
            provider = Peer(Contact.decode(contact), contact)
            key = b"/blake3/" + number.to_bytes(32)
            records.add_provider(key, provider, ip=ip, at=NOON, now=0.0)
            continue
        key, value = contact_record(number) if kind == "contacts" else content(number, 8)
        key, value = distinct(key), distinct(value)
        records.put(key, value, sender=sender, ip=ip, at=NOON, now=0.0)
        if records.get(key, NOON) is not None:  # Once more, later: its end moves, and the old place stays.
            records.put(key, value, sender=sender, ip=ip, at=NOON + timedelta(hours=2), now=7200.0)
    records.effects()
    return records


@pytest.mark.parametrize("kind", ["contents", "contacts", "providers"])
def test_a_full_store_takes_no_more_memory_than_it_may(kind):
    """
    The cap is one of memory: what Python holds for the smallest entries is within it, and not far below.
    """
    bytes_max = 800_000
    filled(kind, bytes_max)
    gc.collect()
    tracemalloc.start()
    records = filled(kind, bytes_max)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert FILLING / 5 < len(records) < FILLING / 2
    assert records.figures().bytes > 0.85 * bytes_max
    assert 0.5 * bytes_max < held <= bytes_max
