"""Any bytes are an envelope, a stream, a plain age file or an EnvelopeError; none opens that was changed."""

import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # Beside the tests, and alone under the fuzzer.

from helpers.envelopes import ALICE, BOB, CONTEXT, PARENT, READERS, CountedEntropy
from kontinuum.keys.envelope import (
    ArmorError,
    EnvelopeError,
    Passphrase,
    decode_armor,
    encode_armor,
    open_age,
    open_bytes,
    open_stream,
    seal_age,
    seal_bytes,
    seal_stream,
)

SEALING = {"signer": ALICE, "context": CONTEXT, "metadata": b"name"}
OBJECT = seal_bytes(READERS, b"content", entropy=CountedEntropy("1"), **SEALING)
STREAM = b"".join(seal_stream(READERS, [b"content"], entropy=CountedEntropy("2"), **SEALING))
PLAIN = b"".join(seal_age([BOB.recipient], [b"content"], entropy=CountedEntropy("3")))
LOCKED = b"".join(seal_age([Passphrase("x", work=1)], [b"content"], entropy=CountedEntropy("4")))
SEEDS = [OBJECT, STREAM, PLAIN, LOCKED, encode_armor(PLAIN)]
KEYS = [PARENT, BOB]


def fuzz(data: bytes) -> None:
    """One input, as each of the forms."""
    try:
        data = decode_armor(data)
    except ArmorError:
        pass
    else:
        if encode_armor(data) == b"":
            raise AssertionError("armor is never empty")
    try:
        opened = open_bytes(KEYS, data, context=CONTEXT)
    except EnvelopeError:
        pass
    else:
        if data != OBJECT or opened.plaintext != b"content":
            raise AssertionError("an object that Alice did not seal")
    got = b""
    try:
        for part in open_stream(KEYS, [data[:100], data[100:]], context=CONTEXT):
            got += part
    except EnvelopeError:
        got = b"" if got == b"content" else got
    if got and (data != STREAM or got != b"content"):
        raise AssertionError("a stream that Alice did not send")
    for keys in (KEYS, [Passphrase("x", work=1)]):
        with suppress(EnvelopeError):
            list(open_age(keys, [data]))
