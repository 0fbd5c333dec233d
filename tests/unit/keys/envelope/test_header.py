"""Headers: read in pieces of any size, within bounds, and only in the one form that they have."""

import tracemalloc

import pytest

from helpers.envelopes import BOB, ENTROPY
from kontinuum.keys.envelope.errors import (
    HeaderError,
    HeaderMacError,
    HeaderTooLargeError,
    NotAnEnvelopeError,
    TruncatedHeaderError,
    UnknownVersionError,
)
from kontinuum.keys.envelope.file_key import FileKey
from kontinuum.keys.envelope.header import HeaderReader, encode_head, encode_header, parse_header
from kontinuum.keys.envelope.stanza import Stanza, decode_base64, parse_arguments
from kontinuum.wire.limits import ENVELOPE_HEADER_BYTES_MAX, ENVELOPE_LINE_BYTES_MAX, ENVELOPE_STANZAS_MAX

FILE_KEY = FileKey(b"k" * 16)
STANZA = BOB.recipient.wrap(FILE_KEY, ENTROPY)
HEADER = encode_header(encode_head([STANZA]), FILE_KEY)
INTRO = b"age-encryption.org/v1\n"


def test_a_header_is_what_was_written():
    """
    Stanzas, authenticator and what follows come back; the authenticator is that of the data key.
    """
    header, behind = parse_header(HEADER + b"payload")

    assert header.stanzas == (STANZA,)
    assert header.raw == HEADER
    assert behind == b"payload"
    assert HEADER[header.last_stanza_at :].startswith(b"-> X25519 ")
    FILE_KEY.verify_header(header.authenticated, header.mac)
    with pytest.raises(HeaderMacError):
        FileKey(b"K" * 16).verify_header(header.authenticated, header.mac)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 1000])
def test_a_header_may_come_in_pieces(size):
    """
    Pieces of any size give the same header and the same rest.
    """
    data = HEADER + bytes(range(256)) * 2
    reader, at, behind = HeaderReader(), 0, None
    while behind is None:
        behind = reader.feed(data[at : at + size])
        at += size

    assert reader.header == parse_header(HEADER)[0]
    assert behind + data[at:] == data[len(HEADER) :]


@pytest.mark.parametrize("end", range(len(HEADER)))
def test_a_header_that_is_cut_off_is_called_so(end):
    """
    Wherever the bytes end, the reader wants more, and says what is wrong if there is no more.
    """
    reader = HeaderReader()

    assert reader.feed(HEADER[:end]) is None
    with pytest.raises(TruncatedHeaderError):
        reader.finish()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"PK\x03\x04", NotAnEnvelopeError),
        (b"age-encryption.or\n", NotAnEnvelopeError),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", NotAnEnvelopeError),
        (b"\n", NotAnEnvelopeError),
        (b"age-encryption.org/v2\n", UnknownVersionError),
        (b"age-encryption.org/v1 \n", UnknownVersionError),
        (INTRO + b"--- " + b"A" * 43 + b"\n", HeaderError),
        (INTRO + b"-> \n", HeaderError),
        (INTRO + b"->\n", HeaderError),
        (INTRO + b"-> a  b\n", HeaderError),
        (INTRO + b"-> a \n", HeaderError),
        (INTRO + b"-> \xc3\xa4\n", HeaderError),
        (INTRO + b"-> a\n" + b"A" * 65 + b"\n", HeaderError),
        (INTRO + b"-> a\n" + b"A" * 63 + b"\n", HeaderError),
        (INTRO + b"-> a\nAB\n", HeaderError),
        (INTRO + b"-> a\nAA==\n", HeaderError),
        (INTRO + b"-> a\n\n\n", HeaderError),
        (INTRO + b"-> a\n\n---" + b"A" * 43 + b"\n", HeaderError),
        (INTRO + b"-> a\n\n--- " + b"A" * 42 + b"\n", HeaderError),
        (INTRO + b"-> a\n\n--- " + b"A" * 42 + b"B\n", HeaderError),
        (INTRO + b"-> a\n\n--- " + b"A" * 43 + b" \n", HeaderError),
    ],
)
def test_what_is_no_header_is_refused(data, error):
    """
    Other files, other versions, and every deviation from the one form, each with its own error.
    """
    with pytest.raises(error):
        parse_header(data)


def test_another_kind_of_file_is_recognised_by_its_first_bytes():
    """
    Nobody waits for a line's end in a file that is something else.
    """
    with pytest.raises(NotAnEnvelopeError):
        HeaderReader().feed(b"%PDF")


def stanzas(count, body=b""):
    """A header with so many stanzas."""
    return encode_header(encode_head([Stanza("x", (), body)] * count), FILE_KEY)


def test_stanzas_are_bounded():
    """
    At the limit a header is read; one more is refused when it begins.
    """
    assert len(parse_header(stanzas(ENVELOPE_STANZAS_MAX))[0].stanzas) == ENVELOPE_STANZAS_MAX
    with pytest.raises(HeaderTooLargeError):
        parse_header(stanzas(ENVELOPE_STANZAS_MAX + 1))


def test_lines_are_bounded():
    """
    A line at the limit is read, a longer one is refused, with its end in sight or not.
    """
    line = b"-> " + b"x" * (ENVELOPE_LINE_BYTES_MAX - 3)
    assert parse_arguments(line)
    end = b"\n\n--- " + b"A" * 43 + b"\n"
    assert parse_header(INTRO + line + end)
    for more in (b"x" + end, b"x", b"x" * 100_000):
        with pytest.raises(HeaderTooLargeError):
            HeaderReader().feed(INTRO + line + more)


def test_a_header_is_bounded():
    """
    At the limit a header is read; a byte more is refused, whether or not its end would follow.
    """
    empty = len(stanzas(1))
    lines, rest = divmod(ENVELOPE_HEADER_BYTES_MAX - empty, 65)
    # Full lines of 64 and their ends, then a last line; the kind's name fills what base64 cannot.
    full = INTRO + b"-> x" + b"y" * rest + b"\n" + (b"A" * 64 + b"\n") * lines + b"\n"
    full = encode_header(full, FILE_KEY)
    assert len(full) == ENVELOPE_HEADER_BYTES_MAX

    assert parse_header(full + b"payload")[1] == b"payload"
    for data in (full.replace(b"-> x", b"-> xx"), full[:-49] + (b"A" * 64 + b"\n") * 10):
        with pytest.raises(HeaderTooLargeError):
            parse_header(data)


def test_an_endless_header_costs_no_memory():
    """
    A stranger who never ends the header makes us hold little more than the bound.
    """
    reader = HeaderReader()
    piece = (b"A" * 64 + b"\n") * 1000
    reader.feed(INTRO + b"-> endless\n")
    tracemalloc.start()
    fed, refused = 0, False
    while fed < 1 << 26 and not refused:
        try:
            reader.feed(piece)
        except HeaderTooLargeError:
            refused = True
        fed += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused
    assert fed <= ENVELOPE_HEADER_BYTES_MAX + len(piece)
    assert peak < 8 * ENVELOPE_HEADER_BYTES_MAX


@pytest.mark.parametrize("text", [b"A", b"AB", b"AAB", b"AA=", b"A A", b"A-_A", b"\xff\xff"])
def test_base64_has_one_form(text):
    """
    Wrong lengths, padding, other alphabets, and bits behind the end are refused.
    """
    with pytest.raises(HeaderError):
        decode_base64(text)


def test_a_stanzas_body_always_ends_with_a_short_line():
    """
    A body that fills its lines is followed by an empty one.
    """
    assert Stanza("x", ("y",), bytes(48)).encode() == b"-> x y\n" + b"A" * 64 + b"\n\n"
    assert Stanza("x", (), b"").encode() == b"-> x\n\n"
