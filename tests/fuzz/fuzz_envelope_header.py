"""Any bytes are a header, written as it was read, or an EnvelopeError; whole and split input agree."""

from kontinuum.keys.envelope.errors import EnvelopeError
from kontinuum.keys.envelope.file_key import FileKey
from kontinuum.keys.envelope.header import HeaderReader, encode_head, encode_header, parse_header
from kontinuum.keys.envelope.stanza import Stanza

SEEDS = [
    encode_header(encode_head([Stanza("X25519", ("a" * 43,), bytes(32))]), FileKey(bytes(16))) + b"rest",
    encode_header(
        encode_head([Stanza("x", (), bytes(48)), Stanza("y", ("z", "!~"), b"")]), FileKey(bytes(16))
    ),
]


def outcome(pieces: list[bytes]) -> tuple[object, ...]:
    """What a reader says about bytes that come in these pieces."""
    reader = HeaderReader()
    try:
        for number, piece in enumerate(pieces):
            behind = reader.feed(piece)
            if behind is not None:
                return reader.header, behind + b"".join(pieces[number + 1 :])
        reader.finish()
    except EnvelopeError as error:
        return (type(error),)
    raise AssertionError("neither a header nor an error")


def fuzz(data: bytes) -> None:
    """One input: whole, and in two pieces."""
    whole = outcome([data])
    cut = data[-1] % (len(data) + 1) if data else 0
    if whole != outcome([data[:cut], data[cut:]]) or whole != outcome([bytes([byte]) for byte in data]):
        raise AssertionError("whole and split input differ")
    if len(whole) == 2:
        header, behind = parse_header(data)
        if encode_head(header.stanzas) + b"---" != header.authenticated or header.raw + behind != data:
            raise AssertionError("a header that is written in two ways")
