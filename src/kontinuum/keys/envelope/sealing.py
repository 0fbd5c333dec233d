"""Seal an object: a data key of its own, wrapped to its readers, and the sender's claim over all of it.

Source:   docs/protocols/envelope.md. The result is an age file.
Bounds:   the caller's memory for :func:`seal_bytes`; one run of chunks for :class:`ObjectSealer`.
Trust:    nothing here comes from outside but the recipients' public keys.
Pure:     no I/O and no clock; keys and nonces take an Entropy.

The claim holds the hash of the encrypted content and stands in front of it. So whoever writes a file leaves
room for the header, whose length is known, and writes it at the end.
"""

from collections.abc import Sequence
from dataclasses import replace

from kontinuum._native import Blake3
from kontinuum.base.entropy import Entropy
from kontinuum.keys.envelope.claim import (
    Claim,
    Form,
    SignedClaim,
    Signer,
    blank_stanza,
    claim_stanza,
    sign_claim,
)
from kontinuum.keys.envelope.context import Context
from kontinuum.keys.envelope.errors import RecipientsError
from kontinuum.keys.envelope.file_key import PAYLOAD_NONCE_BYTES, FileKey
from kontinuum.keys.envelope.header import encode_head, encode_header
from kontinuum.keys.envelope.readers import ListedReader, Reader, verify_recipients
from kontinuum.keys.envelope.stream import Stream


class ClaimSealer:
    """The header of one envelope in the making: data key, recipients' stanzas and claim.

    Args:
        readers: Who shall be able to open it; all of them are named in the claim.
        form: How the content will be bound to the claim.
        signer: The sender.
        context: What it is for; whoever opens it must know that.
        metadata: What travels beside the content, seen by readers only.
        entropy: For the data key and the ephemeral ones.

    Raises:
        RecipientsError: The readers cannot be used together, or one is a passphrase, which cannot be named.
        ClaimTooLargeError: The metadata is too long.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        form: Form,
        *,
        signer: Signer,
        context: Context,
        metadata: bytes,
        entropy: Entropy,
    ) -> None:
        verify_recipients([reader.recipient for reader in readers])
        listed = []
        for reader in readers:
            if reader.recipient.reader_id is None:
                raise RecipientsError(
                    "an envelope that a passphrase opens names no sender; seal a plain age file"
                )
            listed.append(ListedReader(reader.recipient.reader_id, reader.role))
        self.claim = Claim(form, signer.peer_id, tuple(listed), context, metadata)
        self.file_key = FileKey.generate(entropy)
        self._head = encode_head(reader.recipient.wrap(self.file_key, entropy) for reader in readers)
        self._signer = signer
        self._sealed = False

    @property
    def header_bytes(self) -> int:
        """How long the header will be."""
        return len(encode_header(self._head + blank_stanza(self.claim).encode(), self.file_key))

    def seal(self, claim: Claim) -> tuple[bytes, SignedClaim]:
        """The header with ``claim``, a completed form of ours; once."""
        if self._sealed:
            raise AssertionError("a claim is encrypted once, for its key has one nonce")
        self._sealed = True
        signed = sign_claim(claim, self._head, self.file_key, self._signer)
        return encode_header(self._head + claim_stanza(signed, self.file_key).encode(), self.file_key), signed


class ObjectSealer:
    """Seals one object, run by run; :meth:`header` comes last and stands in front. Arguments as there.

    Attributes:
        nonce: What the payload begins with, right behind the header.
        header_bytes: How long the header will be.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        *,
        signer: Signer,
        context: Context,
        metadata: bytes = b"",
        entropy: Entropy,
    ) -> None:
        self._sealer = ClaimSealer(
            readers, Form.OBJECT, signer=signer, context=context, metadata=metadata, entropy=entropy
        )
        self._size_bytes = 0
        self._hasher = Blake3()
        self.nonce = entropy.token(PAYLOAD_NONCE_BYTES)
        self._hasher.update(self.nonce)
        self._stream = Stream(self._sealer.file_key.payload_key(self.nonce))
        self.header_bytes = self._sealer.header_bytes

    def seal(self, run: memoryview, *, final: bool) -> list[bytes]:
        """Encrypt the next run of whole chunks, and what remains if it is the ``final`` one."""
        sealed = self._stream.seal_run(run, final=final)
        for chunk in sealed:
            self._hasher.update(chunk)
        self._size_bytes += len(run)
        return sealed

    def header(self) -> bytes:
        """The header, of ``header_bytes``, once everything was sealed. Only once."""
        claim = replace(self._sealer.claim, size_bytes=self._size_bytes, digest=self._hasher.digest())
        return self._sealer.seal(claim)[0]


def seal_bytes(
    readers: Sequence[Reader],
    plaintext: bytes,
    *,
    signer: Signer,
    context: Context,
    metadata: bytes = b"",
    entropy: Entropy,
) -> bytes:
    """Seal ``plaintext``; see :class:`ClaimSealer` for the arguments and errors."""
    sealer = ObjectSealer(readers, signer=signer, context=context, metadata=metadata, entropy=entropy)
    sealed = sealer.seal(memoryview(plaintext), final=True)
    return b"".join([sealer.header(), sealer.nonce, *sealed])
