"""Keys, people and envelopes for tests, and envelopes that an attacker with a data key would make."""

import hashlib
from dataclasses import replace

from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity import KeyPair, Secret
from kontinuum.keys.envelope import Context, HybridKey, Reader, Role, X25519Key
from kontinuum.keys.envelope.claim import CLAIM_STANZA, claim_stanza, open_claim, recipient_stanzas
from kontinuum.keys.envelope.header import encode_head, encode_header, parse_header
from kontinuum.keys.envelope.readers import unwrap_file_key


class CountedEntropy:
    """Bytes that follow from a label and a counter: the same envelope every time."""

    def __init__(self, label="envelope"):
        self._label, self._count = label, 0

    def token(self, length):
        """The next bytes."""
        self._count += 1
        return hashlib.shake_256(f"{self._label} {self._count}".encode()).digest(length)


ENTROPY = SystemEntropy()
ALICE, MALLORY = KeyPair.from_seed(b"a" * 32), KeyPair.from_seed(b"m" * 32)
"""A sender, and somebody who would like to be one."""

BOB, PARENT, CAROL = (X25519Key(Secret(letter * 32)) for letter in (b"b", b"p", b"c"))
"""A reader, an ancestor of it that reads too, and somebody who shall not."""

HYBRID = HybridKey(Secret(b"h" * 32))
READERS = [Reader(BOB.recipient), Reader(PARENT.recipient, Role.ANCESTOR)]
CONTEXT = Context("test", topic="letters", direction="alice to bob", epoch=3)
SEALING = {"signer": ALICE, "context": CONTEXT, "entropy": ENTROPY}


def opened_header(sealed, key=BOB):
    """Header, payload, data key and claim of an envelope, as a reader can have them."""
    header, payload = parse_header(sealed)
    file_key = unwrap_file_key(recipient_stanzas(header), [key])[0]
    return header, payload, file_key, open_claim(header, file_key)


def with_recipients(sealed, recipients, key=BOB):
    """The envelope with other recipients: what a reader can do who forwards it under the sender's name."""
    _, payload, file_key, signed = opened_header(sealed, key)
    stanzas = [recipient.wrap(file_key, ENTROPY) for recipient in recipients]
    return encode_header(encode_head([*stanzas, claim_stanza(signed, file_key)]), file_key) + payload


def with_payload(sealed, payload, key=BOB):
    """The envelope with another payload behind its header."""
    return opened_header(sealed, key)[0].raw + payload


def with_claim(sealed, key=BOB, signer=None, **changes):
    """The envelope with fields of its claim changed; signed anew if there is a signer."""
    from kontinuum.keys.envelope.claim import SignedClaim, sign_claim  # noqa: PLC0415

    header, payload, file_key, signed = opened_header(sealed, key)
    claim = replace(signed.claim, **changes)
    head = encode_head(recipient_stanzas(header))
    if signer is None:
        signed = SignedClaim(claim, claim.encode(), signed.signature)
    else:
        signed = sign_claim(claim, head, file_key, signer)
    return encode_header(head + claim_stanza(signed, file_key).encode(), file_key) + payload


def without_claim(sealed, key=BOB):
    """The envelope as a plain age file."""
    header, payload, file_key, _ = opened_header(sealed, key)
    assert header.stanzas[-1].kind == CLAIM_STANZA
    return encode_header(encode_head(recipient_stanzas(header)), file_key) + payload
