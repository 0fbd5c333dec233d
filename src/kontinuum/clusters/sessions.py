"""What the machine of clusters knows of each connection, and what its parts share.

Bounds:   one session for each connection, of some 600 bytes; a peer may send STRANGER_BYTES_MAX until its
          key is known, then MEMBER_BYTES_MAX and MEMBER_BYTES_PER_S.
Trust:    a session's peer proved its key to TLS; whose key it is, the book says.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from kontinuum.clusters import events as ev
from kontinuum.clusters.deadlines import Deadlines, Timer
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kontinuum.base.entropy import Rng
    from kontinuum.clusters.book import Book
    from kontinuum.clusters.budget import Budget
    from kontinuum.clusters.members import Judged, Member
    from kontinuum.clusters.messages import Known
    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.transport.errors import CloseCode

STRANGER_BYTES_MAX = 512 * 1024
"""Bytes that a peer may send at once before its key is known to be of its cluster. Our choice: its own line
of statements, some 1,500 of them, and what else an honest one says meanwhile. More: its stream is refused for
good."""

STRANGER_BYTES_PER_S = 1024
"""Bytes that it may send every second beyond them. Our choice."""

MEMBER_BYTES_MAX = 8 * 1024 * 1024
"""Bytes that the peer of a known key may send at once, besides statements that were new to us. Our choice: a
chain several times over. More: its stream is refused for good."""

MEMBER_BYTES_PER_S = 256 * 1024
"""Bytes that it may send every second beyond them. Our choice: 3 % of a processor for looking at them."""

STRANGER_WORK_MAX = 64
"""Pieces of work that a peer may cause at once before its key is known. Our choice: it may open so many
streams. More: no stream any more."""

STRANGER_WORK_PER_S = 1 / 8
"""The same for every second beyond them. Our choice: a peer that trusts us before we trust it tries every
minute."""

MEMBER_WORK_MAX = 1024
"""The same for a peer whose key is known: answers, signatures, parcels; a piece takes some 2 ms. Our choice.
More: what we would have to work for is passed over, or its stream refused, as each kind of work says."""

MEMBER_WORK_PER_S = 16
"""The same for every second beyond them. Our choice: 3 % of a processor."""


class Stream(Enum):
    """Where a session's stream is."""

    NONE = 0
    OPENING = 1
    OPEN = 2
    MET = 3
    """Both know each other's cluster."""


@dataclass(slots=True)
class Session:
    """One connection."""

    connection: int
    peer: PeerId
    """The key that the peer has proven last."""

    outbound: bool
    exporter: bytes
    shown: PeerId
    """The key that the peer has shown to TLS."""

    own_shown: PeerId
    """The key that we have shown."""

    judged: Judged
    """What the book says of ``peer``."""

    budget: Budget
    """Bytes that it may send."""

    work: Budget
    """Pieces of work that it may cause us."""

    stream: Stream = Stream.NONE
    failures: int = 0
    """Streams of ours that ended since the last one on which both knew each other's cluster."""

    barred: bool = False
    """It broke the rules: it gets no stream any more."""

    claimed: ClusterId | None = None
    """The cluster whose tag it showed."""

    compared: tuple[bytes, ...] = ()
    """The digests, ours and the peer's, after which everything was exchanged last."""

    compared_at: float = 0.0
    asked_at: dict[ClusterId, float] = field(default_factory=dict)
    """When it was asked last for what we lack of a chain that both share."""

    known_as: Member | None = None
    """Who our node was told that the peer is."""

    @property
    def member(self) -> Member | None:
        """Who the peer is, if its key speaks."""
        return self.judged.member if self.judged.judgement is Judgement.MEMBER else None

    @property
    def met(self) -> bool:
        """Messages may go either way."""
        return self.stream is Stream.MET

    @property
    def is_fellow(self) -> bool:
        """The peer is a node of our own cluster, and messages may go either way."""
        return self.met and self.member is not None and self.member.own


@dataclass(slots=True)
class Parts:
    """What the parts of the machine share."""

    book: Book
    local: PeerId
    """Our own key."""

    rng: Rng
    sessions: dict[int, Session] = field(default_factory=dict)
    deadlines: Deadlines = field(default_factory=Deadlines)
    out: list[ev.Effect] = field(default_factory=list)
    """Effects, in order, until they are handed out."""

    counts: Counter[str] = field(default_factory=Counter)
    """For metrics."""

    def send(self, session: Session, message: Known) -> None:
        """Say something, if there is a stream."""
        if session.stream in (Stream.OPEN, Stream.MET):
            data = encode(message)
            self.counts["sent_bytes"] += len(data)
            self.out.append(ev.Send(session.connection, data))

    def refuse(self, session: Session, why: str) -> None:
        """End the stream without reproach; another one may come."""
        self.counts["refused_" + why] += 1
        self.deadlines.unset(session.connection, Timer.HELLO)
        if session.stream is not Stream.NONE:
            session.stream = Stream.NONE
            self.out.append(ev.Refuse(session.connection))

    def bar(self, session: Session, why: str) -> None:
        """End the stream for good: the peer broke a rule, or floods us."""
        session.barred = True
        self.refuse(session, why)

    def cut(self, session: Session, code: CloseCode, why: str) -> None:
        """End the connection."""
        self.counts["cut_" + code.name.lower()] += 1
        self.drop(session)
        self.out.append(ev.Cut(session.connection, code, why))

    def drop(self, session: Session) -> None:
        """Forget a session."""
        self.sessions.pop(session.connection, None)
        self.deadlines.forget(session.connection)
        self.lose(session)
        session.stream = Stream.NONE

    def lose(self, session: Session) -> None:
        """The peer is nobody's node any more, or gone."""
        if session.known_as is not None:
            self.out.append(ev.Lost(session.connection, session.known_as))
            session.known_as = None

    def shared(self, session: Session) -> tuple[ClusterId, ...]:
        """The clusters about which both may speak, our own first."""
        member, own = session.member, self.book.cluster
        if member is None or own is None:
            return ()
        return self.book.clusters() if member.own else (own, member.cluster)

    def sharing(self, cluster: ClusterId) -> Iterator[Session]:
        """Sessions whose peers may be told of this cluster's chain."""
        for session in self.sessions.values():
            if session.met and cluster in self.shared(session):
                yield session

    def fellows(self) -> Iterator[Session]:
        """Sessions with nodes of our own cluster."""
        return (session for session in self.sessions.values() if session.is_fellow)
