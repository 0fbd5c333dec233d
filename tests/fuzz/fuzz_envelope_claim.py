"""Any bytes that a reader encrypts as a claim are a claim that Alice signed, or an EnvelopeError."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # Beside the tests, and alone under the fuzzer.

from helpers.envelopes import ALICE, BOB, CONTEXT, READERS, CountedEntropy, opened_header
from kontinuum.keys.envelope import EnvelopeError, Form, open_bytes, seal_bytes
from kontinuum.keys.envelope.claim import CLAIM_BLOCK_BYTES, CLAIM_STANZA
from kontinuum.keys.envelope.file_key import decrypt_once, encrypt_once
from kontinuum.keys.envelope.header import encode_head, encode_header
from kontinuum.keys.envelope.stanza import Stanza

SEALED = seal_bytes(
    READERS, b"content", signer=ALICE, context=CONTEXT, metadata=b"name", entropy=CountedEntropy("1")
)
HEADER, PAYLOAD, FILE_KEY, SIGNED = opened_header(SEALED)
PLAIN = decrypt_once(FILE_KEY.claim_key(), HEADER.stanzas[-1].body)
SEEDS = [PLAIN, PLAIN.rstrip(b"\0")]


def fuzz(data: bytes) -> None:
    """One input: as it is, and padded to what a claim's length must be."""
    for plain in (data, data.ljust(-(-len(data) // CLAIM_BLOCK_BYTES) * CLAIM_BLOCK_BYTES, b"\0")):
        stanza = Stanza(CLAIM_STANZA, (), encrypt_once(FILE_KEY.claim_key(), plain))
        sealed = encode_header(encode_head([*HEADER.stanzas[:-1], stanza]), FILE_KEY) + PAYLOAD
        try:
            opened = open_bytes([BOB], sealed, context=CONTEXT)
        except EnvelopeError:
            continue
        if opened.claim != SIGNED.claim or opened.claim.form is not Form.OBJECT:
            raise AssertionError("a claim that Alice did not make")
