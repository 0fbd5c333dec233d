"""What holds for every table: it does what a plain list of everybody would do, and keeps its bounds."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from helpers.dht_peers import peer
from kontinuum.base.entropy import Rng
from kontinuum.dht.adaptive import Adaptation
from kontinuum.dht.config import ALPHA_MAX, ALPHA_MIN, K_MAX, K_MIN
from kontinuum.dht.kbucket import WAITING_MAX
from kontinuum.dht.keys import bucket_index
from kontinuum.dht.prefixes import cap_prefix, provider_prefix
from kontinuum.dht.routing_table import (
    CHECK_INTERVAL_S,
    FAILURE_SPACING_S,
    FAILURES_MAX,
    PREFIX_BUCKET_MAX,
    PREFIX_TABLE_MAX,
    PROVIDER_SHARE,
    QUESTIONABLE_AFTER_S,
    EntryRefusal,
    Full,
    Inserted,
    RefusedEntry,
    RoutingTable,
    Updated,
)
from kontinuum.dht.tiers import TIERS_MAX, Tiers, tier_borders

LOCAL = peer(0).key
IPS = ["8.8.8.1", "8.8.8.2", "8.8.9.1", "9.9.9.1", "10.0.0.1"]
"""Two of one /24, a third of the same /16, another network, and one that is not capped."""


def some_of_each_bucket(buckets, each):
    """Numbers of real peers: so many in each of the farthest buckets."""
    rooms = {index: [] for index in range(256 - buckets, 256)}
    number = 0
    while any(len(room) < each for room in rooms.values()):
        number += 1
        room = rooms.get(bucket_index(peer(number).key ^ LOCAL), [])
        if len(room) < each:
            room.append(number)
    return [number for room in rooms.values() for number in room]


NUMBERS = some_of_each_bucket(6, 5)
numbers = st.sampled_from(NUMBERS)
places = st.integers(0, 2**256 - 1) | st.integers(0, 2**250).map(lambda near: LOCAL ^ near)


@dataclass
class Row:
    """A peer as the model knows it."""

    peer: object
    prefix: str | None
    since: float
    seen_at: float
    failures: int = 0
    failed_at: float = float("-inf")

    @property
    def index(self):
        return bucket_index(self.peer.key ^ LOCAL)


class Model:
    """The obvious table: one list of all peers as they answered, searched from end to end."""

    def __init__(self, k):
        self.k = k
        self.rows = []
        """Who answered last is last."""
        self.doubtful = []
        """Identities, in the order in which they failed."""
        self.waiting = []
        """Peers with their prefixes, the newest last."""
        self.checked = {}

    def find(self, peer_id):
        return next((row for row in self.rows if row.peer.peer_id == peer_id), None)

    def bucket(self, index):
        rows = [row for row in self.rows if row.index == index]
        failed = [self.find(peer_id) for peer_id in self.doubtful]
        return [row for row in failed if row in rows] + [row for row in rows if not row.failures]

    def everybody(self):
        return [row.peer for index in range(256) for row in self.bucket(index)]

    def closest(self, target, count):
        sound = [row.peer for row in self.rows if not row.failures] or self.everybody()
        return sorted(sound, key=lambda member: member.key ^ target)[:count]

    def fits(self, prefix, index, leaving=None):
        if prefix is None:
            return True
        rows = [row for row in self.rows if row is not leaving and row.prefix is not None]
        beside = [row for row in rows if row.index == index]
        provider = provider_prefix(prefix)
        return (
            len([row for row in rows if row.prefix == prefix]) < PREFIX_TABLE_MAX
            and len([row for row in beside if row.prefix == prefix]) < PREFIX_BUCKET_MAX
            and len([row for row in beside if provider_prefix(row.prefix) == provider])
            < PROVIDER_SHARE * self.k
        )

    def answers(self, row, now):
        row.failures, row.seen_at = 0, now
        self.rows.remove(row)
        self.rows.append(row)
        self.doubtful = [peer_id for peer_id in self.doubtful if peer_id != row.peer.peer_id]

    def forget_waiting(self, peer_id):
        self.waiting = [(other, prefix) for other, prefix in self.waiting if other.peer_id != peer_id]

    def wait(self, newcomer, prefix):
        index = bucket_index(newcomer.key ^ LOCAL)
        self.forget_waiting(newcomer.peer_id)
        mine = [item for item in self.waiting if bucket_index(item[0].key ^ LOCAL) == index]
        for item in mine:
            if prefix is not None and item[1] == prefix:
                self.waiting.remove(item)
                mine.remove(item)
        if len(mine) >= WAITING_MAX:
            self.waiting.remove(mine[0])
        self.waiting.append((newcomer, prefix))

    def candidate(self, index, leaving=None):
        for item in reversed(self.waiting):
            if bucket_index(item[0].key ^ LOCAL) == index and self.fits(item[1], index, leaving):
                self.waiting.remove(item)
                return item[0]
        return None

    def offer(self, newcomer, ip, now):
        row, index = self.find(newcomer.peer_id), bucket_index(newcomer.key ^ LOCAL)
        prefix = cap_prefix(ip)
        if row is not None:
            if prefix != row.prefix and not self.fits(prefix, index, row):
                return RefusedEntry(EntryRefusal.CAPPED)
            row.prefix = prefix
            if newcomer.contact.sequence > row.peer.contact.sequence:
                row.peer = newcomer
            self.answers(row, now)
            return Updated()
        bucket = self.bucket(index)
        if len(bucket) >= self.k:
            self.wait(newcomer, prefix)
            oldest = bucket[0]
            lately = not oldest.failures and oldest.seen_at > now - QUESTIONABLE_AFTER_S
            if lately or self.checked.get(index, float("-inf")) > now - CHECK_INTERVAL_S:
                return RefusedEntry(EntryRefusal.FULL)
            self.checked[index] = now
            return Full(oldest.peer)
        if not self.fits(prefix, index):
            return RefusedEntry(EntryRefusal.CAPPED)
        self.forget_waiting(newcomer.peer_id)
        self.rows.append(Row(newcomer, prefix, now, now))
        return Inserted()

    def failed(self, peer_id, index, now):
        row = self.find(peer_id)
        if row is None:
            self.forget_waiting(peer_id)
            return self.candidate(index) if len(self.bucket(index)) < self.k else None
        if not row.failures or now >= row.failed_at + FAILURE_SPACING_S:
            row.failures += 1
            row.failed_at = now
        if peer_id not in self.doubtful:
            self.doubtful.append(peer_id)
        candidate = self.candidate(index, row) if len(self.bucket(index)) <= self.k else None
        if candidate is not None or row.failures >= FAILURES_MAX:
            self.remove(peer_id)
        return candidate

    def remove(self, peer_id):
        self.rows = [row for row in self.rows if row.peer.peer_id != peer_id]
        self.doubtful = [other for other in self.doubtful if other != peer_id]

    def set_k(self, k):
        if k == self.k:
            return []
        self.k = k
        found = []
        for index in range(256):
            for _ in range(k - len(self.bucket(index))):
                candidate = self.candidate(index)
                if candidate is not None:
                    found.append(candidate)
        return found


class TableAgainstModel(RuleBasedStateMachine):
    """The table and the model are told the same and must always agree."""

    @initialize(k=st.integers(1, 5))
    def begin(self, k):
        self.table = RoutingTable(LOCAL, k=k)
        self.model = Model(k)
        self.now = 1000.0
        self.k_most = k

    @rule(number=numbers, ip=st.sampled_from(IPS), sequence=st.integers(1, 2))
    def offer(self, number, ip, sequence):
        newcomer = peer(number, IPS[0], sequence)
        wanted = self.table.wants(newcomer, ip)
        known = self.model.find(newcomer.peer_id)
        bucket = self.model.bucket(bucket_index(newcomer.key ^ LOCAL))
        older = known is not None and newcomer.contact.sequence > known.peer.contact.sequence

        offered = self.table.offer(newcomer, ip, self.now)

        assert offered == self.model.offer(newcomer, ip, self.now)
        if isinstance(offered, Inserted):
            assert wanted
        elif known is None:
            assert not wanted or (bucket and bucket[0].failures)
        else:
            assert wanted == older

    @rule(number=numbers)
    def seen(self, number):
        row = self.model.find(peer(number).peer_id)
        self.table.seen(peer(number).peer_id, self.now, 0.1)
        if row is not None:
            self.model.answers(row, self.now)

    @rule(number=numbers)
    def failed(self, number):
        member = peer(number)
        candidate = self.table.failed(member.peer_id, self.now)
        assert candidate is self.model.failed(member.peer_id, bucket_index(member.key ^ LOCAL), self.now)
        assert candidate is None or candidate.peer_id not in self.table

    @precondition(lambda self: len(self.table))
    @rule(place=st.integers(0, 100))
    def fail_a_member(self, place):
        everybody = self.model.everybody()
        member = everybody[place % len(everybody)]
        index = bucket_index(member.key ^ LOCAL)
        assert self.table.failed(member.peer_id, self.now) is self.model.failed(
            member.peer_id, index, self.now
        )

    @rule(number=numbers)
    def remove(self, number):
        self.table.remove(peer(number).peer_id)
        self.model.remove(peer(number).peer_id)

    @rule(k=st.integers(1, 5))
    def set_k(self, k):
        self.k_most = max(self.k_most, k)
        assert self.table.set_k(k) == self.model.set_k(k)

    @rule(seconds=st.sampled_from([0.5, FAILURE_SPACING_S, CHECK_INTERVAL_S, QUESTIONABLE_AFTER_S]))
    def wait(self, seconds):
        self.now += seconds

    @rule(place=places, count=st.integers(1, 25))
    def look_for(self, place, count):
        assert self.table.closest(place, count) == self.model.closest(place, count)

    @invariant()
    def agree(self):
        assert list(self.table) == self.model.everybody()
        assert len(self.table) == len(self.model.rows)
        assert self.table.doubtful() == [member for member in self.table if self._failures(member)]
        figures = self.table.fill()
        assert figures.waiting == len(self.model.waiting)
        assert figures.sizes == {
            index: len(self.model.bucket(index))
            for index in range(256)
            if self.model.bucket(index)
            or any(bucket_index(waiting.key ^ LOCAL) == index for waiting, _ in self.model.waiting)
        }

    @invariant()
    def bounds_hold(self):
        for index, size in self.table.fill().sizes.items():
            assert size <= self.k_most
            networks = [row.prefix for row in self.model.bucket(index) if row.prefix is not None]
            assert all(networks.count(network) <= PREFIX_BUCKET_MAX for network in networks)
            providers = [provider_prefix(network) for network in networks]
            assert all(providers.count(provider) <= (self.k_most + 1) // 2 for provider in providers)
        networks = [row.prefix for row in self.model.rows if row.prefix is not None]
        assert all(networks.count(network) <= PREFIX_TABLE_MAX for network in networks)

    def _failures(self, member):
        return self.table.get(member.peer_id).failures


TestTableAgainstModel = TableAgainstModel.TestCase
TestTableAgainstModel.settings = settings(max_examples=60, stateful_step_count=60)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200))
def test_borders_split_what_was_measured_into_a_few_tiers(rtts_s):
    """
    For any round trips there are one to seven tiers, in order, none of them empty.
    """
    borders = tier_borders(rtts_s)

    assert len(borders) < TIERS_MAX
    assert borders == sorted(borders)
    edges = [-1.0, *borders, 2e4]
    for low, high in pairwise(edges):
        assert any(low < rtt_s <= high for rtt_s in rtts_s)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 10), st.floats(0, 400)), max_size=200))
def test_every_address_has_a_tier_that_exists(steps):
    """
    Whatever was measured when, known and unknown networks are in one of the tiers.
    """
    tiers, now = Tiers(), 0.0
    for network, rtt_s, pause_s in steps:
        now += pause_s
        tiers.observe(f"8.{network}.1.1", rtt_s, now)

        assert 0 <= tiers.tier(f"8.{network}.2.2") < len(tiers)
        assert 0 <= tiers.tier("9.9.9.9") < len(tiers) <= TIERS_MAX


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["answered", "timed_out", "unreachable", "queued"]),
            st.integers(1, 30),
            st.sampled_from([0.0, 0.1, 11.0, 61.0, 4000.0]),
            st.booleans(),
        ),
        max_size=100,
    )
)
def test_k_and_alpha_stay_within_their_bounds(steps):
    """
    However requests end, k and alpha move one step at a time and within their bounds; the share is one.
    """
    adaptation, now = Adaptation(), 0.0
    for kind, count, pause_s, known in steps:
        now += pause_s
        for _ in range(count):
            before = adaptation.k, adaptation.alpha
            if kind == "queued":
                adaptation.queued(count)
            elif kind == "answered":
                adaptation.answered(now, 0.1, known=known)
            else:
                getattr(adaptation, kind)(now, known=known)
            assert K_MIN <= adaptation.k <= K_MAX
            assert ALPHA_MIN <= adaptation.alpha <= ALPHA_MAX
            assert abs(adaptation.k - before[0]) <= 1
            assert abs(adaptation.alpha - before[1]) <= 1
        assert 0.0 <= adaptation.why().dead_share <= 1.0


@given(st.integers(0, 2**32), st.integers(0, 255))
def test_random_keys_are_in_their_bucket(seed, index):
    """
    For every bucket and seed.
    """
    key = RoutingTable(LOCAL, k=20).random_key(index, Rng(seed))

    assert bucket_index(key ^ LOCAL) == index
