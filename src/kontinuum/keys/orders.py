"""A parent's order to rekey: signed by an ancestor's branch, numbered, and obeyed once.

An order names the epoch that its issuer wants left. Obeying it makes that epoch past, so the same order,
played again, asks for what is done; and as orders are numbered per issuer, an older one that was held back
is refused as well. An order is not part of the chain: only the child that it is for needs it.

Source:   our own format, docs/protocols/key-chain.md.
Bounds:   KEY_ORDER_BYTES_MAX, KEY_ORDER_SEQUENCE_MAX.
Trust:    bytes are hostile; an order is believed only after :meth:`Obedience.verify`.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from kontinuum.base.errors import MisuseError
from kontinuum.keys.bodies import REASON_MAX, Reason, StatementId
from kontinuum.keys.errors import MissingStatementsError, OutrankedError, StaleOrderError, WrongClusterError
from kontinuum.keys.fields import Fields, unix_seconds
from kontinuum.keys.genesis import ClusterId, cluster_id
from kontinuum.keys.paths import Path
from kontinuum.keys.verdicts import branch_verdict
from kontinuum.wire import cbor
from kontinuum.wire.errors import WrongVersionError
from kontinuum.wire.limits import (
    KEY_EPOCHS_MAX,
    KEY_ORDER_BYTES_MAX,
    KEY_ORDER_SEQUENCE_MAX,
    SIGNATURE_BYTES,
    STATEMENT_HASH_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.keys.chain import Chain
    from kontinuum.keys.derivation import BranchSecret

ORDER_VERSION = 1
"""Version of the format. Another one is refused by name."""

_PURPOSE = "key-order"

_VERSION, _CLUSTER, _ISSUER, _TARGET, _LEAVE, _SEQUENCE, _ISSUED_AT, _REASON, _SIGNATURE = range(9)
"""Keys of the map, in the order of ``key-chain.cddl``."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order to leave an epoch. Made by :meth:`issue` and :meth:`decode`."""

    cluster: ClusterId
    """In which cluster."""

    issuer: StatementId
    """Who orders: the statement that made his branch, or the cluster's id for the root."""

    target: Path
    """Who obeys."""

    leave: int
    """The epoch that shall not be the newest any more."""

    sequence: int
    """Higher than in every earlier order of this issuer to this target. The time in milliseconds will do."""

    issued_at: datetime
    """When, aware UTC, whole seconds: for people."""

    reason: int
    """A :class:`Reason`, or a number that a newer program knows."""

    signature: bytes
    """64 bytes, by the issuer's branch key, over everything above."""

    @classmethod
    def issue(
        cls,
        chain: Chain,
        branch: BranchSecret,
        target: Path,
        *,
        sequence: int,
        at: datetime,
        reason: Reason = Reason.UNSPECIFIED,
    ) -> Self:
        """Order a descendant to leave its newest epoch.

        Raises:
            MisuseError: The branch is none of this chain, the target has no epoch, or a number is out of
                range.
            OutrankedError: The target is no descendant.
        """
        births = [birth for birth in chain.registers.births_at(branch.path) if birth.key == branch.public]
        epochs = chain.registers.epochs(target)
        if not births or not epochs or at.tzinfo is None or not 0 <= sequence <= KEY_ORDER_SEQUENCE_MAX:
            raise MisuseError("an order has an issuer and a target that the chain knows, a number and a time")
        if not branch.path.is_above(target):
            raise OutrankedError(f"{branch.path} is no ancestor of {target}")
        draft = cls(
            cluster=chain.cluster,
            issuer=min(birth.id for birth in births),
            target=target,
            leave=max(epochs),
            sequence=sequence,
            issued_at=at.astimezone(UTC).replace(microsecond=0),
            reason=reason,
            signature=bytes(SIGNATURE_BYTES),
        )
        return cls.decode(draft.signed_by(branch))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an order from bytes, the whole of them.

        Raises:
            MalformedError: It is none.
            WrongVersionError: It is of a version that we do not know.
        """
        fields = Fields(cbor.decode(data, bytes_max=KEY_ORDER_BYTES_MAX), "an order")
        version = fields.integer(_VERSION, 2**32)
        if version != ORDER_VERSION:
            raise WrongVersionError(f"an order of version {version}; we know version {ORDER_VERSION}")
        fields.only(*range(_SIGNATURE + 1))
        return cls(
            cluster=cluster_id(fields.octets(_CLUSTER, STATEMENT_HASH_BYTES)),
            issuer=StatementId(fields.octets(_ISSUER, STATEMENT_HASH_BYTES)),
            target=Path.decode(fields.value(_TARGET)),
            leave=fields.integer(_LEAVE, KEY_EPOCHS_MAX - 1),
            sequence=fields.integer(_SEQUENCE, KEY_ORDER_SEQUENCE_MAX),
            issued_at=fields.moment(_ISSUED_AT),
            reason=fields.integer(_REASON, REASON_MAX),
            signature=fields.octets(_SIGNATURE, SIGNATURE_BYTES),
        )

    def encode(self) -> bytes:
        """The bytes that :meth:`decode` reads."""
        return cbor.encode({**self._fields(), _SIGNATURE: self.signature})

    def signed_by(self, branch: BranchSecret) -> bytes:
        """The encoded order with this branch's signature."""
        signature = branch.key.sign(_PURPOSE, cbor.encode(self._fields()))
        return cbor.encode({**self._fields(), _SIGNATURE: signature})

    def verify(self, chain: Chain) -> None:
        """Check that an ancestor in use, of a target in use, signed the order.

        Raises:
            WrongClusterError: It is of another cluster.
            MissingStatementsError: Its issuer is not known here.
            OutrankedError: Its issuer is no ancestor of the target, or one of the two is out of use.
            BadSignatureError: Its issuer did not sign it.
        """
        if self.cluster != chain.cluster:
            raise WrongClusterError("an order of another cluster")
        issuer = chain.registers.birth(self.issuer)
        if issuer is None:
            raise MissingStatementsError((self.issuer,))
        if not issuer.path.is_above(self.target):
            raise OutrankedError(f"{issuer.path} is no ancestor of {self.target}")
        # Whoever is above the target is in use if the target is.
        verdict = branch_verdict(chain.registers, self.target)
        if not verdict.living:
            raise OutrankedError(f"an order of or to a branch out of use: {verdict.path} {verdict.status}")
        issuer.key.verify(_PURPOSE, cbor.encode(self._fields()), self.signature)

    def _fields(self) -> dict[cbor.CborKey, cbor.CborValue]:
        return {
            _VERSION: ORDER_VERSION,
            _CLUSTER: self.cluster,
            _ISSUER: self.issuer,
            _TARGET: self.target.encode(),
            _LEAVE: self.leave,
            _SEQUENCE: self.sequence,
            _ISSUED_AT: unix_seconds(self.issued_at),
            _REASON: int(self.reason),
        }


class Obedience:
    """What a child remembers of orders: the highest number of each issuer. Its owner keeps it on the disk.

    Losing it is no danger: an order that was obeyed names an epoch that is past.

    Args:
        path: The child's branch.
        latest: What :attr:`latest` was before.
    """

    def __init__(self, path: Path, latest: Mapping[StatementId, int] | None = None) -> None:
        self._path = path
        self.latest: dict[StatementId, int] = dict(latest or {})
        """The highest number by issuer; one for each ancestor's branch at most."""

    def verify(self, order: Order, chain: Chain) -> int:
        """Check an order, and remember it. Changes nothing if it raises.

        Returns:
            The epoch to leave: rekey to a later one.

        Raises:
            OutrankedError: It is not for this branch, or not by an ancestor in use.
            StaleOrderError: It was obeyed, or is older than one that was taken.
            MissingStatementsError: It speaks of an issuer or an epoch that is not known here: merge, and
                try again.
            PeerError: It is of another cluster, or its signature does not fit.
        """
        if order.target != self._path:
            raise OutrankedError(f"an order for {order.target}, not for {self._path}")
        order.verify(chain)
        newest = max(chain.registers.epochs(self._path), default=-1)
        if order.leave > newest:
            raise MissingStatementsError((order.issuer,))
        if order.leave < newest or order.sequence <= self.latest.get(order.issuer, -1):
            raise StaleOrderError("this order was obeyed already, or is older than one that was taken")
        self.latest[order.issuer] = order.sequence
        return order.leave
