"""A model network for searches: thousands of peers that only name other peers, some of them hostile.

Routing tables are what Kademlia's would be after a long time, made when a peer is first asked: of each half,
quarter, eighth of the key space that is not its own a peer knows up to k, and all of its neighbourhood.
"""

import heapq
import itertools
import math
import random
from bisect import bisect_left
from dataclasses import dataclass, field

from kontinuum.dht.search import Search, SearchSettings

REQUEST_TIMEOUT_S = 5.0


class ModelPeer:
    """What a search sees of a peer, without a contact: a hundred times cheaper."""

    __slots__ = ("ip", "key", "peer_id", "where")

    def __init__(self, number: int, key: int, ip: str | None = None, where=(0.0, 0.0)) -> None:
        self.key = key
        self.peer_id = number.to_bytes(32)
        self.ip = ip
        self.where = where

    def replaces(self, _other) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<ModelPeer {int.from_bytes(self.peer_id)}>"


@dataclass
class Run:
    """What one search did."""

    search: Search
    ended_s: float = 0.0
    asked: list = field(default_factory=list)
    """Place and peer of each request, in order."""
    most_in_flight: int = 0
    most_known: int = 0
    named: list = field(default_factory=list)
    """Whom those asked have named."""


class Network:
    """Peers, who of them lies, and what each of them would answer.

    Args:
        liars: Share of the peers that name only each other, the closest first.
        ground: So many more liars, next to ``target``: nearer than any honest peer can be by chance.
        crowded: Tables hold liars like everybody else; otherwise they came late and only fill empty places.
        dead: Share of the honest peers that are in tables, but gone.
        loss: Share of requests that are never answered.
        repeat: Share of answers that come twice.
        slow: Share of answers that take some seconds.
        fast_liars: They look as if they were next door.
        alive: So many honest peers live in any case.
        ground_ip: The address of each of the ``ground`` peers by its number.
        forged: Chance, at each event, of an answer by somebody who was not asked or has answered already.
    """

    def __init__(
        self,
        seed,
        peers,
        *,
        k=20,
        liars=0.0,
        ground=0,
        ground_bits=20,
        target=None,
        crowded=True,
        dead=0.0,
        loss=0.0,
        repeat=0.0,
        slow=0.0,
        forged=0.0,
        ground_ip=None,
        fast_liars=False,
        alive=0,
    ):
        self.rng = random.Random(seed)  # noqa: S311 -- a model
        self.k, self.loss, self.repeat, self.slow, self.crowded = k, loss, repeat, slow, crowded
        self._forged, self.fast_liars = forged, fast_liars
        self.target = self.random_key() if target is None else target
        made = [ModelPeer(number, self.random_key(), where=self._place()) for number in range(peers)]
        self.liars = {peer.peer_id for peer in made[: int(peers * liars)]}
        self.dead = {peer.peer_id for peer in made[int(peers * liars) :] if self.rng.random() < dead}
        made_honest = made[int(peers * liars) :]
        self.dead -= {peer.peer_id for peer in made_honest[:alive]}
        self.honest = [peer for peer in made if peer.peer_id not in self.liars]
        for number in range(peers, peers + ground):
            near = self.target ^ self.rng.getrandbits(256 - ground_bits)
            made.append(ModelPeer(number, near, ground_ip and ground_ip(number), where=self._place()))
            self.liars.add(made[-1].peer_id)
        self.peers = sorted(made, key=lambda peer: peer.key)
        self._keys = [peer.key for peer in self.peers]
        self._honest = sorted(self.honest, key=lambda peer: peer.key)
        self._honest_keys = [peer.key for peer in self._honest]
        self._hostile = [peer for peer in made if peer.peer_id in self.liars]
        self._tables = {}
        self._lies = {}

    def random_key(self):
        return self.rng.getrandbits(256)

    def closest(self, target, count=None):
        """The peers of the whole network that are alive and closest."""
        alive = (peer for peer in self.peers if peer.peer_id not in self.dead)
        return heapq.nsmallest(count or self.k, alive, key=lambda peer: peer.key ^ target)

    def client(self):
        """An honest living peer to search from."""
        return self.rng.choice([peer for peer in self.honest if peer.peer_id not in self.dead])

    def table(self, peer):
        """Whom ``peer`` knows."""
        table = self._tables.get(peer.peer_id)
        if table is None:
            table = self._tables[peer.peer_id] = self._make_table(peer)
        return table

    def answer(self, peer, target):
        """Whom ``peer`` names."""
        if peer.peer_id in self.liars:
            if target not in self._lies:
                self._lies[target] = heapq.nsmallest(self.k, self._hostile, key=lambda p: p.key ^ target)
            return self._lies[target]
        return sorted(self.table(peer), key=lambda p: p.key ^ target)[: self.k]

    def rtt_s(self, one, other):
        """5 ms, and up to some 300 ms for the other side of the world."""
        return 0.005 + 0.3 * math.dist(one.where, other.where)

    def tier_of(self, local, tiers=5):
        """A client that has measured everybody; with ``fast_liars`` those are always next door."""

        def tier(peer, _expected_s):
            if self.fast_liars and peer.peer_id in self.liars:
                return 0
            return min(tiers - 1, int(self.rtt_s(local, peer) / 0.25 * tiers))

        return tier

    def search(
        self,
        target,
        *,
        client=None,
        tiers=False,
        extend=None,
        enough=None,
        until_s=3600.0,
        seeds=None,
        **settings,
    ):
        """Run one search to its end.

        ``extend(search)`` gives a radius to go on to, or None; ``enough(peer)`` may end it at an answer.
        """
        client = client or self.client()
        settings = SearchSettings(k=self.k, **settings)
        if seeds is None:
            seeds = sorted(self.table(client), key=lambda p: p.key ^ target)[: 3 * self.k]
        search = Search(
            target,
            seeds,
            local=client.peer_id,
            settings=settings,
            tier_of=self.tier_of(client) if tiers else None,
        )
        run, queue, tie, now, waiting = Run(search), [], itertools.count(), 0.0, set()
        wanted = search.start(now)
        while True:
            for peer in wanted:
                run.asked.append((search.place, peer.peer_id))
                waiting.add(peer.peer_id)
                for due, kind in self._fate(client, peer):
                    heapq.heappush(queue, (now + due, next(tie), kind, peer))
            run.most_in_flight = max(run.most_in_flight, *(path.in_flight for path in search._paths))
            run.most_known = max(run.most_known, *(len(path.order) for path in search._paths))
            if search.done:
                run.ended_s = now
                radius = extend(search) if extend else None
                extend = None
                if radius is None:
                    return run
                wanted = search.extend(radius)
                continue
            deadline = search.next_deadline()
            assert queue or deadline is not None, "nothing can happen any more, yet the search is not done"
            assert now < until_s
            if queue and (deadline is None or queue[0][0] <= deadline):
                now, _, kind, peer = heapq.heappop(queue)
                self._forge(search, waiting, now)
                waiting.discard(peer.peer_id)
                if kind == "answer":
                    run.named += self.answer(peer, search.place)
                    wanted = search.answered(peer.peer_id, self.answer(peer, search.place), now)
                    if enough is not None and enough(peer):
                        search.finish()
                        wanted = []
                else:
                    wanted = search.failed(peer.peer_id, now)
            else:
                now, wanted = deadline, search.handle_timeout(deadline)

    def _forge(self, search, waiting, now):
        if self.rng.random() < self._forged:
            forger = self.rng.choice(self.peers)
            lie = self.rng.choices(self.peers, k=3 * self.k)
            if forger.peer_id not in waiting:
                assert search.answered(forger.peer_id, lie, now) == []
                assert search.failed(forger.peer_id, now) == []

    def _fate(self, client, peer):
        yield REQUEST_TIMEOUT_S, "failure"  # Comes always, and is too late where an answer came.
        if peer.peer_id in self.dead or self.rng.random() < self.loss:
            return
        due = self.rtt_s(client, peer)
        if self.rng.random() < self.slow:
            due += self.rng.uniform(1.0, 3.9)
        yield due, "answer"
        if self.rng.random() < self.repeat:
            yield due + self.rng.uniform(0.0, 2.0), "answer"

    def _make_table(self, peer):
        table, low, high = [], 0, 1 << 256
        while high - low > 1:
            middle = (low + high) // 2
            near, far = (
                ((low, middle), (middle, high)) if peer.key < middle else ((middle, high), (low, middle))
            )
            table += self._some_of(*far)
            low, high = near
            left, right = self._range(self._keys, low, high)
            if right - left <= 1:
                return table
        return table

    def _some_of(self, low, high):
        left, right = self._range(self._keys, low, high)
        if right - left <= self.k:
            return self.peers[left:right]
        if self.crowded:
            return [self.peers[at] for at in self.rng.sample(range(left, right), self.k)]
        first, last = self._range(self._honest_keys, low, high)
        if last - first >= self.k:
            return [self._honest[at] for at in self.rng.sample(range(first, last), self.k)]
        late = [peer for peer in self.peers[left:right] if peer.peer_id in self.liars]
        return self._honest[first:last] + self.rng.sample(late, self.k - (last - first))

    @staticmethod
    def _range(keys, low, high):
        return bisect_left(keys, low), bisect_left(keys, high)

    def _place(self):
        x, y = self.rng.choice(REGIONS)
        return x + self.rng.gauss(0, 0.05), y + self.rng.gauss(0, 0.05)


REGIONS = [(0.0, 0.0), (0.1, 0.1), (0.3, 0.0), (0.6, 0.3), (0.8, 0.1), (0.5, 0.7)]
