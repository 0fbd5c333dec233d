"""A cluster that tests share: always the same seed and times, so that failures repeat."""

from datetime import UTC, datetime, timedelta

from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.bodies import Body, StatementId
from kontinuum.keys.chain import Chain
from kontinuum.keys.derivation import BranchSecret, RootSeed
from kontinuum.keys.paths import Path, Place
from kontinuum.keys.public_keys import Commitment
from kontinuum.keys.standing import Standing
from kontinuum.keys.statements import Signer, Statement

SEED = RootSeed(bytes(range(32)))
OTHER_SEED = RootSeed(bytes(range(32, 64)))
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def place(text: str) -> Place:
    """The place of a text."""
    return Place.parse(text)


def path(text: str) -> Path:
    """The path of a text."""
    return Path.parse(text)


class Family:
    """A root, a steward below it with two nodes of his own, and one node right below the root."""

    def __init__(self, seed: RootSeed = SEED, successor: Commitment | None = None) -> None:
        self.seed = seed
        self.root = seed.cluster()
        self.chain = found_chain(self.root, successor)
        self.steward = self.author(self.root).delegate(NOON, label="steward", depth=1)
        self.server = self.author(self.root).delegate(NOON, label="server")
        self.laptop = self.author(self.steward.branch).delegate(NOON, label="laptop")
        self.phone = self.author(self.steward.branch).delegate(NOON, label="phone")

    def author(self, secret: BranchSecret, chain: Chain | None = None) -> Author:
        """The pen of a branch; by default it writes into the family's own chain."""
        return Author(self.chain if chain is None else chain, secret)

    @property
    def standing(self) -> Standing:
        """Who is who, by the family's chain."""
        return Standing(self.chain)

    def copy(self) -> Chain:
        """Another chain with the same statements, as another node has it."""
        other = Chain(self.chain.genesis)
        merged = other.merge(self.chain)
        assert not merged.missing
        assert not merged.refused
        return other


def forged(
    chain: Chain,
    branch: Signer,
    issuer: StatementId,
    body: Body,
    introduced: Signer | None = None,
    *,
    at: datetime = NOON,
    sequence: int | None = None,
    previous: tuple[StatementId, ...] | None = None,
) -> Statement:
    """A statement signed by any key, whatever the rules: what a thief or a liar would write.

    By default it follows the issuer's last statements, as an honest one would.
    """
    heads = chain.strand_heads(issuer)
    if previous is None:
        previous = tuple(head.id for head in heads[:4])
    if sequence is None:
        sequence = max((head.sequence + 1 for head in heads if head.id in previous), default=0)
    return Statement.issue(
        branch,
        body,
        cluster=chain.cluster,
        issuer=issuer,
        sequence=sequence,
        previous=previous,
        issued_at=at,
        introduced=introduced,
    )
