"""The nodes of a cluster, and of clusters that trust each other, keep each other's chains up: the machine.

Events in, effects out (``events.py``). ``recognition`` decides who a peer is and who is cut, ``catching_up``
brings chains together, ``sayings`` the list of trust and the orders, ``moving`` takes sessions over to new
keys, ``news`` the topics. What they share is in ``sessions.py``.

Source:   our own protocol, docs/protocols/cluster.md; issue 6, section 4.
Bounds:   those of the parts. One event causes at most one message to each session, but for answers.
Trust:    a peer is what the chains say of the key that it proved to TLS, or on this session since. A tag only
          opens the conversation. Whoever breaks a rule or floods us loses the stream, whoever shows a wrong
          signature the connection.
Pure:     no I/O or clock; chance is a seedable Rng. Driven by ``kontinuum.clusters.service`` and by
          simulations.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import KontinuumError, MisuseError, PeerError
from kontinuum.clusters import events as ev
from kontinuum.clusters import messages as msg
from kontinuum.clusters.catching_up import CatchingUp
from kontinuum.clusters.deadlines import Timer
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import VERSION, decode
from kontinuum.clusters.moving import Moving
from kontinuum.clusters.news import News
from kontinuum.clusters.orders_kept import OrdersKept
from kontinuum.clusters.recognition import Recognition
from kontinuum.clusters.sayings import Sayings
from kontinuum.clusters.sessions import Parts, Session, Stream
from kontinuum.clusters.tags import hello_tag
from kontinuum.keys.orders import Obedience
from kontinuum.keys.paths import Path
from kontinuum.transport.errors import CloseCode
from kontinuum.wire.limits import CLUSTER_PARCEL_BYTES_MAX

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Sequence

    from kontinuum.base.entropy import Rng
    from kontinuum.clusters.book import Book
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.keys.orders import Order
    from kontinuum.keys.paths import Place
    from kontinuum.keys.statements import Statement

HELLO_DEADLINE_S = 10.0
"""Seconds from the opening of a stream until its peer has said which cluster it is of and has shown that its
key is one of that cluster's. Our choice. Then the stream is refused."""

PARCEL_WORK = 8
"""Pieces of work that a parcel for us costs its sender. Our choice: opening it takes longer than reading it.
More: his stream is refused for good."""

REOPEN_FIRST_S = 1.0
"""Seconds until a stream that a member refused, or that broke, is tried again. Doubles each time. Our choice:
two clusters that just met may not have heard of it on both sides."""

REOPEN_MAX_S = 60.0
"""The longest such time. Our choice."""


class ClusterMachine:
    """What one node does about clusters.

    Args:
        book: Who is who. Nobody else merges anything into it.
        local: Our own key.
        rng: Chance for choices that are no secret.
        obedience: What this node remembers of orders to itself; by default nothing.
        orders: Orders that it kept before it stopped.
    """

    def __init__(
        self,
        book: Book,
        local: PeerId,
        *,
        rng: Rng,
        obedience: Obedience | None = None,
        orders: Iterable[Order] = (),
    ) -> None:
        parts = self._parts = Parts(book, local, rng)
        self.book = book
        self._now = 0.0
        self._recognition = Recognition(parts, self._greet)
        self._moving = Moving(parts, self._recognition)
        self._news = News(parts)
        self._orders = OrdersKept(parts, obedience or Obedience(book.path or Path()), orders)
        self._sayings = Sayings(parts, self._orders, self._on_trust_changed)
        self._catching_up = CatchingUp(
            parts, sayings=self._sayings.digest, say=self._sayings.say, learned=self._on_learned
        )
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            ev.Started: self._on_started,
            ev.Opened: self._on_opened,
            ev.StreamReady: self._on_stream_ready,
            ev.StreamEnded: self._on_stream_ended,
            ev.Closed: self._on_closed,
            ev.Received: self._on_received,
            ev.Heard: self._on_heard,
            ev.Said: self._on_said,
            ev.SaidAgain: lambda event, _: self._news.publish(event.cluster, event.statements),
            ev.TrustSaid: self._on_trust_said,
            ev.OrderGiven: self._on_order_given,
            ev.ParcelSent: self._on_parcel_sent,
            ev.Moved: self._on_moved,
        }
        self._readers: dict[type, Callable[[Session, Any, float], None]] = {
            msg.Heads: self._catching_up.on_heads,
            msg.Statements: self._catching_up.on_statements,
            msg.Summary: self._catching_up.on_summary,
            msg.Trust: self._sayings.on_trust,
            msg.Orders: self._sayings.on_order,
            msg.Parcel: self._on_parcel,
            msg.Reauth: self._moving.on_reauth,
        }

    # --- the machine ---

    def handle(self, event: ev.Event, now: float) -> list[ev.Effect]:
        """Take one event; return what shall be done about it, in order."""
        self._now = now
        self._handlers[type(event)](event, now)
        return self._effects()

    def handle_timeout(self, now: float) -> list[ev.Effect]:
        """Take the time; return what is due."""
        self._now = now
        for owner, timer in self._parts.deadlines.due(now):
            session = self._parts.sessions.get(owner)
            if timer is Timer.SUMMARY:
                self._catching_up.on_timer(now)
            elif timer is Timer.NEWS:
                self._news.on_timer()
            elif session is not None:
                self._on_session_timer(session, timer)
        return self._effects()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` wants to be called."""
        return self._parts.deadlines.next()

    # --- to look at ---

    @property
    def local(self) -> PeerId:
        """Our own key."""
        return self._parts.local

    @property
    def counts(self) -> Counter[str]:
        """For metrics: streams refused and connections cut, by reason, and what was passed over."""
        return self._parts.counts

    def sessions(self) -> list[Session]:
        """All of them; not to be changed."""
        return list(self._parts.sessions.values())

    def fellow_at(self, place: Place) -> Session | None:
        """The session with the node of our own cluster at this place."""
        for session in self._parts.fellows():
            if session.member is not None and session.member.place == place:
                return session
        return None

    # --- connections and streams ---

    def _on_started(self, _event: ev.Started, now: float) -> None:
        self._news.follow()
        if self.book.cluster is None:
            return
        self._recognition.look_at_ourselves()
        self._orders.start()
        self._catching_up.start(now)

    def _on_opened(self, event: ev.Opened, now: float) -> None:
        session = self._recognition.opened(event, now)
        if session is not None:
            self._open(session)

    def _on_closed(self, event: ev.Closed, _now: float) -> None:
        session = self._parts.sessions.get(event.connection)
        if session is not None:
            self._parts.drop(session)

    def _open(self, session: Session) -> None:
        """Open a stream, if that is ours to do."""
        if session.outbound and session.stream is Stream.NONE and self._may_have_a_stream(session):
            session.stream = Stream.OPENING
            self._parts.out.append(ev.OpenStream(session.connection))

    def _may_have_a_stream(self, session: Session) -> bool:
        return self.book.cluster is not None and not session.barred

    def _on_stream_ready(self, event: ev.StreamReady, now: float) -> None:
        session = self._parts.sessions.get(event.connection)
        if session is None or not self._may_have_a_stream(session):
            self._parts.out.append(ev.Refuse(event.connection))
            return
        session.stream = Stream.OPEN
        if not session.outbound and not session.work.take(1, now):
            self._parts.bar(session, "flood")
            return
        session.claimed = None
        session.compared = ()
        session.asked_at.clear()
        self._parts.deadlines.unset(session.connection, Timer.REOPEN)
        self._parts.deadlines.set(session.connection, Timer.HELLO, now + HELLO_DEADLINE_S)
        if session.outbound:
            self._say_hello(session)

    def _on_stream_ended(self, event: ev.StreamEnded, now: float) -> None:
        session = self._parts.sessions.get(event.connection)
        if session is None:
            return
        session.stream = Stream.NONE
        self._parts.deadlines.unset(session.connection, Timer.HELLO)
        if session.outbound and session.judged.judgement is not Judgement.STRANGER:
            wait_s = min(REOPEN_FIRST_S * 2 ** min(session.failures, 16), REOPEN_MAX_S)
            session.failures += 1
            self._parts.deadlines.set(session.connection, Timer.REOPEN, now + wait_s)

    def _on_session_timer(self, session: Session, timer: Timer) -> None:
        if timer is Timer.REAUTH:
            self._parts.cut(session, CloseCode.REVOKED, "this key was replaced, and the newer one not shown")
        elif timer is Timer.HELLO:
            self._parts.refuse(session, "late")
        elif timer is Timer.REOPEN:
            self._open(session)

    # --- messages ---

    def _on_received(self, event: ev.Received, now: float) -> None:
        session, parts = self._parts.sessions.get(event.connection), self._parts
        if session is None or session.stream not in (Stream.OPEN, Stream.MET):
            return
        parts.counts["received_bytes"] += len(event.data)
        if not session.budget.take(len(event.data), now):
            parts.bar(session, "flood")
            return
        try:
            message = decode(event.data)
        except PeerError:
            parts.bar(session, "malformed")
            return
        if session.stream is Stream.OPEN:
            self._on_hello(session, message)
        elif isinstance(message, msg.Hello):
            parts.bar(session, "hello_again")
        elif not isinstance(message, msg.Unknown):
            self._readers[type(message)](session, message, now)

    def _say_hello(self, session: Session) -> None:
        cluster = self.book.cluster
        if cluster is not None:
            tag = hello_tag(session.exporter, cluster, dialler=session.outbound)
            self._parts.send(session, msg.Hello(VERSION, tag))

    def _on_hello(self, session: Session, message: msg.Message) -> None:
        if not isinstance(message, msg.Hello):
            self._parts.bar(session, "no_hello")
            return
        session.claimed = self._recognise(session, message)
        if session.claimed is None:
            self._parts.refuse(session, "version" if message.version != VERSION else "unrecognised")
            return
        if not session.outbound:
            self._say_hello(session)
        session.stream, session.failures = Stream.MET, 0
        self._recognition.introduce_ourselves(session)
        self._moving.met(session)
        match session.judged.judgement:
            case Judgement.MEMBER:
                self._greet(session)
            case Judgement.SUPERSEDED:
                self._recognition.prove_succession(session)

    def _recognise(self, session: Session, hello: msg.Hello) -> ClusterId | None:
        """The cluster whose tag this is."""
        for cluster in self.book.clusters():
            tag = hello_tag(session.exporter, cluster, dialler=not session.outbound)
            if hmac.compare_digest(tag, hello.tag):
                return cluster
        return None

    def _greet(self, session: Session) -> None:
        """Begin to share with a member."""
        self._parts.deadlines.unset(session.connection, Timer.HELLO)
        self._catching_up.summarise(session)

    def _on_parcel(self, session: Session, message: msg.Parcel, now: float) -> None:
        member = session.member
        if not session.is_fellow or member is None or message.place != self.book.place:
            return
        if not session.work.take(PARCEL_WORK, now):
            self._parts.bar(session, "flood")
            return
        self._parts.out.append(ev.Handed(message.sealed, member))

    # --- what is new ---

    def _on_learned(self, cluster: ClusterId, added: list[Statement], source: Session | None) -> None:
        """A chain grew by what a peer said."""
        self._grown(cluster, added, added, source)
        self._news.publish_later(cluster, added, self._now)

    def _grown(
        self,
        cluster: ClusterId,
        told: Sequence[Statement],
        added: Sequence[Statement],
        source: Session | None,
    ) -> None:
        """Keep statements, judge everybody anew, tell everybody whom it concerns.

        Args:
            cluster: Whose chain.
            told: What is kept and told.
            added: What of it was not in the chain before.
            source: Whom it came from.
        """
        self._parts.out.append(ev.Save(cluster, tuple(told)))
        self._recognition.grown(cluster, told, source, self._now)
        self._catching_up.push(cluster, told, source)
        if cluster == self.book.cluster:
            self._orders.prune()
            self._on_trust_changed(source)
        if added:
            self._parts.out.append(ev.Chained(cluster, tuple(added)))

    def _on_trust_changed(self, source: Session | None) -> None:
        """Other clusters may be trusted: by an entry, or because the author of one lost his voice."""
        if not self._news.follow():
            return
        self._recognition.trust_changed(source, self._now)
        for session in self._parts.sessions.values():
            self._open(session)

    def _on_heard(self, event: ev.Heard, now: float) -> None:
        heard = self._news.heard(event, now)
        if heard is None:
            return
        cluster, statements = heard
        added, _, cheat = self._catching_up.merge(cluster, statements)
        if cheat is not None:
            self._parts.counts["news_malformed"] += 1
        if added:
            self._grown(cluster, added, added, None)

    # --- our own user ---

    def _on_said(self, event: ev.Said, _now: float) -> None:
        try:
            merged = self._catching_up.take(event.cluster, event.statements)
        except KontinuumError as error:
            self._parts.out.append(ev.NotSaid(error))
            return
        self._tell(event.cluster, event.statements, merged.added)
        for _, refusal in merged.refused:
            self._parts.out.append(ev.NotSaid(refusal))
        if merged.missing and not merged.refused:
            missing = MisuseError("statements that build on others, which are not here")
            self._parts.out.append(ev.NotSaid(missing))

    def _tell(self, cluster: ClusterId, said: Sequence[Statement], added: Sequence[Statement]) -> None:
        """Keep and tell what our own user said, also if his pen wrote it into the chain itself."""
        chain = self.book.chain(cluster)
        told = [statement for statement in said if chain is not None and statement.id in chain]
        if told:
            self._grown(cluster, told, added, None)
            self._news.publish(cluster, told)

    def _on_trust_said(self, event: ev.TrustSaid, _now: float) -> None:
        try:
            self._sayings.add_trust(event.entries, None)
        except KontinuumError as error:
            self._parts.out.append(ev.NotSaid(error))
            return
        if any(entry not in self.book.trust for entry in event.entries):
            full = MisuseError("no room in the list of trust: some node filled it; revoke that node")
            self._parts.out.append(ev.NotSaid(full))

    def _on_order_given(self, event: ev.OrderGiven, _now: float) -> None:
        try:
            self._sayings.add_order(event.order, None)
        except KontinuumError as error:
            self._parts.out.append(ev.NotSaid(error))

    def _on_parcel_sent(self, event: ev.ParcelSent, _now: float) -> None:
        session = self.fellow_at(event.place)
        if len(event.data) > CLUSTER_PARCEL_BYTES_MAX:
            too_long = MisuseError(f"a parcel has at most {CLUSTER_PARCEL_BYTES_MAX} bytes")
            self._parts.out.append(ev.NotSaid(too_long))
        elif session is not None:
            self._parts.send(session, msg.Parcel(event.place, event.data))

    def _on_moved(self, event: ev.Moved, _now: float) -> None:
        cluster = self.book.cluster
        if cluster is None:
            return
        added = self._catching_up.take(cluster, event.statements).added
        judged = self.book.judge(event.signer.peer_id)
        if judged.judgement is not Judgement.MEMBER or judged.member is None or not judged.member.own:
            undeclared = MisuseError("the chain does not say that the new key speaks for a node of ours")
            self._parts.out.append(ev.NotSaid(undeclared))
            return
        self._parts.local = event.signer.peer_id
        self._tell(cluster, event.statements, added)
        self._moving.moved(event.signer)

    def _effects(self) -> list[ev.Effect]:
        effects, self._parts.out = self._parts.out, []
        return effects
