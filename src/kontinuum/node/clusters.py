"""The cluster of a node, and those that it trusts: ``node.clusters``.

Joins the room ``clusters`` with the node's connections, its topics, its disk and the DHT: who peers are, by
which names they are reached, what becomes of their sessions when keys change, and how this node changes its
own.

Bounds:   those of the room.
Trust:    what others say about keys is verified by the room; what our own user says comes in through
          :meth:`NodeClusters.say` and its like, and was signed by a key that this node does not hold.
Secrets:  a running node holds an epoch's secret. The branch's is opened for a moment, to obey an order.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from kontinuum.base.entropy import Rng, SystemEntropy
from kontinuum.base.errors import KontinuumError, MisuseError, PeerError
from kontinuum.base.log import RoomLogger
from kontinuum.clusters import events as ev
from kontinuum.clusters.book import Book
from kontinuum.clusters.lineage import encode_lineage
from kontinuum.clusters.machine import ClusterMachine
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.service import ClusterService
from kontinuum.clusters.trust import How
from kontinuum.identity import PeerId
from kontinuum.keys.standing import Standing
from kontinuum.node.cluster_effects import ClusterEffects
from kontinuum.node.cluster_json import member_json, trusted_json
from kontinuum.node.errors import KeyOutOfUseError
from kontinuum.node.fellows import FELLOWS_MAX, Fellows
from kontinuum.node.pointers import LINEAGE
from kontinuum.node.vault_sync import VaultSync
from kontinuum.rpc.errors import CallError
from kontinuum.transport import CloseCode, CloseKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Any

    from kontinuum.base.clock import Clock
    from kontinuum.clusters.members import Member, Trusted
    from kontinuum.clusters.trust import TrustEntry
    from kontinuum.identity import KeyPair
    from kontinuum.identity.pow import ProofOfWork
    from kontinuum.keys.derivation import EpochSecret
    from kontinuum.keys.genesis import ClusterId, Genesis
    from kontinuum.keys.orders import Order
    from kontinuum.keys.paths import Place
    from kontinuum.keys.statements import Statement
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.events import NodeEvent
    from kontinuum.node.neighbours import Neighbours, PeerLike
    from kontinuum.node.node import Node
    from kontinuum.node.pointers import Pointers
    from kontinuum.node.pubsub import NodePubSub
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import CloseReason, Connection

NOT_OURS = 100
"""Code of the answer to a call for the lineage of a key that is not of this node's place."""

POINTERS_MAX = 4
"""Earlier keys of this node at which a pointer is left at every start. Our choice: peers that slept through
more rekeyings follow one pointer after the other."""

LINEAGES_MAX = 8
"""Earlier keys of ours whose proof is kept ready; then all are made anew. Our choice: a node has few that are
asked about, and only its own are kept."""

OFFER_FIRST_S = 2.0
"""Seconds from the start until a node of a cluster that has another root now says so where the old one's
friends listen. Doubles each time, up to OFFER_MAX_S. Our choice: by then the first of them are connected."""

OFFER_MAX_S = 3600.0
"""The longest such time. Our choice: a friend that sleeps for months hears of it within an hour."""

_log = RoomLogger("node")


class NodeClusters:
    """The clusters of one node. Made and started by the node.

    Args:
        home: What the data directory holds of them.
        node: Whose vault is copied to the other nodes.
        clock: Both clocks.
        rpc: Where the peers' streams arrive.
        neighbours: The node's connections.
        pointers: Leaves and follows pointers at old keys.
        reach: Connects to a peer; raises a KontinuumError.
        prove: Mines the proof of work of another key.
        adopt: Moves the node to another key.
        tell: Told what happens.
    """

    def __init__(
        self,
        home: ClusterHome,
        *,
        node: Node,
        clock: Clock,
        rpc: RpcService,
        neighbours: Neighbours,
        pointers: Pointers,
        reach: Callable[[PeerId], Awaitable[object]],
        prove: Callable[[KeyPair], Awaitable[ProofOfWork]],
        adopt: Callable[[KeyPair, ProofOfWork], Awaitable[None]],
        tell: Callable[[NodeEvent], None],
    ) -> None:
        self.book: Book = home.book
        """Who is who. Only to be looked at: the room feeds it."""
        self.store = home.store
        self.home = home
        """What the data directory holds of them."""
        self._node = node
        self._clock = clock
        self._rpc = rpc
        self._neighbours = neighbours
        self.pointers = pointers
        """Where this node went, for strangers who know an earlier key."""
        self._prove = prove
        self._adopt = adopt
        self._rekeying = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.resealing = False
        """The vault is being sealed to a new key."""
        self._lineages: dict[PeerId, tuple[tuple[int, PeerId], bytes]] = {}
        self._effects = ClusterEffects(
            home,
            clock=clock,
            neighbours=neighbours,
            pointers=pointers,
            tell=tell,
            spawn=self._spawn,
            heard=lambda topic, data: self.service.heard(topic, data),  # noqa: PLW0108 -- it is made below
            rekeyed=self.rekeyed,
        )
        self.service = ClusterService(
            ClusterMachine(
                self.book,
                home.signer.peer_id,
                rng=Rng(int.from_bytes(SystemEntropy().token(8))),
                obedience=home.obedience,
                orders=home.orders,
            ),
            rpc=rpc,
            on_effect=self._effects.perform,
        )
        self._fellows = Fellows(self._wanted_fellows, neighbours.links.current, reach, now=clock.monotonic)

    # --- life ---

    def start(self) -> None:
        """Judge every connection from now on, and keep sessions with the other nodes of the cluster."""
        opened, closed = self._rpc.connection_opened, self._rpc.connection_closed

        def on_opened(connection: Connection) -> None:
            # A key that is out of use is turned away before anybody else hears of it.
            if self.service.opened(connection):
                opened(connection)

        def on_closed(connection: Connection, reason: CloseReason) -> None:
            self.service.closed(connection)
            refused = reason.kind is CloseKind.APPLICATION and reason.code == CloseCode.REVOKED
            if refused and self.is_fellow(connection.peer_id):
                self._fellows.refused(connection.peer_id)
            closed(connection, reason)

        self._rpc.connection_opened, self._rpc.connection_closed = on_opened, on_closed
        self._rpc.add_handler(LINEAGE, self._on_lineage)
        self.vault_sync = VaultSync(self._node, self.is_fellow)
        self.service.start()
        self._spawn(self._fellows.keep(), "fellows")

    def listen(self, pubsub: NodePubSub | None, dht: NodeDht | None) -> None:
        """Hear and tell news on the cluster's topic as well; leave pointers as soon as there is a network."""
        self._effects.listen(pubsub)
        if pubsub is not None and self.book.succession():
            self._spawn(self._offer_succession(), "succession")
        if self.store.home().former or len(self.home.epochs) > 1:
            self._spawn(self._reseal(), "vault")
        if dht is not None:
            joined = dht.joined

            def on_joined() -> None:
                joined()
                self._spawn(self.leave_pointers(), "pointers")

            dht.joined = on_joined

    async def close(self) -> None:
        """End everything; what was said is on the disk."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.service.close()

    async def leave_pointers(self) -> None:
        """Say at our earlier keys where we are; to be called when the network was joined."""
        current, *earlier = self.home.epochs
        for epoch in earlier[:POINTERS_MAX]:
            await self.pointers.leave(epoch.signing(), current.signing().peer_id)

    # --- who is who ---

    def who(self, peer: PeerId) -> Member | None:
        """Which node of our cluster, or of one that we trust, speaks with this key now; None for others."""
        judged = self.book.judge(peer)
        return judged.member if judged.judgement is Judgement.MEMBER else None

    def is_fellow(self, peer: PeerId) -> bool:
        """Whether it is a node of our own cluster, now."""
        member = self.who(peer)
        return member is not None and member.own

    def cut_off_by(self) -> list[str]:
        """Names of the nodes of our cluster that cut this one off, as for a key that is out of use."""
        return [self.name_of(peer) for peer in self._fellows.refusing()]

    def describe(self) -> dict[str, Any]:
        """All of this for people and programs; see ``cluster show`` in docs/cli.md."""
        book, home = self.book, self.home
        connected = self._neighbours.links.current
        own = None if book.own is None else Standing(book.own).of_place(home.path.place)
        return {
            "cluster": None if book.cluster is None else book.cluster.hex(),
            "place": str(home.path.place),
            "path": str(home.path),
            "epoch": home.epochs[0].epoch,
            "label": "" if own is None else own.label,
            "key": str(home.signer.peer_id),
            "living": self.is_fellow(home.signer.peer_id),
            "cut_off_by": self.cut_off_by(),
            "members": [
                {**member_json(member), "connected": member.key in connected} for member in book.members()
            ],
            "trusted": [trusted_json(trusted) for trusted in book.trusted()],
            "sessions": [member_json(member) for key in connected if (member := self.who(key)) is not None],
        }

    def name_of(self, peer: PeerId) -> str:
        """What to call a peer in front of people: its name if it has one, its key otherwise."""
        member = self.who(peer)
        return str(peer) if member is None else member.text

    def identify(self, peer: PeerLike) -> PeerId:
        """Whom a caller means: names and old keys lead to the key of now.

        Raises:
            UnknownNameError, AmbiguousNameError: The name is nobody's, or several nodes'.
            KeyOutOfUseError: The key was taken out of use, and nobody speaks for its place.
            UnknownPeerError: The text names no peer.
        """
        if isinstance(peer, str) and Book.is_name(peer):
            return self.book.resolve(peer)
        peer_id = self._neighbours.identify(peer)
        judged = self.book.judge(peer_id)
        match judged.judgement:
            case Judgement.SUPERSEDED if judged.current is not None:
                return judged.current
            case Judgement.OUT_OF_USE if judged.current is not None:
                return judged.current
            case Judgement.OUT_OF_USE:
                raise KeyOutOfUseError(peer_id, judged.reason)
            case Judgement.MEMBER:
                return peer_id
            case _:
                return self.pointers.current(peer_id)

    def connected_fellows(self) -> list[Member]:
        """The other nodes of our cluster with which we have a session."""
        return [member for member in self.book.fellows() if member.key in self._neighbours.links.current]

    # --- what our own user says ---

    def say(self, cluster: ClusterId, statements: Sequence[Statement]) -> int:
        """Take statements in, keep them, tell everybody whom they concern. Returns how many were new.

        Raises:
            UnknownClusterError: It is neither our cluster nor one that we trust.
            StatementError, BadSignatureError, UnavailableError: One of them is refused; those before it stay.
        """
        before = self._length(cluster)
        self.service.feed(ev.Said(cluster, tuple(statements)))
        return self._length(cluster) - before

    def trust(self, genesis: Genesis, statements: Sequence[Statement], name: str, how: str) -> Trusted:
        """Trust another cluster from now on, as all nodes of ours will.

        Args:
            genesis: Its beginning, which pins its root.
            statements: What is known of its chain.
            name: What we call it; a number is added if another one has it.
            how: ``meet``, ``given`` or ``transition``.

        Raises:
            MisuseError: It is our own, or we trust too many.
        """
        entry = self.book.trust_entry(genesis, name, How(how), self.home.signer, self._clock.utc())
        self.service.feed(ev.TrustSaid((entry,)))
        self.service.feed(ev.Said(genesis.cluster, tuple(statements)))
        return self.book.trusted_cluster(genesis.cluster)

    def untrust(self, name: str) -> TrustEntry:
        """Trust a cluster no longer, as all nodes of ours will.

        Raises:
            UnknownNameError: There is none of this name.
        """
        entry = self.book.distrust_entry(name, self.home.signer, self._clock.utc())
        self.service.feed(ev.TrustSaid((entry,)))
        return entry

    def order(self, order: Order) -> None:
        """Pass a parent's order on, until it is obeyed."""
        self.service.feed(ev.OrderGiven(order))

    def parcel(self, place: Place, data: bytes) -> bool:
        """Give a node of our cluster something sealed to it. Says whether it is connected."""
        return any(isinstance(effect, ev.Send) for effect in self.service.feed(ev.ParcelSent(place, data)))

    async def move_to(self, statements: Sequence[Statement], branch: int, epoch: int) -> PeerId:
        """As :meth:`rekeyed`, to an epoch whose secret somebody put into the data directory."""
        return await self.rekeyed(statements, self.home.kept(branch, epoch))

    async def rekeyed(self, statements: Sequence[Statement], secret: EpochSecret) -> PeerId:
        """Move this node to another epoch of its branch, whose statements are made and whose secret is kept.

        The order matters: the work is mined while the old key still speaks, the statements are on the disk
        before anybody hears of the new key, and then nothing waits until all of the node has gone over.

        Raises:
            MisuseError: The statements do not declare that key for this node's place. Nothing has changed.
            FileUnavailableError: The disk is full or read-only. Nothing has changed.
        """
        async with self._rekeying:
            old, new = self.home.signer, secret.signing()
            if new.peer_id == old.peer_id:
                return new.peer_id
            self._verify_declared(statements, secret)
            proof = await self._prove(new)
            self.store.append(self._verify_declared(statements, secret), statements)
            await self._adopt(new, proof)
            self.home.move_to(secret)
            self.service.feed(ev.Moved(tuple(statements), new, old.peer_id))
            for connection in self.service.connections():
                if self.who(connection.peer_id) is not None:
                    self._neighbours.proved(connection)
            _log.info("this node has a new key", key=new.peer_id.short, before=old.peer_id.short)
            self._spawn(self.leave_pointers(), "pointers")
            self.resealing = True
            self._spawn(self._reseal(), "vault")
            return new.peer_id

    # --- inside ---

    def _verify_declared(self, statements: Sequence[Statement], secret: EpochSecret) -> ClusterId:
        """Check that our chain, with these statements, names the epoch's key as that of our place now."""
        chain, key = self.book.own, secret.signing().peer_id
        if chain is not None:
            after = chain.copy()
            after.merge(statements)
            with contextlib.suppress(PeerError):
                if Standing(after).verify_speaker(key) == self.home.path.place:
                    return chain.cluster
        raise MisuseError(f"no statement makes {key.short} the key of this node")

    async def _offer_succession(self) -> None:
        """Tell the friends of the cluster that we were, on its topic, that its root left for ours.

        Our own tag and key are strangers' to them. Whether they follow is for them to decide.
        """
        wait_s = OFFER_FIRST_S
        while (said := self.book.succession()) and self.book.cluster is not None:
            await asyncio.sleep(wait_s)
            with contextlib.suppress(KontinuumError):
                self.service.feed(ev.SaidAgain(said[0].cluster, said))
            wait_s = min(2 * wait_s, OFFER_MAX_S)

    async def _reseal(self) -> None:
        """Seal the vault to the key of now. What a crash leaves opens with the earlier keys, which stay."""
        self.resealing = True
        try:
            resealed = await self._node.vault.rekey(self.home.keyring())
        except KontinuumError as error:
            _log.warning("the vault is sealed to an earlier key still", reason=str(error))
            return
        finally:
            self.resealing = False
        if resealed.sealed or resealed.left:
            sealed, left = len(resealed.sealed), len(resealed.left)
            _log.info("the vault is sealed to the new key", sealed=sealed, left=left)

    def _wanted_fellows(self) -> list[PeerId]:
        """Which nodes of our cluster we keep connected: those that follow us in order, round the circle."""
        fellows = self.book.fellows()
        own = self.home.path.place.indexes
        after = [each.key for each in fellows if each.place.indexes > own]
        return [*after, *(each.key for each in fellows if each.place.indexes <= own)][:FELLOWS_MAX]

    def _on_lineage(self, _peer: PeerId, data: bytes) -> bytes:
        """Somebody who knew us by an earlier key asks for the proof that it is us."""
        with contextlib.suppress(KontinuumError):
            old, chain = PeerId(data), self.book.own
            known = self._lineages.get(old)
            if known is not None and chain is not None and known[0] == (len(chain), self.home.signer.peer_id):
                return known[1]  # Anybody may ask, and often; looking through a long chain takes a while.
            judged = self.book.judge(old)
            member = judged.member
            ours = member is not None and member.own and member.place == self.home.path.place
            # Who knows the key of now alone has no question, and shall not learn of which cluster it is.
            if chain is not None and ours and old != self.home.signer.peer_id:
                proof = encode_lineage(chain, old, self.home.signer.peer_id)
                if len(self._lineages) >= LINEAGES_MAX:
                    self._lineages.clear()
                self._lineages[old] = ((len(chain), self.home.signer.peer_id), proof)
                return proof
        raise CallError(NOT_OURS, "not a key of this node")

    def _length(self, cluster: ClusterId) -> int:
        chain = self.book.chain(cluster)
        return 0 if chain is None else len(chain)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"kontinuum cluster {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
