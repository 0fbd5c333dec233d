"""Whose key a peer has shown, looked up anew when a chain grows: who stays, goes, or must prove a newer key.

Bounds:   REAUTH_DEADLINE_S for a key that was replaced; no time at all for one that is out of use.
Trust:    nothing here asks the peer; only chains count.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.clusters import events as ev
from kontinuum.clusters.budget import Budget
from kontinuum.clusters.deadlines import Timer
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import MESSAGE_STATEMENTS_MAX, Statements
from kontinuum.clusters.sessions import (
    MEMBER_BYTES_MAX,
    MEMBER_BYTES_PER_S,
    MEMBER_WORK_MAX,
    MEMBER_WORK_PER_S,
    STRANGER_BYTES_MAX,
    STRANGER_BYTES_PER_S,
    STRANGER_WORK_MAX,
    STRANGER_WORK_PER_S,
    Session,
)
from kontinuum.keys.bodies import Rekey
from kontinuum.keys.bundles import bundles
from kontinuum.transport.errors import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kontinuum.clusters.members import Member
    from kontinuum.clusters.sessions import Parts
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.keys.statements import Statement

REAUTH_DEADLINE_S = 10.0
"""Seconds that a session of a replaced key may go on until its peer proves the newer one. Our choice: some
round trips, and the time in which the statement that declares it travels another way. Then it is cut."""


class Recognition:
    """Judges the peers of all sessions.

    Args:
        parts: What the machine's parts share.
        greet: Called with a session whose peer is recognised and whose stream is there.
    """

    def __init__(self, parts: Parts, greet: Callable[[Session], None]) -> None:
        self._parts = parts
        self._greet = greet
        self._own_key_told: tuple[PeerId, Judgement] | None = None

    def opened(self, event: ev.Opened, now: float) -> Session | None:
        """A session for a new connection, unless its key is out of use."""
        parts = self._parts
        judged = parts.book.judge(event.peer)
        session = Session(
            connection=event.connection,
            peer=event.peer,
            outbound=event.outbound,
            exporter=event.exporter,
            shown=event.peer,
            own_shown=event.local,
            judged=judged,
            budget=Budget(STRANGER_BYTES_MAX, STRANGER_BYTES_PER_S, now),
            work=Budget(STRANGER_WORK_MAX, STRANGER_WORK_PER_S, now),
        )
        parts.sessions[event.connection] = session
        self._consider(session, None, now)
        return parts.sessions.get(event.connection)

    def grown(
        self, cluster: ClusterId, added: Iterable[Statement], source: Session | None, now: float
    ) -> None:
        """A chain grew: look up everybody of whom it speaks.

        Args:
            cluster: Whose chain.
            added: What is new in it.
            source: Whose message brought it; he need not be told what it says of himself.
            now: Monotonic seconds.
        """
        # A stranger stays one unless a statement names his key: a thousand of them cost nothing here.
        named = {each.body.signing for each in added if isinstance(each.body, Rekey)}
        for session in list(self._parts.sessions.values()):
            member = session.judged.member
            if session.peer in named or (member is not None and member.cluster == cluster):
                self._look_up(session, source, now)
        self.look_at_ourselves()

    def trust_changed(self, source: Session | None, now: float) -> None:
        """Other clusters are trusted than before: look everybody up."""
        for session in list(self._parts.sessions.values()):
            self._look_up(session, source, now)

    def _look_up(self, session: Session, source: Session | None, now: float) -> None:
        judged = self._parts.book.judge(session.peer)
        if judged != session.judged:
            session.judged = judged
            self._consider(session, source, now)

    def look_at_ourselves(self) -> None:
        """Tell our node once if its own key speaks no longer."""
        parts = self._parts
        judged = parts.book.judge(parts.local)
        told = (parts.local, judged.judgement)
        out = judged.judgement in (Judgement.OUT_OF_USE, Judgement.SUPERSEDED)
        if out and told != self._own_key_told:
            parts.out.append(ev.OwnKeyOut(judged.reason))
        self._own_key_told = told

    def renamed(self, session: Session, new: PeerId, now: float) -> None:
        """The peer proved that it has another key, of the same place."""
        parts, old = self._parts, session.peer
        session.peer = new
        parts.out.append(ev.Renamed(session.connection, old, new))
        session.judged = parts.book.judge(new)
        self._consider(session, session, now)

    def prove_succession(self, session: Session) -> None:
        """Show the peer of a replaced key what replaced it: it may have slept, or be a copy."""
        judged = session.judged
        if session.met and judged.member is not None and judged.current is not None:
            self._send_line(session, judged.member.cluster, judged.current)

    def introduce_ourselves(self, session: Session) -> None:
        """Show the peer what makes our key one of our cluster; it may not have heard of us."""
        if self._parts.book.cluster is not None:
            self._send_line(session, self._parts.book.cluster, self._parts.local)

    def _send_line(self, session: Session, cluster: ClusterId, key: PeerId) -> None:
        chain = self._parts.book.chain(cluster)
        if chain is not None:
            declared = [use.statement.id for use in chain.registers.uses(key)]
            line = chain.foundation(declared)
            for start in range(0, len(line), MESSAGE_STATEMENTS_MAX):
                for bundle in bundles(line[start : start + MESSAGE_STATEMENTS_MAX]):
                    self._parts.send(session, Statements(cluster, bundle))

    def _consider(self, session: Session, source: Session | None, now: float) -> None:
        """Draw the consequences of what the book says now."""
        parts, judged, number = self._parts, session.judged, session.connection
        if session.known_as is not None and not _is_same(judged.member, session.known_as):
            parts.lose(session)
        match judged.judgement:
            case Judgement.OUT_OF_USE:
                parts.cut(session, CloseCode.REVOKED, f"this key is out of use: {judged.reason}")
            case Judgement.SUPERSEDED:
                if not parts.deadlines.is_set(number, Timer.REAUTH):
                    parts.deadlines.set(number, Timer.REAUTH, now + REAUTH_DEADLINE_S)
                if session is not source:
                    self.prove_succession(session)
            case Judgement.STRANGER:
                parts.deadlines.unset(number, Timer.REAUTH)
                if session.met:
                    parts.refuse(session, "stranger")
            case Judgement.MEMBER:
                parts.deadlines.unset(number, Timer.REAUTH)
                parts.deadlines.unset(number, Timer.HELLO)
                self._welcome(session, now)

    def _welcome(self, session: Session, now: float) -> None:
        if session.known_as is None and session.member is not None:
            session.budget = Budget(MEMBER_BYTES_MAX, MEMBER_BYTES_PER_S, now)
            session.work = Budget(MEMBER_WORK_MAX, MEMBER_WORK_PER_S, now)
            self._parts.out.append(ev.Recognised(session.connection, session.member))
        session.known_as = session.member
        if session.met:
            self._greet(session)


def _is_same(one: Member | None, other: Member) -> bool:
    """Whether both are one node, whatever its key and what it is called."""
    return one is not None and (one.cluster, one.place) == (other.cluster, other.place)
