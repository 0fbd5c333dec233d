"""The payload: no chunk can be changed, moved, repeated, left out, cut off or taken from elsewhere."""

import pytest

from kontinuum.identity import Secret
from kontinuum.keys.envelope.errors import DamagedPayloadError, PayloadError, TruncatedPayloadError
from kontinuum.keys.envelope.stream import (
    CHUNK_BYTES,
    SEALED_CHUNK_BYTES,
    ChunkOpener,
    Stream,
    payload_bytes,
)

KEY = Secret(b"k" * 32)


def content(size):
    """Bytes that differ from chunk to chunk."""
    return b"".join(number.to_bytes(4) for number in range(size // 4 + 1))[:size]


def seal(plaintext, key=KEY):
    """Sealed chunks."""
    return Stream(key).seal_run(memoryview(plaintext), final=True)


def unseal(chunks, key=KEY):
    """The plaintext of a whole payload."""
    data = b"".join(chunks)
    out = bytearray(len(data))
    size = Stream(key).open_run(memoryview(data), memoryview(out), final=True)
    return bytes(out[:size])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_sealed_is_opened(size):
    """
    At every border of a chunk the content comes back, and the payload has the length that follows from it.
    """
    sealed = seal(content(size))

    assert unseal(sealed) == content(size)
    assert 16 + sum(map(len, sealed)) == payload_bytes(size)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
@pytest.mark.parametrize("piece", [1000, SEALED_CHUNK_BYTES, 1 << 20])
def test_pieces_of_any_size_give_the_same(size, piece):
    """
    A payload may come cut anywhere.
    """
    data = b"".join(seal(content(size)))
    opener = ChunkOpener(Stream(KEY))
    parts = [part for at in range(0, len(data), piece) for part in opener.feed(data[at : at + piece])]

    assert b"".join([*parts, *opener.finish()]) == content(size)


FOUR = seal(content(3 * CHUNK_BYTES + 100))


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ([FOUR[1], FOUR[0], *FOUR[2:]], DamagedPayloadError),
        ([FOUR[0], FOUR[0], *FOUR[1:]], DamagedPayloadError),
        ([FOUR[0], *FOUR[2:]], DamagedPayloadError),
        ([*FOUR, FOUR[3]], DamagedPayloadError),
        ([*FOUR, b"x"], DamagedPayloadError),
        ([*FOUR[:3], FOUR[3] + b"x"], DamagedPayloadError),
        ([*FOUR[:3], FOUR[3][:-1]], DamagedPayloadError),
        ([*FOUR[:3], FOUR[3][:15]], TruncatedPayloadError),
        ([*FOUR[:3], FOUR[3][:16]], TruncatedPayloadError),
        (FOUR[:3], TruncatedPayloadError),
        (FOUR[:1], TruncatedPayloadError),
        ([], TruncatedPayloadError),
        ([FOUR[0][:100]], DamagedPayloadError),
        ([*seal(content(3 * CHUNK_BYTES + 100), Secret(b"o" * 32))[:1], *FOUR[1:]], DamagedPayloadError),
        ([*FOUR[:3], *seal(b"")], TruncatedPayloadError),
    ],
    ids=[
        *("swapped", "repeated", "left-out", "end-repeated", "appended", "last-longer", "last-shorter"),
        *("tag-only-in-part", "empty-end", "without-end", "one-of-four", "nothing", "cut-in-a-chunk"),
        *("spliced", "other-end"),
    ],
)
def test_a_payload_that_is_not_whole_and_in_order_is_refused(chunks, error):
    """
    Each manipulation is noticed, in one piece or in many, and a cut is told from damage where it can be.
    """
    with pytest.raises(error) as whole:
        unseal(chunks)

    opener = ChunkOpener(Stream(KEY))
    with pytest.raises(type(whole.value)):
        [list(opener.feed(chunk)) for chunk in chunks] + list(opener.finish())


@pytest.mark.parametrize("chunk", range(4))
@pytest.mark.parametrize("position", [0, 50, -17, -16, -1])
@pytest.mark.parametrize("bit", [1, 128])
def test_every_changed_bit_is_noticed(chunk, position, bit):
    """
    Ciphertext or tag, first byte or last.
    """
    changed = bytearray(FOUR[chunk])
    changed[position] ^= bit

    with pytest.raises(DamagedPayloadError):
        unseal([*FOUR[:chunk], changed, *FOUR[chunk + 1 :]])


def test_a_short_chunk_in_the_middle_cannot_be_sealed():
    """
    The format has none, so that each payload has one form.
    """
    stream = Stream(KEY)

    with pytest.raises(AssertionError):
        stream.seal(b"short", final=False)
    stream.seal(b"the end", final=True)
    with pytest.raises(AssertionError):
        stream.seal(b"more", final=True)


def test_what_can_be_recovered_of_a_payload_that_was_cut_is_released():
    """
    Up to the cut everything is right: the pieces come, then the error.
    """
    opener, got = ChunkOpener(Stream(KEY)), []
    for chunk in FOUR[:3]:
        got += opener.feed(chunk)
    with pytest.raises(PayloadError):
        got.extend(opener.finish())

    assert b"".join(got) == content(3 * CHUNK_BYTES)
