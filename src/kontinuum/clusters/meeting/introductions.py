"""What a side shows of its cluster, and what the other makes of it.

Bounds:   one bundle of statements; what does not fit comes by the clusters' sync later.
Trust:    an introduction is hostile. A :class:`Met` that exists was verified: its key speaks for a place of
          the cluster that its genesis names. That the cluster is the one that was meant, only the code and
          the words say. A side can keep statements back, such as its own revocation: what we know of its
          cluster already is counted in, and what we hear from its other nodes later takes effect then.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kontinuum.base.errors import MisuseError
from kontinuum.clusters.meeting.messages import Introduction
from kontinuum.clusters.names import is_cluster_name
from kontinuum.keys.bundles import bundles, decode_bundle
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import MissingStatementsError
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.standing import PlaceStanding, Standing
from kontinuum.wire.limits import MEET_NAME_BYTES_MAX

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.statements import Statement

SUGGESTED_NAME_CHARS_MAX = 24
"""Characters of a name that is suggested for a cluster. Our choice; people give longer ones if they like."""

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Ourselves:
    """Our side of a meeting. Made by :meth:`of`."""

    genesis: Genesis
    bundle: bytes
    key: PeerId
    name: str

    @classmethod
    def of(cls, chain: Chain, key: PeerId, name: str) -> Self:
        """What we show: how our key comes from our root, and as much more of the chain as one bundle holds.

        Args:
            chain: Our cluster's.
            key: Ours on the wire.
            name: What we call ourselves.

        Raises:
            MisuseError: The name is longer than MEET_NAME_BYTES_MAX.
            UnknownKeyError, DeadKeyError: Our key is no member in use.
        """
        if len(name.encode(errors="replace")) > MEET_NAME_BYTES_MAX:
            raise MisuseError(f"a name has at most {MEET_NAME_BYTES_MAX} bytes")
        Standing(chain).verify_speaker(key)
        lineage = chain.foundation([use.statement.id for use in chain.registers.uses(key)])
        ids = {statement.id for statement in lineage}
        ordered = [*lineage, *(statement for statement in chain if statement.id not in ids)]
        return cls(chain.genesis, next(bundles(ordered), b""), key, name)

    def introduction(self, nonce: bytes) -> Introduction:
        """What is sent."""
        return Introduction(self.genesis.encode(), self.bundle, nonce, self.name)


@dataclass(frozen=True, slots=True)
class Met:
    """A cluster that we met, verified as far as a machine can. Made by :meth:`verify`."""

    key: PeerId
    """Of the node that we spoke to."""

    place: PlaceStanding
    """Which node of its cluster that is."""

    genesis: Genesis
    """Its cluster's beginning."""

    statements: tuple[Statement, ...]
    """What it showed of the chain."""

    nodes: tuple[PlaceStanding, ...]
    """Every place of that cluster whose key speaks, as far as we know."""

    name: str
    """What it calls itself; untrusted."""

    numbers: tuple[int, ...]
    """The words that people compare, as numbers of BIP39's list."""

    @property
    def suggested_name(self) -> str:
        """A name for the cluster: its own as far as a name of ours can look like that."""
        plain = unicodedata.normalize("NFKD", self.name).encode("ascii", "ignore").decode().lower()
        tidy = _NOT_IN_NAMES.sub("-", plain).lstrip("-0123456789")[:SUGGESTED_NAME_CHARS_MAX].rstrip("-")
        return tidy if is_cluster_name(tidy) else f"cluster-{self.genesis.cluster[:4].hex()}"

    @classmethod
    def verify(cls, said: Introduction, key: PeerId, known: Chain | None, numbers: tuple[int, ...]) -> Self:
        """Check that ``key``, which the session proved, is a member in use of the cluster that is shown.

        Args:
            said: What the other side sent.
            key: The key of the session.
            known: What we know of that cluster already.
            numbers: See :attr:`numbers`.

        Raises:
            PeerError: It is not.
            UnavailableError: It builds on statements that it does not show, or has too many.
        """
        genesis = Genesis.decode(said.genesis)
        chain = Chain(genesis)
        if known is not None and known.cluster == genesis.cluster:
            chain.merge(known)
        statements = decode_bundle(said.bundle)
        merged = chain.merge(statements)
        for _, error in merged.refused:
            raise error
        if merged.missing:
            raise MissingStatementsError(merged.missing)
        standing = Standing(chain)
        place = standing.of_place(standing.verify_speaker(key))
        return cls(key, place, genesis, statements, standing.speakers(), said.name, numbers)
