"""Any bytes are a transfer's message, an unknown one, or a PeerError; a message survives a round trip."""

import contextlib

from kontinuum.base import PeerError
from kontinuum.transfer import messages
from kontinuum.transfer.messages import Abort, Answer, Answers, Begin, Chunk, End, FileOffer, Offer, Verdict

SEEDS = [
    messages.encode(message)[messages.LENGTH_BYTES :]
    for message in (
        Offer((FileOffer("a.txt", 5), FileOffer("ü.bin", 1 << 40))),
        Answers((Answer(0), Answer(0, 7, b"d" * 32), Answer(4))),
        Begin(1, 7),
        Chunk(65_536),
        End(b"d" * 32),
        Abort(1, 8),
        Verdict(0, 0),
    )
]


def fuzz(data: bytes) -> None:
    """One input as a message and as a length."""
    with contextlib.suppress(PeerError):
        messages.parse_length(data[: messages.LENGTH_BYTES])
    try:
        message = messages.decode(data)
    except PeerError:
        return
    if not isinstance(message, messages.Unknown):
        assert messages.decode(messages.encode(message)[messages.LENGTH_BYTES :]) == message
