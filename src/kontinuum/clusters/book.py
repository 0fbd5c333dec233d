"""All that a node knows of clusters, its own and those that it trusts: who is who, and by which names.

From a key to its owner (:meth:`Book.judge`), for every connection; from a name to the key that counts now
(:meth:`Book.resolve`), for people. A name is a place of the own cluster (``/1``), or a cluster's name with a
place or a label: ``bob:/1``, ``bob:laptop``, ``home:laptop``; ``bob:`` is the first of its nodes in use.

Our own chain decides about the keys that it knows, whatever other chains say of them. Of several trusted
chains that know a key, the one counts that thinks least of it; and such a key leads to no newer one.

Bounds:   those of chains and of the list of trust; JUDGED_MAX judgements are remembered.
Trust:    keys and names come from strangers. Statements and entries are verified here, wherever from.
Pure:     no I/O, clock or randomness; the time of day is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.clusters.errors import (
    NoClusterError,
    TooManyTrustedError,
    UnknownClusterError,
    UnknownNameError,
)
from kontinuum.clusters.members import Judged, Judgement, Member, Trusted
from kontinuum.clusters.names import HOME, first_living, is_name, named_place, split_name, unused_name
from kontinuum.clusters.trust import TRUSTED_MAX, How, TrustEntry, TrustList, how_text
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import ForkedSuccessionError, UnknownKeyError, WrongClusterError
from kontinuum.keys.paths import Path, Place
from kontinuum.keys.standing import Standing
from kontinuum.keys.transition import successor
from kontinuum.keys.verdicts import Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kontinuum.identity import KeyPair, PeerId
    from kontinuum.keys.chain import Merged
    from kontinuum.keys.genesis import ClusterId, Genesis
    from kontinuum.keys.statements import Statement

JUDGED_MAX = 8192
"""Judgements that are remembered until a chain or the list of trust changes. Our choice: 2 MB. More: all are
forgotten, and found again when asked for."""


_STRANGER = Judged(Judgement.STRANGER, None, None, "no cluster that we know has this key")


class Book:
    """What one node knows.

    Args:
        own: The chain of its own cluster; None if it has none.
        path: Its branch there.
        trust: The list of trust of its cluster.
        chains: What is known of other clusters; of those that are not trusted nothing is looked at.
    """

    def __init__(
        self,
        own: Chain | None = None,
        path: Path | None = None,
        trust: TrustList | None = None,
        chains: Iterable[Chain] = (),
    ) -> None:
        self.own = own
        self.path = path
        self.trust = trust if trust is not None else TrustList()
        self._known: dict[ClusterId, Chain] = {chain.cluster: chain for chain in chains}
        self._trusted: dict[ClusterId, Trusted] = {}
        self._state: tuple[int, ...] = ()
        self._own_state: tuple[int, ...] = ()
        self._effective: list[TrustEntry] = []
        """What counts of the list of trust: looked up again only after our chain or the list changed."""
        self._judged: dict[PeerId, Judged] = {}

    @property
    def cluster(self) -> ClusterId | None:
        """Our cluster."""
        return None if self.own is None else self.own.cluster

    @property
    def place(self) -> Place | None:
        """Where this node stands in it."""
        return None if self.path is None else self.path.place

    # --- chains ---

    def clusters(self) -> tuple[ClusterId, ...]:
        """Our cluster, then those that it trusts, sorted."""
        self._look()
        own = () if self.own is None else (self.own.cluster,)
        return (*own, *sorted(self._trusted))

    def chain(self, cluster: ClusterId) -> Chain | None:
        """The chain of our cluster, or of one that we trust."""
        if self.own is not None and cluster == self.own.cluster:
            return self.own
        self._look()
        return self._known.get(cluster) if cluster in self._trusted else None

    def merge(self, cluster: ClusterId, statements: Iterable[Statement]) -> Merged:
        """Take statements about a cluster in; see :meth:`Chain.merge`.

        Raises:
            UnknownClusterError: It is neither ours nor trusted.
        """
        chain = self.chain(cluster)
        if chain is None:
            raise UnknownClusterError("neither our cluster nor one that we trust")
        merged = chain.merge(statements)
        if merged.added:
            self._state = ()
            if chain is self.own:
                self._own_state = ()
        return merged

    def succession(self) -> tuple[Statement, ...]:
        """How our cluster followed on the one before: that root's last word, and what it builds on."""
        former = [each for each in self.trusted() if each.successor == self.cluster]
        chain = self.chain(max(former, key=lambda each: each.since).cluster) if former else None
        if chain is None:
            return ()
        return chain.foundation(statement.id for statement in chain.registers.transitions)

    # --- who is who ---

    def judge(self, key: PeerId) -> Judged:
        """What a key is worth, and whose it is."""
        self._look()
        judged = self._judged.get(key)
        if judged is None:
            judged = self._judge(key)
            if len(self._judged) >= JUDGED_MAX:
                self._judged.clear()
            self._judged[key] = judged
        return judged

    def current(self, key: PeerId) -> PeerId:
        """The key of now of whoever had ``key``; itself if nobody else is known for it."""
        return self.judge(key).current or key

    def fellows(self) -> tuple[Member, ...]:
        """The nodes of our cluster whose key speaks, in order, but ourselves."""
        return tuple(member for member in self.members() if member.place != self.place)

    def members(self, cluster: ClusterId | None = None) -> tuple[Member, ...]:
        """The nodes of our cluster, or of one that we trust, whose key speaks, in order."""
        chain = self.own if cluster is None else self.chain(cluster)
        if chain is None:
            return ()
        return tuple(
            self._member(chain, standing.place, standing.label, standing.signing)
            for standing in Standing(chain).speakers()
            if standing.signing is not None
        )

    # --- names ---

    @staticmethod
    def is_name(text: str) -> bool:
        """Whether a text has the form of a name: no key, contact or address has it."""
        return is_name(text)

    def resolve(self, text: str) -> PeerId:
        """The key that speaks for a name now.

        Raises:
            UnknownNameError: The name is nobody's, or nobody speaks for that place now.
            AmbiguousNameError: Several nodes have that label.
        """
        name, place = split_name(text)
        chain = self._named_chain(text, name)
        if not place:
            found = first_living(Standing(chain).speakers(), text)
        else:
            found = named_place(chain, text, name, place)
        if found.signing is None or not found.verdict.living:
            raise UnknownNameError(text, f"no key speaks for it: {found.verdict.path} {found.verdict.status}")
        return found.signing

    # --- trust ---

    def trusted(self) -> tuple[Trusted, ...]:
        """The clusters that ours trusts now, by their names."""
        self._look()
        return tuple(sorted(self._trusted.values(), key=lambda each: each.name))

    def trusted_cluster(self, cluster: ClusterId) -> Trusted:
        """What is said of one of them.

        Raises:
            UnknownClusterError: It is none.
        """
        self._look()
        if cluster not in self._trusted:
            raise UnknownClusterError("not one of the clusters that ours trusts")
        return self._trusted[cluster]

    def trusted_named(self, name: str) -> Trusted:
        """The trusted cluster of this name.

        Raises:
            UnknownNameError: There is none.
        """
        for each in self.trusted():
            if each.name == name.removesuffix(":"):
                return each
        raise UnknownNameError(name, "no cluster that ours trusts is called so; see: kontinuum cluster show")

    def trust_entry(
        self, genesis: Genesis, name: str, how: How | str, signer: KeyPair, at: datetime
    ) -> TrustEntry:
        """The entry, not merged yet, by which this node trusts a cluster.

        Args:
            genesis: The cluster's beginning.
            name: What to call it; if another one is called so, a number is added.
            how: For people.
            signer: This node's key.
            at: Now, aware.

        Raises:
            NoClusterError: This node has no cluster.
            BadNameError: The name cannot be one.
            TooManyTrustedError: We trust too many already.
            MisuseError: It is our own cluster, or the key does not speak for ours.
        """
        if genesis.cluster not in self._known_trusted() and len(self._trusted) >= TRUSTED_MAX:
            raise TooManyTrustedError(f"a cluster trusts at most {TRUSTED_MAX} others; remove one first")
        # A cluster that its root left for this one gives its name away.
        taken = {
            each.name for each in self.trusted() if genesis.cluster not in (each.cluster, each.successor)
        }
        return self._entry(genesis, unused_name(name, taken), How(how), signer, at, trusted=True)

    def trust_again(self, trusted: Iterable[Trusted], signer: KeyPair, at: datetime) -> list[TrustEntry]:
        """Say in this node's name what others said whose words fell or will: after a loss, under a new root.

        Args:
            trusted: What :meth:`trusted` gave before, in this book or in another one of the same owner.
            signer: This node's key.
            at: Now, aware.

        Returns:
            The entries, merged.

        Raises:
            As :meth:`trust_entry`.
        """
        entries: list[TrustEntry] = []
        for each in trusted:
            entry = self.trust_entry(each.genesis, each.name, How.GIVEN, signer, at)
            entries += self.merge_trust([entry])
        return entries

    def distrust_entry(self, name: str, signer: KeyPair, at: datetime) -> TrustEntry:
        """The entry, not merged yet, by which this node trusts a cluster no longer.

        Raises:
            UnknownNameError: There is none of this name.
            NoClusterError, MisuseError: As :meth:`trust_entry`.
        """
        trusted = self.trusted_named(name)
        return self._entry(trusted.genesis, trusted.name, How.GIVEN, signer, at, trusted=False)

    def merge_trust(self, entries: Iterable[TrustEntry]) -> list[TrustEntry]:
        """Take entries in that nodes of our cluster made.

        Entries of authors whom our chain does not know (yet), or whose keys are out of use, and those beyond
        the bounds of the list are passed over.

        Returns:
            Those that are new.

        Raises:
            WrongClusterError: One is of another cluster; nothing was changed.
        """
        listed = list(entries)
        if any(entry.own != self.cluster for entry in listed):
            raise WrongClusterError("an entry of trust of another cluster")
        return [
            entry for entry in listed if self._counts(entry.author) and self.trust.add(entry, self._counts)
        ]

    def heard_trust(self) -> list[TrustEntry]:
        """The entries of the list of trust whose authors' keys were never taken out of use."""
        counts: dict[PeerId, bool] = {}
        for entry in self.trust:
            if entry.author not in counts:
                counts[entry.author] = self._counts(entry.author)
        return [entry for entry in self.trust if counts[entry.author]]

    # --- inside ---

    def _look(self) -> None:
        """Forget what was concluded from an earlier state of the chains and of the list."""
        own = self.own
        state = (
            -1 if own is None else len(own),
            self.trust.version,
            *(len(self._known[cluster]) for cluster in self._trusted),
        )
        if state == self._state:
            return
        self._judged.clear()
        if state[:2] != self._own_state:
            in_effect = [] if own is None else self.trust.in_effect(self._counts).values()
            self._effective = [entry for entry in in_effect if entry.trusted]
            self._own_state = state[:2]
            # Of what a thief brought in nothing stays; what is not trusted for now may be again.
            heard = {entry.cluster for entry in self.heard_trust()}
            self._known = {cluster: chain for cluster, chain in self._known.items() if cluster in heard}
        for entry in self._effective:
            if entry.cluster not in self._known:
                self._known[entry.cluster] = Chain(entry.genesis)
        self._trusted = self._read(list(self._effective))
        self._state = (*state[:2], *(len(self._known[cluster]) for cluster in self._trusted))

    def _known_trusted(self) -> dict[ClusterId, Trusted]:
        self._look()
        return self._trusted

    def _read(self, entries: list[TrustEntry]) -> dict[ClusterId, Trusted]:
        """The entries in effect, each under a name of its own; clusters that were left give theirs away."""
        left: dict[ClusterId, tuple[ClusterId | None, bool]] = {}
        for entry in entries:
            try:
                named = successor(self._known[entry.cluster])
                left[entry.cluster] = (None if named is None else named.cluster, False)
            except ForkedSuccessionError:
                left[entry.cluster] = (None, True)
        entries.sort(key=lambda each: (left[each.cluster] != (None, False), each.issued_at, each.cluster))
        trusted: dict[ClusterId, Trusted] = {}
        taken: set[str] = set()
        for entry in entries[:TRUSTED_MAX]:
            following, disputed = left[entry.cluster]
            name = unused_name(entry.name, taken)
            taken.add(name)
            author = self._author(entry.author)
            trusted[entry.cluster] = Trusted(
                name=name,
                cluster=entry.cluster,
                genesis=entry.genesis,
                since=entry.issued_at,
                how=how_text(entry.how),
                by=Place() if author is None else author,
                successor=following,
                disputed=disputed,
            )
        return trusted

    def _judge(self, key: PeerId) -> Judged:
        if self.own is not None:
            judged = self._judge_by(self.own, key)
            if judged is not None:
                return judged
        found = (self._judge_by(self._known[cluster], key) for cluster in sorted(self._trusted))
        known = [judged for judged in found if judged is not None]
        worst = max(known, key=lambda each: each.judgement, default=_STRANGER)
        if len(known) > 1 and worst.judgement is not Judgement.MEMBER:
            # No two roots derive the same key, so a thief declared it a second time: nobody who asks for it
            # is led on, it could be to the thief.
            return Judged(Judgement.OUT_OF_USE, worst.member, None, f"{worst.reason}; two clusters have it")
        return worst

    def _judge_by(self, chain: Chain, key: PeerId) -> Judged | None:
        """What one chain says; None if it does not know the key."""
        standing = Standing(chain)
        try:
            found = standing.of_key(key)
        except UnknownKeyError:
            return None
        label = standing.of_place(found.path.place).label
        member = self._member(chain, found.path.place, label, key)
        current = found.current
        if found.verdict.living:
            judgement = Judgement.MEMBER
        elif found.verdict.status is Status.SUPERSEDED and current is not None:
            judgement = Judgement.SUPERSEDED
        else:
            judgement = Judgement.OUT_OF_USE
            current = current if current is not None else self._in_successor(chain, member.place)
        return Judged(judgement, member, current, f"{found.verdict.path} {found.verdict.status}")

    def _in_successor(self, chain: Chain, place: Place) -> PeerId | None:
        """Who speaks for a place of a cluster that its root left, if we trust where it went."""
        trusted = self._trusted.get(chain.cluster)
        if trusted is None or trusted.successor is None:
            return None
        following = self.chain(trusted.successor)
        if following is None:
            return None
        now = Standing(following).of_place(place)
        return now.signing if now.verdict.living else None

    def _member(self, chain: Chain, place: Place, label: str, key: PeerId) -> Member:
        own = chain is self.own
        name = HOME if own else self._trusted[chain.cluster].name
        return Member(chain.cluster, name, place, label, own, key)

    def _named_chain(self, text: str, name: str) -> Chain:
        if name == HOME:
            if self.own is None:
                raise UnknownNameError(text, "this node belongs to no cluster")
            return self.own
        for each in self.trusted():
            if each.name == name:
                return self._known[each.cluster]
        raise UnknownNameError(text, f"we trust no cluster called {name[:40]!r}")

    def _author(self, key: PeerId) -> Place | None:
        """The place of our cluster that a key spoke for, unless it was taken out of use."""
        if self.own is None:
            return None
        try:
            found = Standing(self.own).of_key(key)
        except UnknownKeyError:
            return None
        living = found.verdict.status in (Status.LIVING, Status.SUPERSEDED)
        return found.path.place if living else None

    def _counts(self, author: PeerId) -> bool:
        return self._author(author) is not None

    def _entry(
        self, genesis: Genesis, name: str, how: How, signer: KeyPair, at: datetime, *, trusted: bool
    ) -> TrustEntry:
        if self.own is None:
            raise NoClusterError("this node belongs to no cluster; make one: kontinuum cluster init")
        if self.judge(signer.peer_id).judgement is not Judgement.MEMBER or not self._counts(signer.peer_id):
            raise MisuseError("this node's key does not speak for its cluster; see: kontinuum cluster log")
        return TrustEntry.issue(
            signer,
            self.own.cluster,
            genesis,
            name=name,
            trusted=trusted,
            how=how,
            sequence=self.trust.next_sequence(genesis.cluster, self._counts),
            at=at,
        )
