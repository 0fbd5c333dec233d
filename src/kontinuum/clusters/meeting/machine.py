"""Two clusters meet: one side shows a code, the other answers to it; one message each way.

::

    host                                   guest
    nonce a, secret s, code(commit(a), s)
                          -- the code, by eye, hand or voice -->
                          <-- TLS session; the host's key is the code's --
                          <-- genesis, statements, nonce b, name, MAC(s) --
                          -- genesis, statements, nonce a, name, MAC(s) -->
    words(a, b, ...)                       opens the commitment; words(a, b, ...)

A host has one invitation at a time, and an invitation makes one meeting. What comes of it, people decide.

Source:   our own, docs/protocols/meet.md; the reasons: ADR 0053.
Bounds:   INVITATION_S, FAILURES_OF_PEER_MAX, FAILURES_MAX.
Trust:    anybody can send a request. Before its MAC fits, it costs one HMAC and learns nothing.
Pure:     no I/O or clock; secrets and nonces come from the Entropy that is given.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError, UnavailableError
from kontinuum.clusters.meeting.code import MEET_SECRET_BYTES, MeetCode
from kontinuum.clusters.meeting.errors import (
    FalseAnswerError,
    InvitationOpenError,
    MeetingRefusedError,
    NoInvitationError,
    OwnClusterError,
)
from kontinuum.clusters.meeting.introductions import Met, Ourselves
from kontinuum.clusters.meeting.messages import (
    Introduction,
    Refusal,
    Sealed,
    decode_answer,
    decode_request,
    encode_refusal,
)
from kontinuum.clusters.meeting.words import MEET_NONCE_BYTES, Meeting, commit
from kontinuum.keys.genesis import Genesis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from kontinuum.base.entropy import Entropy
    from kontinuum.identity import Multiaddr, PeerId
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.genesis import ClusterId

    KnownChain = Callable[[ClusterId], Chain | None]

INVITATION_S = 600.0
"""Seconds for which a code is good. Our choice: ten minutes, for two people in one room. Then it is refused.
"""

FAILURES_OF_PEER_MAX = 3
"""Requests of one peer with a wrong MAC or a chain that proves nothing. Our choice; the peer's further ones
are refused unseen. Nobody guesses 128 bits: this bounds work, and a code that is burnt by three requests of
anybody would let every stranger hinder a meeting."""

FAILURES_MAX = 64
"""Such requests in all. Our choice: somebody hinders this meeting; then the invitation is burnt, and our user
is told."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host does about a request."""

    data: bytes
    """What is sent back."""

    met: Met | None = None
    """Whom we met; then the invitation is used."""

    burnt: bool = False
    """The invitation ended because of too many failures."""


@dataclass(slots=True)
class _Invitation:
    own: Ourselves
    code: MeetCode
    nonce: bytes
    deadline: float
    failures: dict[PeerId, int] = field(default_factory=dict)


class Host:
    """The side that shows a code.

    Args:
        entropy: Makes secrets and nonces.
        known: What is known of a cluster already.
    """

    def __init__(self, entropy: Entropy, known: KnownChain) -> None:
        self._entropy = entropy
        self._known = known
        self._open: _Invitation | None = None

    @property
    def code(self) -> MeetCode | None:
        """The code that is good now, if one is."""
        return None if self._open is None else self._open.code

    def invite(self, own: Ourselves, addresses: Iterable[Multiaddr], *, at: datetime, now: float) -> MeetCode:
        """Begin to wait for somebody; returns the code to show.

        Args:
            own: Who we are.
            addresses: Where we are, the preferred one first.
            at: The time of day: the guest sees until when the code is good.
            now: Monotonic seconds: we decide by it. Two clocks, since the guest has only the first.

        Raises:
            InvitationOpenError: We wait already.
        """
        self.handle_timeout(now)
        if self._open is not None:
            raise InvitationOpenError("a code is being shown already; one at a time")
        nonce = self._entropy.token(MEET_NONCE_BYTES)
        code = MeetCode.issue(
            own.genesis.cluster,
            own.key,
            secret=self._entropy.token(MEET_SECRET_BYTES),
            commitment=commit(nonce, own.genesis.cluster, own.key),
            expires_at=at + timedelta(seconds=INVITATION_S),
            addresses=addresses,
        )
        self._open = _Invitation(own, code, nonce, now + INVITATION_S)
        return code

    def cancel(self) -> None:
        """Wait no more: the code is worth nothing from now on."""
        self._open = None

    def handle_timeout(self, now: float) -> bool:
        """Forget an invitation that is too old. Returns whether one was."""
        if self._open is None or now < self._open.deadline:
            return False
        self._open = None
        return True

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is due."""
        return None if self._open is None else self._open.deadline

    def handle_request(
        self, data: bytes, *, guest: PeerId, own: PeerId, exporter: bytes, now: float
    ) -> Answer:
        """Somebody wants to meet us.

        Args:
            data: His message, untrusted.
            guest: The key that the session proved.
            own: The key that we showed on that session.
            exporter: ``words.EXPORTER_BYTES`` of the session.
            now: Monotonic seconds.
        """
        self.handle_timeout(now)
        invitation = self._open
        if (
            invitation is None
            or own != invitation.code.key
            or invitation.failures.get(guest, 0) >= FAILURES_OF_PEER_MAX
        ):
            return _NOBODY
        meeting = Meeting(invitation.code, exporter, guest)
        try:
            request = _authentic(data, meeting)
        except PeerError:
            return self._failed(invitation, guest, _NOBODY)
        try:
            met = self._verified(request, meeting, invitation)
        except OwnClusterError:
            return self._failed(invitation, guest, _OWN_CLUSTER)
        except (PeerError, UnavailableError):
            return self._failed(invitation, guest, _UNPROVEN)
        self._open = None  # Used, whatever people say now.
        body = invitation.own.introduction(invitation.nonce).encode()
        return Answer(Sealed(body, meeting.host_mac(data, body)).encode(), met)

    def _verified(self, request: Sealed, meeting: Meeting, invitation: _Invitation) -> Met:
        said = Introduction.decode(request.body)
        cluster = Genesis.decode(said.genesis).cluster
        if cluster == invitation.code.cluster:
            raise OwnClusterError
        numbers = meeting.word_numbers(invitation.nonce, said.nonce, cluster)
        return Met.verify(said, meeting.guest, self._known(cluster), numbers)

    def _failed(self, invitation: _Invitation, guest: PeerId, answer: Answer) -> Answer:
        invitation.failures[guest] = invitation.failures.get(guest, 0) + 1
        if sum(invitation.failures.values()) < FAILURES_MAX:
            return answer
        self._open = None
        return Answer(answer.data, burnt=True)


class Guest:
    """The side that got a code; for one meeting.

    Args:
        own: Who we are.
        code: What we got.
        entropy: Makes the nonce.
        known: What is known of a cluster already.

    Raises:
        OwnClusterError: The code is of our own cluster.
    """

    def __init__(self, own: Ourselves, code: MeetCode, entropy: Entropy, known: KnownChain) -> None:
        if code.cluster == own.genesis.cluster:
            raise OwnClusterError(
                "this code is of your own cluster, whose nodes recognise each other without meeting"
            )
        self._own = own
        self._code = code
        self._known = known
        self._nonce = entropy.token(MEET_NONCE_BYTES)
        self._meeting: Meeting | None = None
        self._request = b""

    def request(self, exporter: bytes) -> bytes:
        """What is sent to the node that the code names, on a session that proved its key.

        Args:
            exporter: ``words.EXPORTER_BYTES`` of that session.
        """
        self._meeting = Meeting(self._code, exporter, self._own.key)
        body = self._own.introduction(self._nonce).encode()
        self._request = Sealed(body, self._meeting.guest_mac(body)).encode()
        return self._request

    def handle_answer(self, data: bytes) -> Met:
        """Verify what came back.

        Raises:
            NoInvitationError, OwnClusterError, MeetingRefusedError: The host says no; the leaf says why.
            FalseAnswerError: The answer is not from whoever made the code.
            PeerError, UnavailableError: The host's key is no member in use of its cluster.
        """
        if self._meeting is None:
            raise AssertionError("an answer without a request")
        answer = decode_answer(data)
        if isinstance(answer, Refusal):
            raise _refused(answer)
        if not hmac.compare_digest(answer.mac, self._meeting.host_mac(self._request, answer.body)):
            raise FalseAnswerError("what answered does not know the secret of the code")
        said = Introduction.decode(answer.body)
        genesis = Genesis.decode(said.genesis)
        if genesis.cluster != self._code.cluster:
            raise FalseAnswerError("what answered is of another cluster than the code")
        if commit(said.nonce, genesis.cluster, self._code.key) != self._code.commitment:
            raise FalseAnswerError("what answered opens another nonce than the code commits to")
        numbers = self._meeting.word_numbers(said.nonce, self._nonce, self._own.genesis.cluster)
        return Met.verify(said, self._code.key, self._known(genesis.cluster), numbers)


_NOBODY = Answer(encode_refusal(Refusal.NO_INVITATION))
_OWN_CLUSTER = Answer(encode_refusal(Refusal.OWN_CLUSTER))
_UNPROVEN = Answer(encode_refusal(Refusal.UNPROVEN))


def _authentic(data: bytes, meeting: Meeting) -> Sealed:
    """A guest's message whose MAC fits."""
    request = decode_request(data)
    if not hmac.compare_digest(request.mac, meeting.guest_mac(request.body)):
        raise PeerError("a guest does not know the secret of the code")
    return request


def _refused(refusal: Refusal) -> Exception:
    match refusal:
        case Refusal.NO_INVITATION:
            return NoInvitationError(
                "the other side waits for nobody with this code: it was used, cancelled or replaced, or is "
                "too old; ask for a new one"
            )
        case Refusal.OWN_CLUSTER:
            return OwnClusterError("the other node says that both are of one cluster")
        case Refusal.UNPROVEN:
            return MeetingRefusedError(
                "the other side does not accept that this node speaks for its cluster; see: "
                "kontinuum cluster show"
            )
        case _:
            return MeetingRefusedError("the other side refuses, for a reason that only a newer program knows")
