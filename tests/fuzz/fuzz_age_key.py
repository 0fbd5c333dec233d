"""Any text is a recipient or key, written as it was read, or a BadKeyTextError that shows nothing of it."""

import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # Beside the tests, and alone under the fuzzer.

from helpers.envelopes import BOB, HYBRID
from kontinuum.keys.envelope import (
    BadKeyTextError,
    encode_key_file,
    parse_key,
    parse_key_file,
    parse_recipient,
)

SEEDS = [
    BOB.recipient.to_text().encode(),
    bytes(BOB.to_text()),
    bytes(HYBRID.to_text()),
    bytes(encode_key_file(BOB, "x")),
    HYBRID.recipient.to_text().encode(),
]


def fuzz(data: bytes) -> None:
    """One input: as a recipient, as a key, as a key file."""
    text = data.decode("latin-1")
    try:
        if parse_recipient(text).to_text() != text.strip():
            raise AssertionError("a recipient with two forms")
    except BadKeyTextError as error:
        if len(text) > 30 and text[10:30] in str(error):
            raise AssertionError("an error shows what it was given") from None
    try:
        if bytes(parse_key(text).to_text()).decode() != text.strip():
            raise AssertionError("a key with two forms")
    except BadKeyTextError as error:
        if len(text) > 30 and text[10:30] in str(error):
            raise AssertionError("an error shows what it was given") from None
    with suppress(BadKeyTextError):
        parse_key_file(data)
