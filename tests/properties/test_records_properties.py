"""Stored records: round trips of the signed envelope, and the store against a simple model of it."""

import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helpers.dht_peers import ip_of, key_pair, peer
from helpers.identities import ALICE, NETWORK, NOON
from helpers.records import VALIDATORS, contact_record, content, signed, store
from kontinuum.base import PeerError
from kontinuum.dht.events import Drop, Keep, Refusal
from kontinuum.dht.records import RecordError, SignedRecord, quotas, signed_key
from kontinuum.dht.records.entries import ENTRY_BYTES, PROVIDER_BYTES, STALE_MAX
from kontinuum.dht.records.signed_record import SIGNED_EXPIRES_AT_MAX, SIGNED_SEQUENCE_MAX
from kontinuum.wire import encode_cbor

records_of_alice = st.builds(
    lambda name, value, sequence, end_s: (
        name,
        SignedRecord.issue(
            ALICE,
            name,
            value,
            network_id=NETWORK,
            sequence=sequence,
            expires_at=datetime.fromtimestamp(end_s, UTC),
        ),
    ),
    st.binary(min_size=1, max_size=64),
    st.binary(max_size=300),
    st.integers(0, SIGNED_SEQUENCE_MAX),
    st.integers(0, SIGNED_EXPIRES_AT_MAX),
)


@given(made=records_of_alice)
def test_an_envelope_is_read_as_it_was_written(made):
    """
    Every record has one form in bytes, and its signature is that of its owner, name and network.
    """
    name, record = made

    assert SignedRecord.decode(record.encode()) == record
    assert SignedRecord.decode(record.encode()).verify(ALICE.peer_id, name, NETWORK) == record


@given(made=records_of_alice, position=st.integers(0), bit=st.integers(0, 7))
def test_no_bit_of_an_envelope_can_be_changed(made, position, bit):
    """
    It is no envelope any more, or not Alice's.
    """
    name, record = made
    changed = bytearray(record.encode())
    changed[position % len(changed)] ^= 1 << bit

    with pytest.raises(PeerError):
        SignedRecord.decode(bytes(changed)).verify(ALICE.peer_id, name, NETWORK)


@given(
    fields=st.dictionaries(
        st.integers(0, 8),
        st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=70) | st.booleans() | st.none(),
    )
)
def test_any_map_is_an_envelope_or_refused(fields):
    """
    Whatever stands in its fields, decoding gives an envelope of exactly these bytes, or a PeerError.
    """
    data = encode_cbor(fields)
    with suppress(PeerError):
        assert SignedRecord.decode(data).encode() == data


@given(
    key=st.binary(max_size=120),
    value=st.binary(max_size=300),
    namespace=st.sampled_from(["contact", "blake3", "sha256", "signed", "x", ""]),
)
def test_any_key_and_value_are_valid_or_refused(key, value, namespace):
    """
    Validating never fails in another way.
    """
    for whole in (key, f"/{namespace}/".encode() + key):
        with suppress(RecordError):
            VALIDATORS.validate(whole, value, NOON)


PEERS = st.integers(0, 2)
ENTRIES_MAX, BYTES_MAX, PER_PEER = 4, 400_000, 10_000


class StoreAgainstModel(RuleBasedStateMachine):
    """A store with small caps, beside a dict of what was accepted and a dict that plays the disk."""

    @initialize()
    def start(self):
        """An empty store."""
        self.caps = patch.multiple(quotas, PEER_ENTRIES_MAX=ENTRIES_MAX, PEER_BYTES_MAX=PER_PEER)
        self.caps.start()
        self.records = store(BYTES_MAX)
        self.now = 0.0
        self.newest: dict[bytes, tuple] = {}
        self.disk: dict[tuple, Keep] = {}

    def teardown(self):
        """The caps of the program are what they were."""
        if hasattr(self, "caps"):
            self.caps.stop()

    @property
    def at(self) -> datetime:
        """The time of day."""
        return NOON + timedelta(seconds=self.now)

    def send(self, record: tuple[bytes, bytes], number: int, ip: str) -> None:
        """A put, and what must be true of any."""
        key, value = record
        sender = peer(number).peer_id
        before = self.held()
        refusal = self.records.put(key, value, sender=sender, ip=ip, at=self.at, now=self.now)
        after = self.held()
        valid = None
        with suppress(RecordError):
            valid = VALIDATORS.validate(key, value, self.at)

        self.only_the_sender_pays(before, after, sender, own=valid is not None and valid.owner == sender)
        if refusal is Refusal.NONE:
            assert valid is not None
            assert self.records.get(key, self.at) == value
            if before.get((key, None), (None, 0.0))[1] > self.at.timestamp():
                assert valid.rank >= self.newest[key]
            self.newest[key] = valid.rank
        else:
            assert {k: v for k, v in before.items() if v[1] > self.at.timestamp()} == {
                k: v for k, v in after.items() if v[1] > self.at.timestamp()
            }
            if refusal is Refusal.OLDER:
                assert valid.rank < self.newest[key]

    def only_the_sender_pays(self, before: dict, after: dict, sender: bytes, *, own: bool) -> None:
        """Nothing that holds goes for somebody else; what goes had been passed on by this very sender."""
        for place, (counted_to, ends, owner) in before.items():
            if place not in after and ends > self.at.timestamp():
                assert own
                assert counted_to == sender != owner

    def held(self) -> dict:
        """All entries: whom they count to, when they end, whose they are."""
        entries = self.records._entries
        every = [*entries.values.values()]
        every += [entry for by_peer in entries.providers.values() for entry in by_peer.values()]
        return {
            (entry.key, entry.provider and entry.provider.peer_id): (
                entry.sender,
                entry.expires_s,
                entry.owner,
            )
            for entry in every
        }

    @rule(
        owner=PEERS,
        sequence=st.integers(0, 3),
        name=st.sampled_from([b"a", b"b"]),
        sender=PEERS,
        size=st.sampled_from([0, 3000]),
    )
    def put_signed(self, owner, sequence, name, sender, size):
        """A signed record of anybody, by anybody, larger or smaller than the one before."""
        ends = NOON + timedelta(days=1 + sequence)
        self.send(
            signed(owner, sequence, name=name, value=bytes(size), expires_at=ends), sender, ip_of(sender)
        )

    @rule(number=st.integers(0, 20), sender=PEERS, ip=st.sampled_from(["20.1.1.1", "192.168.0.1", ""]))
    def put_content(self, number, sender, ip):
        """Content, also from one network or none."""
        self.send(content(number, 500), sender, ip)

    @rule(owner=PEERS, sequence=st.integers(1, 3), sender=PEERS)
    def put_contact(self, owner, sequence, sender):
        """A contact, older or newer."""
        self.send(contact_record(owner, sequence), sender, ip_of(sender))

    @rule(owner=PEERS, sender=PEERS, value=st.binary(max_size=50))
    def put_junk(self, owner, sender, value):
        """What belongs to nothing."""
        self.send((signed_key(key_pair(owner).peer_id, b"a"), value), sender, ip_of(sender))

    @rule(number=PEERS, sequence=st.integers(1, 2), key=st.sampled_from([b"x", b"y"]))
    def provide(self, number, sequence, key):
        """A provider, with an older or a newer contact."""
        who = peer(number, sequence=sequence)
        before = self.held()
        refusal = self.records.add_provider(key, who, ip=ip_of(number), at=self.at, now=self.now)
        self.only_the_sender_pays(before, self.held(), who.peer_id, own=True)
        if refusal is Refusal.NONE:
            assert who in self.records.providers(key, self.at)

    @rule(seconds=st.sampled_from([1.0, 60.0, 5000.0, 40_000.0]))
    def wait(self, seconds):
        """Time goes by."""
        self.now += seconds

    @rule()
    def expire(self):
        """What is over goes, and nothing else."""
        before = self.held()
        self.records.expire(self.at)
        after = self.held()

        assert after == {place: held for place, held in before.items() if held[1] > self.at.timestamp()}
        assert self.records.next_expiry() is None or self.records.next_expiry() > self.at

    @rule()
    def restart(self):
        """A new store from what is on disk holds the same, but for what is over."""
        self.take_effects()
        before = self.held()
        self.records = store(BYTES_MAX)
        by_id = {peer(n, sequence=s).wire.contact: peer(n, sequence=s) for n in range(6) for s in (1, 2)}
        for keep in list(self.disk.values()):
            self.records.restore(keep, by_id.get(keep.value), self.at)
        after = self.held()

        assert after == {place: held for place, held in before.items() if held[1] > self.at.timestamp()}

    def take_effects(self) -> None:
        """What the disk does with the effects."""
        for effect in self.records.effects():
            self.disk.pop((effect.key, effect.provider), None)
            if not isinstance(effect, Drop):
                self.disk[effect.key, effect.provider] = effect

    @invariant()
    def the_disk_knows_what_we_hold(self):
        """Every change was told, in an order that ends with the present."""
        if hasattr(self, "records"):
            self.take_effects()
            assert {place: (keep.sender, keep.expires_at_s) for place, keep in self.disk.items()} == {
                place: held[:2] for place, held in self.held().items()
            }

    @invariant()
    def the_books_are_right(self):
        """Bytes and accounts are the sums of what is held, and no cap is passed."""
        if not hasattr(self, "records"):
            return
        entries = self.records._entries
        every = [*entries.values.values()]
        every += [entry for by_peer in entries.providers.values() for entry in by_peer.values()]
        sums: dict = {}
        for entry in every:
            provider = PROVIDER_BYTES if entry.provider else 0
            assert entry.cost == ENTRY_BYTES + provider + len(entry.key) + len(entry.value)
            for name in (entry.sender, *quotas.neighbourhoods(entry.ip)):
                used, count = sums.get(name, (0, 0))
                sums[name] = used + entry.cost, count + 1
        assert sums == entries.quotas._accounts
        assert entries.quotas.bytes == sum(entry.cost for entry in every) <= BYTES_MAX
        assert len(self.records) == len(every)
        for number in range(6):
            used, count = entries.quotas.used(peer(number).peer_id)
            assert used <= PER_PEER
            assert count <= ENTRIES_MAX
        assert len(entries._ends) <= 2 * len(every) + STALE_MAX
        assert all(set(passed) <= set(every) for passed in entries._passed_on.values())

    @invariant()
    def the_newest_is_there_or_nothing(self):
        """Of what was accepted under a key the newest is given, never an older one."""
        for key, rank in getattr(self, "newest", {}).items():
            value = self.records.get(key, self.at)
            if value is not None:
                assert VALIDATORS.validate(key, value, self.at).rank == rank


TestStoreAgainstModel = StoreAgainstModel.TestCase

RUN = """
import sys
from hashlib import sha256
from helpers.dht_peers import peer
from helpers.records import *
records = store(300_000)
for step in range(600):
    number = step * 7919 % 40
    kind = step % 4
    if kind == 0: put(records, signed(number, step % 5), step % 13, now=float(step))
    elif kind == 1: put(records, content(number, 100 * (step % 30)), step % 11, now=float(step))
    elif kind == 2: provide(records, b"key%d" % (step % 3), number, now=float(step))
    else: put(records, contact_record(number), number, now=float(step))
print(sha256(repr((records.effects(), list(records.keys()), records.figures())).encode()).hexdigest())
"""


def test_the_same_events_give_the_same_effects_under_any_hash_seed():
    """
    No order of a set reaches an effect: a run can be replayed.
    """
    found = {
        subprocess.run(
            [sys.executable, "-c", RUN],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(found) == 1
