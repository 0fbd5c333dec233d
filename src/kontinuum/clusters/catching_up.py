"""How chains come together: news are pushed at once, and every few seconds a digest shows who misses what.

Source:   docs/protocols/cluster.md, "Catching up".
Bounds:   SUMMARY_SESSIONS summaries each SUMMARY_INTERVAL_S; one bundle answers one question, and costs
          who asked; of a bundle that comes MERGE_SLICE statements are verified at a time, and none after the
          first that no honest node passes on.
Trust:    statements are verified by the chain. Who may hear of which chain, ``Parts.shared`` says.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.clusters.deadlines import Timer
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import (
    DIGEST_BYTES,
    MESSAGE_STATEMENTS_MAX,
    Heads,
    Statements,
    Summary,
)
from kontinuum.keys.bundles import bundles, decode_bundle
from kontinuum.transport.errors import CloseCode
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    CHAIN_BUNDLE_BYTES_MAX,
    CHAIN_BUNDLE_STATEMENTS_MAX,
    STATEMENT_BYTES_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kontinuum.clusters.sessions import Parts, Session
    from kontinuum.keys.chain import Merged
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.keys.statements import Statement

SUMMARY_INTERVAL_S = 2.0
"""Seconds between summaries, give or take SUMMARY_JITTER. Issue 6: below 5 s after a partition has healed."""

SUMMARY_JITTER = 0.1
"""Part of the interval by which it is shorter or longer. Our choice: nodes that began at once drift apart."""

SUMMARY_SESSIONS = 8
"""Sessions that hear a summary each time, the others in their turn. Our choice: as many as a node keeps."""

REPEAT_S = 30.0
"""Seconds until the same difference is looked into again. Our choice: two full chains may differ for good."""

ASK_S = 1.0
"""Seconds between two questions for the same to one peer, unless he has answered. Our choice."""

PUSH_BYTES_MAX = 64 * 1024
"""Bytes of news that are pushed; of more, peers are sent a summary, and ask. Our choice: some 200 statements,
more than people say at once."""

LOOK_WORK_STATEMENTS = 4096
"""Statements of a chain that are looked through for a piece of work, to find out what somebody misses. Our
choice. A peer who may cause no more gets no answer, and asks later."""

ANSWER_WORK_STATEMENTS = 64
"""Statements that are sent to him for a piece of work. Our choice: 2 ms."""

SUMMARY_WORK = 8
"""Pieces of work that a summary that differs costs its sender. Our choice: we answer with the heads of
everything. Beyond what he may cause it is passed over."""

MERGE_SLICE = 16
"""Statements that are verified before their outcome is looked at: some 5 ms. Our choice."""


class CatchingUp:
    """Chains between us and the peers.

    Args:
        parts: What the machine's parts share.
        sayings: The digest of what fellows share besides chains.
        say: Sends a fellow all of that.
        learned: Called with what was new, and from whom, before anybody is told.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        sayings: Callable[[Session], bytes],
        say: Callable[[Session], None],
        learned: Callable[[ClusterId, list[Statement], Session], None],
    ) -> None:
        self._parts = parts
        self._sayings = sayings
        self._say = say
        self._learned = learned
        self._digests: dict[ClusterId, bytes] = {}
        self._turn = 0
        """The session that heard a summary last."""

    # --- summaries ---

    def start(self, now: float) -> None:
        """Set the time of the next summaries."""
        jitter = self._parts.rng.uniform(1 - SUMMARY_JITTER, 1 + SUMMARY_JITTER)
        self._parts.deadlines.set(0, Timer.SUMMARY, now + SUMMARY_INTERVAL_S * jitter)

    def on_timer(self, now: float) -> None:
        """Tell the next few members what we have."""
        members = [each for each in self._parts.sessions.values() if each.met and each.member is not None]
        members.sort(key=lambda each: (each.connection <= self._turn, each.connection))
        for session in members[:SUMMARY_SESSIONS]:
            self._turn = session.connection
            self.summarise(session)
        self.start(now)

    def summarise(self, session: Session) -> None:
        """Tell one member what we have."""
        self._parts.send(session, Summary(*self._compare(session)))

    def on_summary(self, session: Session, message: Summary, now: float) -> None:
        """A peer says what it has: if that is not what we have, both show more."""
        if session.member is None:
            return
        chains, sayings = self._compare(session)
        compared = (chains, sayings, message.chains, message.sayings)
        if compared == session.compared and now < session.compared_at + REPEAT_S:
            return
        equal = (chains, sayings) == (message.chains, message.sayings)
        if not equal and not session.work.take(SUMMARY_WORK, now):
            self._parts.counts["summaries_passed_over"] += 1
            return
        session.compared, session.compared_at = compared, now
        if message.chains != chains:
            for cluster in self._parts.shared(session):
                self._ask(session, cluster, now)
        if message.sayings != sayings and session.is_fellow:
            self._say(session)

    def _compare(self, session: Session) -> tuple[bytes, bytes]:
        digest = hashlib.sha256(b"kontinuum/cluster-chains/v1\0")
        for cluster in sorted(self._parts.shared(session)):
            digest.update(cluster + self._digest(cluster))
        return digest.digest()[:DIGEST_BYTES], self._sayings(session)

    def _digest(self, cluster: ClusterId) -> bytes:
        chain = self._parts.book.chain(cluster)
        if chain is None:
            return b""
        known = self._digests.get(cluster)
        if known is None:
            known = self._digests[cluster] = hashlib.sha256(b"".join(chain.heads())).digest()
        return known

    # --- questions and answers ---

    def _ask(self, session: Session, cluster: ClusterId, now: float, *, is_answer: bool = False) -> None:
        chain = self._parts.book.chain(cluster)
        if chain is not None:
            session.asked_at[cluster] = now
            self._parts.send(session, Heads(cluster, chain.heads(), is_answer))

    def on_heads(self, session: Session, message: Heads, now: float) -> None:
        """A peer says what it has of a chain: send what it lacks, and ask for what we lack."""
        chain = self._parts.book.chain(message.cluster)
        if chain is None or message.cluster not in self._parts.shared(session):
            return
        if message.heads == chain.heads():
            return
        if not session.work.take(1 + len(chain) // LOOK_WORK_STATEMENTS, now):
            self._parts.counts["heads_unanswered"] += 1
            return
        missing = chain.missing_since(message.heads, MESSAGE_STATEMENTS_MAX)
        if not session.work.take(len(missing) / ANSWER_WORK_STATEMENTS, now):
            self._parts.counts["heads_unanswered"] += 1
            return
        for bundle in bundles(missing):
            self._parts.send(session, Statements(message.cluster, bundle))
            break  # With it the peer has new heads, and asks again.
        if not message.is_answer and any(head not in chain for head in message.heads):
            self._ask_once(session, message.cluster, now, is_answer=True)

    def _ask_once(self, session: Session, cluster: ClusterId, now: float, *, is_answer: bool = False) -> None:
        """Ask, unless an answer is on its way."""
        if now >= session.asked_at.get(cluster, float("-inf")) + ASK_S:
            self._ask(session, cluster, now, is_answer=is_answer)

    def on_statements(self, session: Session, message: Statements, now: float) -> None:
        """A peer shows statements of a chain."""
        cluster = message.cluster
        if cluster not in self._may_tell(session) or self._parts.book.chain(cluster) is None:
            return
        try:
            statements, more = _first(message.bundle)
        except PeerError:
            self._parts.bar(session, "malformed")
            return
        added, missing, cheat = self.merge(cluster, statements)
        self._parts.counts["statements"] += len(statements)
        if added:
            if session.member is not None:
                session.budget.give_back(sum(len(statement.encode()) for statement in added))
            self._learned(cluster, added, session)
        if session.connection not in self._parts.sessions:
            return  # What it said was that its own key is out of use.
        if cheat is not None:
            self._parts.cut(session, CloseCode.NONE, f"statements that no node passes on: {cheat}")
        elif session.member is not None and added and more:
            self._ask(session, cluster, now)
        elif session.member is not None and missing:
            self._ask_once(session, cluster, now)

    def merge(
        self, cluster: ClusterId, statements: Sequence[Statement]
    ) -> tuple[list[Statement], bool, PeerError | None]:
        """Take statements in, until one is such that no honest node passes it on.

        Returns:
            What was new; whether something is missing; what was wrong.
        """
        added: list[Statement] = []
        missing = False
        for start in range(0, len(statements), MERGE_SLICE):
            merged = self.take(cluster, statements[start : start + MERGE_SLICE])
            added += merged.added
            missing |= bool(merged.missing)
            for _, error in merged.refused:
                if isinstance(error, PeerError):
                    return added, missing, error
        return added, missing, None

    def take(self, cluster: ClusterId, statements: Sequence[Statement]) -> Merged:
        """Merge statements into the book: nobody else does.

        Raises:
            UnknownClusterError: It is neither ours nor trusted.
        """
        self._digests.pop(cluster, None)
        return self._parts.book.merge(cluster, statements)

    def _may_tell(self, session: Session) -> Iterable[ClusterId]:
        """Of which clusters' chains we listen to a peer."""
        if session.judged.judgement is Judgement.MEMBER:
            return self._parts.shared(session)
        was = None if session.judged.member is None else session.judged.member.cluster
        return [cluster for cluster in (session.claimed, was) if cluster is not None]

    # --- news ---

    def push(self, cluster: ClusterId, added: Sequence[Statement], source: Session | None) -> None:
        """Tell everybody who shares a chain what is new in it, except whom it came from."""
        encoded = [Statements(cluster, bundle) for bundle in bundles(added)]
        whole = len(encoded) == 1 and len(encoded[0].bundle) <= PUSH_BYTES_MAX
        for session in list(self._parts.sharing(cluster)):
            if session is source:
                continue
            if whole:
                self._parts.send(session, encoded[0])
            else:
                self.summarise(session)


def _first(bundle: bytes) -> tuple[tuple[Statement, ...], bool]:
    """The statements of a bundle that are looked at, and whether there may be more where this came from.

    Raises:
        PeerError: It is no bundle, or one of its statements is none.
    """
    items = cbor.decode(bundle, bytes_max=CHAIN_BUNDLE_BYTES_MAX, items_max=CHAIN_BUNDLE_STATEMENTS_MAX + 1)
    if not isinstance(items, list):
        raise MalformedError("a bundle is a list of statements")
    statements = decode_bundle(cbor.encode(items[:MESSAGE_STATEMENTS_MAX]))
    full = len(bundle) > CHAIN_BUNDLE_BYTES_MAX - STATEMENT_BYTES_MAX - 16
    return statements, full or len(items) >= MESSAGE_STATEMENTS_MAX
