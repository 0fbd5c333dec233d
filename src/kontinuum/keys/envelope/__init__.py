"""Envelopes: everything that is stored or sent, sealed to its readers and signed by its sender.

An envelope is an age file (``age``, ``rage`` and ``pyrage`` open it with a reader's key) whose last header
stanza is the sender's claim: who sealed it, to whom, for what, and which content. :func:`open_bytes` and
:func:`open_file` release nothing before all of that was verified; a stream is verified piece by piece
(:func:`open_stream`).
:func:`seal_age` and :func:`open_age` are for plain age files, which say nothing about their sender.

Read ``docs/protocols/envelope.md`` first, then ``stream`` (the payload), ``header``, ``claim``, ``sealing``
and ``opening``. ``files`` and ``writer`` do the file work; everything else is pure.
"""

from kontinuum.keys.envelope.age import open_age, seal_age
from kontinuum.keys.envelope.armor import decode_armor, encode_armor, is_armored
from kontinuum.keys.envelope.claim import Claim, Form, Signer
from kontinuum.keys.envelope.context import Context
from kontinuum.keys.envelope.errors import (
    ArmorError,
    BadKeyTextError,
    ClaimError,
    ClaimTooLargeError,
    DamagedPayloadError,
    EnvelopeError,
    ForgedError,
    HeaderError,
    HeaderMacError,
    HeaderTooLargeError,
    MixedRecipientsError,
    NoMatchingKeyError,
    NoRecipientsError,
    NotAnEnvelopeError,
    NotSignedError,
    PayloadError,
    RecipientsError,
    TooManyRecipientsError,
    TruncatedHeaderError,
    TruncatedPayloadError,
    UnknownVersionError,
    WrongContextError,
    WrongSenderError,
)
from kontinuum.keys.envelope.files import open_file, seal_file
from kontinuum.keys.envelope.hybrid import HybridKey, HybridRecipient
from kontinuum.keys.envelope.key_text import (
    AgeKey,
    AgeRecipient,
    encode_key_file,
    parse_key,
    parse_key_file,
    parse_recipient,
)
from kontinuum.keys.envelope.opening import Opened, Senders, open_bytes
from kontinuum.keys.envelope.passphrase import Passphrase
from kontinuum.keys.envelope.readers import (
    DecryptionKey,
    Kind,
    ListedReader,
    Reader,
    ReaderId,
    Recipient,
    Role,
)
from kontinuum.keys.envelope.sealing import seal_bytes
from kontinuum.keys.envelope.segments import StreamOpener, StreamSealer, open_stream, seal_stream, to_age
from kontinuum.keys.envelope.x25519 import X25519Key, X25519Recipient

__all__ = [
    "AgeKey",
    "AgeRecipient",
    "ArmorError",
    "BadKeyTextError",
    "Claim",
    "ClaimError",
    "ClaimTooLargeError",
    "Context",
    "DamagedPayloadError",
    "DecryptionKey",
    "EnvelopeError",
    "ForgedError",
    "Form",
    "HeaderError",
    "HeaderMacError",
    "HeaderTooLargeError",
    "HybridKey",
    "HybridRecipient",
    "Kind",
    "ListedReader",
    "MixedRecipientsError",
    "NoMatchingKeyError",
    "NoRecipientsError",
    "NotAnEnvelopeError",
    "NotSignedError",
    "Opened",
    "Passphrase",
    "PayloadError",
    "Reader",
    "ReaderId",
    "Recipient",
    "RecipientsError",
    "Role",
    "Senders",
    "Signer",
    "StreamOpener",
    "StreamSealer",
    "TooManyRecipientsError",
    "TruncatedHeaderError",
    "TruncatedPayloadError",
    "UnknownVersionError",
    "WrongContextError",
    "WrongSenderError",
    "X25519Key",
    "X25519Recipient",
    "decode_armor",
    "encode_armor",
    "encode_key_file",
    "is_armored",
    "open_age",
    "open_bytes",
    "open_file",
    "open_stream",
    "parse_key",
    "parse_key_file",
    "parse_recipient",
    "seal_age",
    "seal_bytes",
    "seal_file",
    "seal_stream",
    "to_age",
]
