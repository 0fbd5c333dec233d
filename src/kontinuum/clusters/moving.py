"""A session goes over to a peer's new key, or to ours, without being dropped.

The new key signs the session's secret and both keys: only its holder, on this very session, can do that. That
it is the old key's successor, the chain says.

Bounds:   a signature costs its sender a piece of work, beyond which his stream; a wrong one the connection.
Trust:    who holds the old key alone (a thief) cannot move the session anywhere.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.clusters.messages import Reauth
from kontinuum.clusters.tags import REAUTH_PURPOSE, reauth_bytes
from kontinuum.identity import BadSignatureError, verify
from kontinuum.transport.errors import CloseCode

if TYPE_CHECKING:
    from kontinuum.clusters.recognition import Recognition
    from kontinuum.clusters.sessions import Parts, Session
    from kontinuum.identity import KeyPair


class Moving:
    """Our key changes, and those of peers.

    Args:
        parts: What the machine's parts share.
        recognition: Told when a peer has another key.
    """

    def __init__(self, parts: Parts, recognition: Recognition) -> None:
        self._parts = parts
        self._recognition = recognition
        self._signer: KeyPair | None = None

    def moved(self, signer: KeyPair) -> None:
        """Our node has another key: prove it on every session. What declares it was sent before."""
        self._signer, self._parts.local = signer, signer.peer_id
        for session in self._parts.sessions.values():
            if session.met and session.member is None:
                # Its newer key is not proven yet, so news pass it by; an undeclared key would be a lie.
                self._recognition.introduce_ourselves(session)
            self.met(session)

    def met(self, session: Session) -> None:
        """If we have shown an older key on this connection, prove the newer one: once on each stream."""
        old, new = session.own_shown, self._parts.local
        if session.met and self._signer is not None and old != new:
            signature = self._signer.sign(REAUTH_PURPOSE, reauth_bytes(session.exporter, old, new))
            self._parts.send(session, Reauth(old, new, signature))

    def on_reauth(self, session: Session, message: Reauth, now: float) -> None:
        """A peer says that it has another key."""
        parts = self._parts
        if message.new == session.peer:
            return
        was, will = session.judged.member, parts.book.judge(message.new).member
        if message.old != session.shown or was is None or will is None:
            parts.bar(session, "reauth")
            return
        if (was.cluster, was.place) != (will.cluster, will.place):
            parts.bar(session, "reauth")
            return
        if session.member is not None:
            return  # Its key speaks; no other one of its place does.
        if not session.work.take(1, now):
            parts.bar(session, "flood")
            return
        signed = reauth_bytes(session.exporter, message.old, message.new)
        try:
            verify(message.new, REAUTH_PURPOSE, signed, message.signature)
        except BadSignatureError:
            parts.cut(session, CloseCode.NONE, "a key that is not its own, or a proof of another session")
            return
        self._recognition.renamed(session, message.new, now)
