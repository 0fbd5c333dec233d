r"""One statement about keys: who says what, after what, signed by his branch and by any key that it brings.

The bytes are a deterministic CBOR map (docs/protocols/key-chain.md and .cddl). A key that the statement
introduces signs the map without the two signatures, for the purpose ``key-proof``: nobody can claim
somebody else's key as his own. The issuer's branch key signs the map with that proof, for
``key-statement``.

Source:   our own format; the id leaves the signatures out, so that no second signature makes a second
          statement.
Bounds:   STATEMENT_* in ``kontinuum.wire.limits``.
Trust:    input is hostile. A Statement that exists obeys every bound; it is authentic only once a chain
          took it, for only the chain knows the issuer's key.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self

from kontinuum.base.errors import MisuseError
from kontinuum.identity import PeerId, verify
from kontinuum.keys.bodies import Body, StatementId, Unknown, decode_body, kind_of
from kontinuum.keys.fields import Fields, unix_seconds
from kontinuum.keys.genesis import ClusterId, cluster_id
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import (
    SIGNATURE_BYTES,
    STATEMENT_BYTES_MAX,
    STATEMENT_HASH_BYTES,
    STATEMENT_ISSUED_AT_MAX,
    STATEMENT_KIND_MAX,
    STATEMENT_PREVIOUS_MAX,
    STATEMENT_SEQUENCE_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.keys.public_keys import BranchPublicKey

STATEMENT_VERSION = 1
"""Version of the format. Another one is refused by name."""

_ISSUED, _PROVEN = "key-statement", "key-proof"
"""Purposes of the two signatures."""

_VERSION, _KIND, _CLUSTER, _ISSUER, _SEQUENCE, _PREVIOUS, _ISSUED_AT, _BODY, _PROOF, _SIGNATURE = range(10)
"""Keys of the map, in the order of ``key-chain.cddl``."""


class Signer(Protocol):
    """A key pair of either kind."""

    def sign(self, purpose: str, data: bytes) -> bytes:
        """The signature of ``data`` for ``purpose``."""
        ...


@dataclass(frozen=True, slots=True)
class Statement:
    """One entry of a chain. Made by :meth:`issue` and :meth:`decode`.

    Raises:
        MalformedError: A field is out of its bounds.
    """

    cluster: ClusterId
    """In whose chain it belongs, and nowhere else."""

    issuer: StatementId
    """Who says it: the id of the statement that made the issuer's branch; the cluster's id for the root."""

    sequence: int
    """How many statements of this issuer it follows at least."""

    previous: tuple[StatementId, ...]
    """The issuer's last statements, sorted; none for the first, several after he spoke in two places at
    once.
    """

    issued_at: datetime
    """When, aware UTC, whole seconds, by the issuer's clock: for people, and between two revocations."""

    body: Body
    """What it says."""

    proof: bytes | None
    """64 bytes, by the key that the body introduces; None if it introduces none."""

    signature: bytes
    """64 bytes, by the issuer's branch key."""

    extensions: tuple[tuple[int, bytes], ...] = ()
    """Fields of newer versions, key and content, sorted by key; signed and passed on."""

    id: StatementId = field(init=False)
    """Hash of everything but the two signatures."""

    def __post_init__(self) -> None:
        self._check()
        digest = hashlib.sha256(b"kontinuum/statement-id/v1\0" + self._proven()).digest()
        object.__setattr__(self, "id", StatementId(digest))

    @classmethod
    def issue(
        cls,
        branch: Signer,
        body: Body,
        *,
        cluster: ClusterId,
        issuer: StatementId,
        sequence: int,
        previous: Iterable[StatementId],
        issued_at: datetime,
        introduced: Signer | None = None,
    ) -> Self:
        """Sign a statement. :class:`kontinuum.keys.author.Author` knows what to put where.

        Args:
            branch: The issuer's branch key.
            body: What to say.
            cluster: In whose chain.
            issuer: The statement that made the issuer's branch.
            sequence: One more than the highest of ``previous``; 0 without any.
            previous: The issuer's last statements.
            issued_at: Now, aware; fractions of a second are cut off.
            introduced: The key pair that the body introduces, if it does.

        Raises:
            MisuseError: The time has no zone, or the key that should prove itself is missing.
        """
        if issued_at.tzinfo is None:
            raise MisuseError("issued_at needs a time zone")
        if (body.introduces is None) != (introduced is None):
            raise MisuseError("a statement is proven by the key that it introduces, and by no other")
        empty = bytes(SIGNATURE_BYTES)
        draft = cls(
            cluster=cluster,
            issuer=issuer,
            sequence=sequence,
            previous=tuple(sorted(previous)),
            issued_at=issued_at.astimezone(UTC).replace(microsecond=0),
            body=body,
            proof=None if introduced is None else empty,
            signature=empty,
        )
        return draft.signed_by(branch, introduced)

    def signed_by(self, branch: Signer, introduced: Signer | None) -> Self:
        """The same statement with the signatures of these keys; for an introduced one see :meth:`issue`."""
        proven = self
        if introduced is not None:
            proven = replace(self, proof=introduced.sign(_PROVEN, self._proven()))
        return replace(proven, signature=branch.sign(_ISSUED, proven._signed()))  # noqa: SLF001  of its own class

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a statement from bytes, the whole of them.

        Raises:
            MalformedError: It is none, or breaks a bound.
            WrongVersionError: It is of a version that we do not know.
            BadIdentityError: A key in it is no usable key.
        """
        fields = Fields(cbor.decode(data, bytes_max=STATEMENT_BYTES_MAX), "a statement")
        version = fields.integer(_VERSION, 2**32)
        if version != STATEMENT_VERSION:
            raise WrongVersionError(f"a statement of version {version}; we know version {STATEMENT_VERSION}")
        previous = fields.hashes(_PREVIOUS, STATEMENT_PREVIOUS_MAX, STATEMENT_HASH_BYTES)
        return cls(
            cluster=cluster_id(fields.octets(_CLUSTER, STATEMENT_HASH_BYTES)),
            issuer=StatementId(fields.octets(_ISSUER, STATEMENT_HASH_BYTES)),
            sequence=fields.integer(_SEQUENCE, STATEMENT_SEQUENCE_MAX),
            previous=tuple(map(StatementId, previous)),
            issued_at=fields.moment(_ISSUED_AT),
            body=decode_body(fields.integer(_KIND, STATEMENT_KIND_MAX), fields.value(_BODY)),
            proof=fields.octets(_PROOF, SIGNATURE_BYTES) if _PROOF in fields else None,
            signature=fields.octets(_SIGNATURE, SIGNATURE_BYTES),
            extensions=fields.extensions(*range(_SIGNATURE + 1)),
        )

    def encode(self) -> bytes:
        """The bytes that :meth:`decode` reads."""
        return cbor.encode({**self._fields(), **self._proof_field(), _SIGNATURE: self.signature})

    def verify(self, issuer: BranchPublicKey) -> None:
        """Check both signatures, the issuer's against ``issuer``.

        Raises:
            BadSignatureError: One of them does not fit.
        """
        issuer.verify(_ISSUED, self._signed(), self.signature)
        if self.body.introduces is not None:
            verify(PeerId(self.body.introduces), _PROVEN, self._proven(), self.proof or b"")

    def _check(self) -> None:
        if (self.sequence == 0) != (not self.previous):
            raise MalformedError("only the first statement of an issuer follows none")
        if self.issued_at.tzinfo is not UTC or self.issued_at.microsecond:
            raise MalformedError("a statement's time is in UTC and whole seconds")
        if not 0 <= unix_seconds(self.issued_at) <= STATEMENT_ISSUED_AT_MAX:
            raise MalformedError("a statement's time is out of range")
        if not isinstance(self.body, Unknown) and (self.body.introduces is None) != (self.proof is None):
            raise MalformedError("a statement has a proof if it introduces a key, and only then")

    def _proven(self) -> bytes:
        """What an introduced key signs, and what the id is a hash of."""
        return cbor.encode(self._fields())

    def _signed(self) -> bytes:
        """What the issuer signs."""
        return cbor.encode({**self._fields(), **self._proof_field()})

    def _proof_field(self) -> dict[cbor.CborKey, cbor.CborValue]:
        return {} if self.proof is None else {_PROOF: self.proof}

    def _fields(self) -> dict[cbor.CborKey, cbor.CborValue]:
        """Everything but the two signatures."""
        return {
            _VERSION: STATEMENT_VERSION,
            _KIND: kind_of(self.body),
            _CLUSTER: self.cluster,
            _ISSUER: self.issuer,
            _SEQUENCE: self.sequence,
            _PREVIOUS: list(self.previous),
            _ISSUED_AT: unix_seconds(self.issued_at),
            _BODY: self.body.encode(),
            **dict(self.extensions),
        }
