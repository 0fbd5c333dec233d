"""Signed streams: each piece is the sender's before it is released, in its place, and the end is there."""

import pytest

from helpers.envelopes import (
    ALICE,
    BOB,
    CAROL,
    CONTEXT,
    ENTROPY,
    MALLORY,
    PARENT,
    READERS,
    SEALING,
)
from kontinuum._native import blake3_256
from kontinuum.keys.envelope import (
    ClaimError,
    Context,
    DamagedPayloadError,
    EnvelopeError,
    ForgedError,
    NoMatchingKeyError,
    NotAnEnvelopeError,
    PayloadError,
    Reader,
    StreamOpener,
    StreamSealer,
    TruncatedHeaderError,
    TruncatedPayloadError,
    WrongContextError,
    WrongSenderError,
    open_age,
    open_bytes,
    open_stream,
    seal_bytes,
    seal_stream,
    to_age,
)
from kontinuum.keys.envelope.claim import claim_stanza, open_claim, recipient_stanzas
from kontinuum.keys.envelope.header import encode_head, encode_header, parse_header
from kontinuum.keys.envelope.readers import unwrap_file_key
from kontinuum.keys.envelope.segments import MAGIC, SEGMENT_CHUNKS
from kontinuum.keys.envelope.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES, Stream

SEGMENT = SEGMENT_CHUNKS * CHUNK_BYTES
SIGNED = SEGMENT_CHUNKS * SEALED_CHUNK_BYTES + 64


def content(size):
    """Bytes that differ from segment to segment."""
    return b"".join(number.to_bytes(4) for number in range(size // 4 + 1))[:size]


def seal(plaintext, **changes):
    """A whole stream."""
    return b"".join(seal_stream(READERS, [plaintext], **{**SEALING, **changes}))


def opening(pieces, key=BOB, **changes):
    """What comes out of a stream, read as Bob would, until its end or an error; and the error."""
    got = bytearray()
    try:
        for part in open_stream([key], pieces, **{"context": CONTEXT, "senders": [ALICE.peer_id], **changes}):
            got += part
    except EnvelopeError as error:
        return bytes(got), error
    return bytes(got), None


def parts(stream):
    """Beginning (with the nonce) and signed segments of a stream."""
    header, payload = parse_header(stream.removeprefix(MAGIC))
    begin = MAGIC + header.raw + payload[:16]
    return begin, [payload[at : at + SIGNED] for at in range(16, len(payload), SIGNED)]


CONTENT = content(3 * SEGMENT + 1000)
STREAM = seal(CONTENT)
BEGIN, SEGMENTS = parts(STREAM)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT])
@pytest.mark.parametrize("piece", [999, SIGNED, 1 << 22])
def test_what_was_sealed_is_opened(size, piece):
    """
    At every border of a segment, and cut into pieces of any size.
    """
    stream = seal(content(size))

    got, error = opening([stream[at : at + piece] for at in range(0, len(stream), piece)])
    assert error is None
    assert got == content(size)


def test_a_stream_flows():
    """
    The sealer sends a segment when it is full, the opener releases one when it is complete: no more is held.
    """
    sealer = StreamSealer(READERS, **SEALING)
    opener = StreamOpener([BOB], context=CONTEXT)
    released = sent = 0
    for number in range(20):
        for piece in sealer.feed(bytes(SEGMENT // 2)):
            sent += len(piece)
            released += sum(map(len, opener.feed(piece)))
        held = (number + 1) * (SEGMENT // 2) - released
        assert held <= 2 * SEGMENT
    assert opener.claim.sender == ALICE.peer_id
    assert released >= 8 * SEGMENT
    for piece in sealer.finish():
        released += sum(map(len, opener.feed(piece)))
    assert released + sum(map(len, opener.finish())) == 10 * SEGMENT


def test_without_signatures_it_is_an_age_file():
    """
    So the age program opens it; and ours, as what it then is.
    """
    assert b"".join(open_age([PARENT], [to_age(STREAM)])) == CONTENT
    with pytest.raises(NotAnEnvelopeError):
        to_age(to_age(STREAM))


@pytest.mark.parametrize(
    ("segments", "good", "error"),
    [
        ([SEGMENTS[1], SEGMENTS[0], *SEGMENTS[2:]], 0, DamagedPayloadError),
        ([SEGMENTS[0], *SEGMENTS[2:]], 1, DamagedPayloadError),
        ([SEGMENTS[0], SEGMENTS[0], *SEGMENTS[1:]], 1, DamagedPayloadError),
        (SEGMENTS[:3], 2, TruncatedPayloadError),
        (SEGMENTS[:1], 0, TruncatedPayloadError),
        ([], 0, TruncatedPayloadError),
        ([*SEGMENTS[:3], SEGMENTS[3][:64]], 3, TruncatedPayloadError),
        ([*SEGMENTS[:3], SEGMENTS[3][:-1]], 3, DamagedPayloadError),
        ([*SEGMENTS, SEGMENTS[3]], 3, DamagedPayloadError),
        ([*SEGMENTS, b"x"], 3, DamagedPayloadError),
    ],
    ids=[
        *("swapped", "left-out", "repeated", "end-cut", "one-of-four"),
        *("nothing", "tag-only", "byte-cut", "end-repeated", "appended"),
    ],
)
def test_segments_out_of_order_or_missing_are_refused(segments, good, error):
    """
    What was released before is the sender's, in order; then comes the error.
    """
    got, found = opening([BEGIN, *segments])

    assert isinstance(found, error), found
    assert got == CONTENT[: good * SEGMENT]


@pytest.mark.parametrize("segment", range(4))
@pytest.mark.parametrize("position", [0, 500, -64, -1])
def test_a_changed_bit_is_refused_before_its_segment_is_released(segment, position):
    """
    In the ciphertext or in the signature.
    """
    changed = bytearray(SEGMENTS[segment])
    changed[position] ^= 1

    got, error = opening([BEGIN, *SEGMENTS[:segment], bytes(changed), *SEGMENTS[segment + 1 :]])
    assert isinstance(error, PayloadError | ForgedError)
    assert got == CONTENT[: segment * SEGMENT]


@pytest.mark.parametrize(
    "end", [0, 5, len(MAGIC), len(MAGIC) + 30, len(BEGIN) - 20, len(BEGIN) - 16, len(BEGIN) - 1]
)
def test_a_stream_that_ends_within_its_beginning_is_called_cut_off(end):
    """
    First line, header or nonce.
    """
    got, error = opening([BEGIN[:end]])

    assert isinstance(error, TruncatedHeaderError)
    assert got == b""


# --- what a reader could try, who knows the data key ---


def known(stream=STREAM):
    """What a reader knows: header, data key, claim."""
    header, payload = parse_header(stream.removeprefix(MAGIC))
    file_key = unwrap_file_key(recipient_stanzas(header), [BOB])[0]
    return header, payload, file_key, open_claim(header, file_key)


def test_a_reader_cannot_forge_a_segment():
    """
    It can encrypt, not sign; with the signature of the real segment nothing is released.
    """
    _, payload, file_key, _ = known()
    stream = Stream(file_key.payload_key(payload[:16]))
    first = stream.seal_run(memoryview(bytes(SEGMENT)), final=False)

    got, error = opening([BEGIN, b"".join(first) + SEGMENTS[0][-64:], *SEGMENTS[1:]])
    assert isinstance(error, ForgedError)
    assert error.sender == ALICE.peer_id
    assert got == b""


def test_a_reader_cannot_end_a_stream_early():
    """
    It can encrypt a chunk as the last one; that it is the last is signed too.
    """
    _, payload, file_key, _ = known()
    stream = Stream(file_key.payload_key(payload[:16]))
    first = stream.seal_run(memoryview(CONTENT[:SEGMENT]), final=True)

    got, error = opening([BEGIN, b"".join(first) + SEGMENTS[0][-64:]])
    assert isinstance(error, ForgedError)
    assert got == b""


def test_a_reader_cannot_splice_streams_of_one_sender():
    """
    Another stream of Alice to the same readers, with the same content: its segments do not fit, even where a
    reader encrypts them again under this stream's key.
    """
    _, payload, file_key, _ = known()
    _, others = parts(seal(CONTENT))
    stream = Stream(file_key.payload_key(payload[:16]))
    again = b"".join(stream.seal_run(memoryview(CONTENT[:SEGMENT]), final=False))

    assert isinstance(opening([BEGIN, others[0], *SEGMENTS[1:]])[1], DamagedPayloadError)
    assert again == SEGMENTS[0][:-64]
    assert isinstance(opening([BEGIN, again + others[0][-64:], *SEGMENTS[1:]])[1], ForgedError)


def test_a_reader_cannot_forward_a_stream_under_the_senders_name():
    """
    Bob wraps the data key for Carol, who then reads that Alice did not send it to her.
    """
    _, payload, file_key, signed = known()
    stanzas = [CAROL.recipient.wrap(file_key, ENTROPY), PARENT.recipient.wrap(file_key, ENTROPY)]
    header = encode_header(encode_head([*stanzas, claim_stanza(signed, file_key)]), file_key)

    assert isinstance(opening([MAGIC + header + payload], CAROL)[1], ForgedError)


def test_whoever_is_no_reader_cannot_tell_whose_stream_it_is():
    """
    The signatures are in the clear, but cover a secret of the readers: no guess of the sender can be checked.
    """
    _, payload, file_key, signed = known()
    segment, signature = SEGMENTS[0][:-64], SEGMENTS[0][-64:]
    running = blake3_256(payload[:16] + segment)
    from kontinuum.identity import BadSignatureError, verify  # noqa: PLC0415

    for secret in (bytes(32), b""):
        with pytest.raises(BadSignatureError):
            verify(ALICE.peer_id, "envelope-segment", signed.digest() + secret + b"\0" + running, signature)
    statement = signed.digest() + file_key.segments_key() + b"\0" + running
    verify(ALICE.peer_id, "envelope-segment", statement, signature)


# --- what anybody could try ---


def test_sender_purpose_and_key_must_be_the_expected_ones():
    """
    Each has its own error, before anything is released.
    """
    for changes, error in (
        ({"senders": [MALLORY.peer_id]}, WrongSenderError),
        ({"context": Context("other")}, WrongContextError),
        ({"key": CAROL}, NoMatchingKeyError),
    ):
        got, found = opening([STREAM], **changes)
        assert isinstance(found, error)
        assert got == b""


def test_other_files_are_no_streams():
    """
    An object, a plain age file behind the first line, something else.
    """
    sealed = seal_bytes([Reader(BOB.recipient)], b"x", **SEALING)
    for data, error in (
        (sealed, NotAnEnvelopeError),
        (MAGIC + sealed, ClaimError),
        (b"kontinuum/signed-stream/2\n", NotAnEnvelopeError),
        (MAGIC + b"x", NotAnEnvelopeError),
    ):
        assert isinstance(opening([data])[1], error)
    with pytest.raises(EnvelopeError):
        open_bytes([BOB], STREAM, context=CONTEXT)
