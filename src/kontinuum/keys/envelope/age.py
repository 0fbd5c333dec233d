"""Plain age files: sealed to recipients, and silent about their sender.

Source:   C2SP age.md.
Bounds:   those of the header; two chunks of the payload.
Trust:    files are hostile. A plain age file proves nothing about who made it: whoever knows a recipient's
          public key can make one. What must be believed is sealed with a claim (``sealing``).
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Iterable, Iterator, Sequence

from kontinuum.base.entropy import Entropy
from kontinuum.keys.envelope.errors import TruncatedHeaderError
from kontinuum.keys.envelope.file_key import PAYLOAD_NONCE_BYTES, FileKey
from kontinuum.keys.envelope.header import HeaderReader, encode_head, encode_header
from kontinuum.keys.envelope.readers import DecryptionKey, Recipient, unwrap_file_key, verify_recipients
from kontinuum.keys.envelope.stream import CHUNK_BYTES, ChunkOpener, Stream


def seal_age(
    recipients: Sequence[Recipient], chunks: Iterable[bytes], *, entropy: Entropy
) -> Iterator[bytes]:
    """An age file of what ``chunks`` give, in pieces of any length.

    Raises:
        RecipientsError: The recipients cannot be used together.
    """
    verify_recipients(recipients)
    file_key = FileKey.generate(entropy)
    head = encode_head(recipient.wrap(file_key, entropy) for recipient in recipients)
    nonce = entropy.token(PAYLOAD_NONCE_BYTES)
    yield encode_header(head, file_key) + nonce
    stream = Stream(file_key.payload_key(nonce))
    held = bytearray()
    for chunk in chunks:
        held += chunk
        # The last chunk may be a full one, so one full chunk is always held back.
        while len(held) > CHUNK_BYTES:
            yield stream.seal(bytes(held[:CHUNK_BYTES]), final=False)
            del held[:CHUNK_BYTES]
    yield stream.seal(bytes(held), final=True)


def open_age(keys: Sequence[DecryptionKey], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What an age file holds, whoever made it, piece by piece. It is whole only if the iterator ends.

    Raises:
        EnvelopeError: The leaf says what is wrong. What came before it is not all.
    """
    reader = HeaderReader()
    pieces = iter(chunks)
    behind: bytes | None = None
    for piece in pieces:
        behind = reader.feed(piece)
        if behind is not None:
            break
    reader.finish()
    if reader.header is None or behind is None:
        raise AssertionError("finish() raises for an incomplete header")
    file_key, _, _ = unwrap_file_key(reader.header.stanzas, keys)
    file_key.verify_header(reader.header.authenticated, reader.header.mac)
    while len(behind) < PAYLOAD_NONCE_BYTES:
        piece = next(pieces, b"")
        if not piece:
            raise TruncatedHeaderError("the file is cut off right behind its header")
        behind += piece
    opener = ChunkOpener(Stream(file_key.payload_key(behind[:PAYLOAD_NONCE_BYTES])))
    yield from opener.feed(behind[PAYLOAD_NONCE_BYTES:])
    for piece in pieces:
        yield from opener.feed(piece)
    yield from opener.finish()
