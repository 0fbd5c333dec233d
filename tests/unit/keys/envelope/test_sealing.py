"""Objects: opened whole or not at all; no reader can forward, alter or redirect one in its sender's name."""

import json

import pytest

from helpers.envelopes import (
    ALICE,
    BOB,
    CAROL,
    CONTEXT,
    ENTROPY,
    HYBRID,
    MALLORY,
    PARENT,
    READERS,
    SEALING,
    opened_header,
    with_claim,
    with_payload,
    with_recipients,
    without_claim,
)
from kontinuum._native import blake3_256
from kontinuum.keys.envelope import (
    ClaimError,
    ClaimTooLargeError,
    Context,
    DamagedPayloadError,
    EnvelopeError,
    ForgedError,
    Form,
    HeaderMacError,
    Kind,
    NoMatchingKeyError,
    NotSignedError,
    Passphrase,
    Reader,
    RecipientsError,
    Role,
    TruncatedPayloadError,
    WrongContextError,
    WrongSenderError,
    open_age,
    open_bytes,
    seal_bytes,
    seal_stream,
)
from kontinuum.keys.envelope.claim import SignedClaim, claim_stanza
from kontinuum.keys.envelope.header import encode_head, encode_header, parse_header
from kontinuum.keys.envelope.readers import ListedReader
from kontinuum.keys.envelope.segments import MAGIC
from kontinuum.keys.envelope.stanza import Stanza
from kontinuum.keys.envelope.stream import CHUNK_BYTES, Stream
from kontinuum.wire import cbor
from kontinuum.wire.limits import (
    ENVELOPE_CLAIM_BYTES_MAX,
    ENVELOPE_CONTEXT_BYTES_MAX,
    ENVELOPE_HEADER_BYTES_MAX,
    ENVELOPE_METADATA_BYTES_MAX,
    ENVELOPE_RECIPIENTS_MAX,
)

LETTER = b"Dear Bob. " * 20_000
SEALED = seal_bytes(READERS, LETTER, metadata=b"letter.txt", **SEALING)


def opening(sealed, key=BOB, **changes):
    """Open as Bob would, who expects a letter from Alice."""
    return open_bytes([key], sealed, **{"context": CONTEXT, "senders": [ALICE.peer_id], **changes})


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_sealed_is_opened(size):
    """
    Content, metadata, sender, purpose and the list of readers come back, at every border of a chunk.
    """
    sealed = seal_bytes(READERS, LETTER[:size].ljust(size, b"x"), metadata=b"name", **SEALING)
    opened = opening(sealed)

    assert opened.plaintext == LETTER[:size].ljust(size, b"x")
    assert opened.claim.sender == ALICE.peer_id
    assert opened.claim.metadata == b"name"
    assert opened.claim.context == CONTEXT
    assert opened.claim.size_bytes == size


def test_readers_see_who_else_reads():
    """
    The sender says of everybody who can open it who it is and why, ancestors included.
    """
    claim = opening(SEALED).claim

    assert [(reader.reader_id.kind, reader.reader_id.id, reader.role) for reader in claim.readers] == [
        (Kind.X25519, BOB.recipient.public_key, Role.PEER),
        (Kind.X25519, PARENT.recipient.public_key, Role.ANCESTOR),
    ]
    assert opening(SEALED, PARENT).claim == claim


def test_outsiders_see_neither_sender_nor_names_nor_purpose():
    """
    In the clear are ephemeral shares and lengths; the length of the claim grows in steps only.
    """
    raw = parse_header(SEALED)[0].raw
    for secret in (ALICE.peer_id, b"letter", CONTEXT.topic.encode(), BOB.recipient.public_key):
        assert secret not in SEALED
        assert secret.hex().encode() not in SEALED
    longer = seal_bytes(READERS, LETTER, metadata=b"letter.text.txt", **SEALING)

    assert len(parse_header(longer)[0].raw) == len(raw)
    with pytest.raises(NoMatchingKeyError):
        opening(SEALED, CAROL)


def test_post_quantum_readers_are_named_by_their_hash():
    """
    Their public keys are long; the envelope opens, and the list names them.
    """
    sealed = seal_bytes([Reader(HYBRID.recipient)], LETTER, **SEALING)
    opened = opening(sealed, HYBRID)

    assert opened.plaintext == LETTER
    assert opened.claim.readers == (ListedReader(HYBRID.recipient.reader_id, Role.PEER),)


def test_a_passphrase_names_no_sender():
    """
    Age lets no stanza stand beside a passphrase's, so such an envelope is a plain age file.
    """
    with pytest.raises(RecipientsError, match="names no sender"):
        seal_bytes([Reader(Passphrase("sesame", work=4))], LETTER, **SEALING)


# --- what a reader could try, who knows the data key ---


def test_a_reader_cannot_forward_an_envelope_under_the_senders_name():
    """
    Bob wraps the data key for Carol: she learns the content, and that Alice did not send it to her.
    """
    forwarded = with_recipients(SEALED, [CAROL.recipient, PARENT.recipient])

    assert b"".join(open_age([CAROL], [forwarded])) == LETTER
    with pytest.raises(ForgedError):
        opening(forwarded, CAROL)


@pytest.mark.parametrize(
    "recipients",
    [
        [BOB.recipient],
        [BOB.recipient, PARENT.recipient, CAROL.recipient],
        [PARENT.recipient, BOB.recipient],
        [BOB.recipient, PARENT.recipient],
    ],
    ids=["removed", "added", "swapped", "wrapped-anew"],
)
def test_a_reader_cannot_change_the_recipients(recipients):
    """
    Neither remove, add or swap one, nor even wrap the key for the same ones again.
    """
    with pytest.raises(ClaimError):
        opening(with_recipients(SEALED, recipients))


def test_a_reader_cannot_change_the_content():
    """
    Whoever knows the data key can seal another content behind the signed header; readers notice.
    """
    _, payload, file_key, signed = opened_header(SEALED)
    other = b"Dear Bob. " * 19_999 + b"I hate you"
    forged = Stream(file_key.payload_key(payload[:16])).seal_run(memoryview(other), final=True)
    sealed = with_payload(SEALED, payload[:16] + b"".join(forged))

    assert b"".join(open_age([BOB], [sealed])) == other
    with pytest.raises(ForgedError, match="another reader"):
        opening(sealed)
    assert signed.claim.sender == ALICE.peer_id


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": MALLORY.peer_id},
        {"context": Context("test")},
        {"metadata": b"other.txt"},
        {"size_bytes": 1},
        {"digest": bytes(32)},
        {"readers": (ListedReader(CAROL.recipient.reader_id, Role.PEER),) * 2},
        {"form": Form.STREAM},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_reader_cannot_change_the_claim(changes):
    """
    Each field of it is signed.
    """
    with pytest.raises(ForgedError):
        opening(with_claim(SEALED, **changes))


def test_a_reader_cannot_move_a_claim_to_another_envelope():
    """
    The signature covers the data key as well: the same recipients in another envelope of the same sender.
    """
    other = seal_bytes(READERS, LETTER, **SEALING)
    _, _, _, signed = opened_header(SEALED)
    header, payload, file_key, _ = opened_header(other)
    head = encode_head([*header.stanzas[:-1], claim_stanza(signed, file_key)])

    with pytest.raises(ForgedError):
        opening(encode_header(head, file_key) + payload)


def test_a_reader_can_seal_anew_under_its_own_name_only():
    """
    Mallory, who reads it, signs what she likes: it is then hers.
    """
    sealed = with_claim(SEALED, signer=MALLORY, sender=MALLORY.peer_id)

    assert opening(sealed, senders=None).claim.sender == MALLORY.peer_id
    with pytest.raises(WrongSenderError) as caught:
        opening(sealed)
    assert caught.value.sender == MALLORY.peer_id


def test_a_sender_must_list_whom_it_seals_to():
    """
    A sender that lies about the reader who opens it, or about how many there are, is not believed.
    """
    listed = opening(SEALED).claim.readers
    for readers in ((listed[1], listed[0]), (*listed, listed[0]), listed[:1]):
        with pytest.raises(ClaimError):
            opening(with_claim(SEALED, signer=ALICE, readers=readers))


# --- what anybody could try ---


def test_the_purpose_must_be_the_expected_one():
    """
    A topic, direction or epoch that differs is another place, and the envelope is not accepted there.
    """
    for other in (
        Context("tests", "letters", "alice to bob", 3),
        Context("test", "letter", "alice to bob", 3),
        Context("test", "letters", "bob to alice", 3),
        Context("test", "letters", "alice to bob", 4),
        Context("test"),
    ):
        with pytest.raises(WrongContextError, match="letters"):
            opening(SEALED, context=other)


def test_senders_are_chosen_by_list_or_function():
    """
    Both say yes or no; without either everybody is accepted, and named.
    """
    assert opening(SEALED, senders=lambda sender: sender == ALICE.peer_id)
    assert opening(SEALED, senders=None).claim.sender == ALICE.peer_id
    for senders in ([], [MALLORY.peer_id], lambda _sender: False):
        with pytest.raises(WrongSenderError):
            opening(SEALED, senders=senders)


def test_a_plain_age_file_is_not_taken_for_a_signed_one():
    """
    Anybody can make one; so can a reader who takes the claim out.
    """
    with pytest.raises(NotSignedError):
        opening(without_claim(SEALED))


HEADER_BYTES = len(parse_header(SEALED)[0].raw)


@pytest.mark.parametrize(
    "end", [*range(0, HEADER_BYTES + 40, 7), *range(HEADER_BYTES + 40, len(SEALED), 9973)]
)
def test_an_envelope_that_is_cut_off_is_refused(end):
    """
    Wherever it ends; behind the header the error says that it is cut off.
    """
    with pytest.raises(EnvelopeError) as caught:
        opening(SEALED[:end])

    assert end < HEADER_BYTES or isinstance(caught.value, TruncatedPayloadError)


def test_something_appended_is_refused():
    """
    Behind the end nothing follows.
    """
    with pytest.raises(DamagedPayloadError, match="appended"):
        opening(SEALED + b"x")


@pytest.mark.parametrize(
    "position", [*range(0, HEADER_BYTES, 3), HEADER_BYTES, HEADER_BYTES + 16, len(SEALED) - 1]
)
@pytest.mark.parametrize("bit", [1, 4])
def test_a_changed_bit_is_refused(position, bit):
    """
    In the header, the nonce, the content or its last tag.
    """
    changed = bytearray(SEALED)
    changed[position] ^= bit

    with pytest.raises(EnvelopeError):
        opening(bytes(changed))


def test_another_stanza_cannot_be_slipped_in():
    """
    Without the data key the header's authenticator stops it, with it the signature.
    """
    header, payload, file_key, _ = opened_header(SEALED)
    *recipients, claim = header.stanzas
    extra = Stanza("grease", (), b"")
    for stanzas in (
        [extra, *recipients, claim],
        [*recipients, extra, claim],
        [*recipients, claim, extra],
        [*recipients, claim, claim],
    ):
        head = encode_head(stanzas)
        with pytest.raises(HeaderMacError):
            opening(head + SEALED[HEADER_BYTES - 48 : HEADER_BYTES] + payload)
        with pytest.raises(ClaimError):
            opening(encode_header(head, file_key) + payload)


def test_a_stream_is_not_an_object_and_an_object_no_stream():
    """
    The forms are not taken for each other, even where somebody takes the stream's first line off.
    """
    stream = b"".join(seal_stream(READERS, [LETTER], **SEALING))

    with pytest.raises(EnvelopeError, match="does not begin"):
        opening(stream)
    with pytest.raises(ClaimError, match="sealed as stream"):
        opening(stream.removeprefix(MAGIC))


def test_a_claim_has_one_spelling():
    """
    Not even its sender writes one in a second way, or with fields that nobody knows; no reader adds to it.
    """
    header, payload, file_key, signed = opened_header(SEALED)
    head = encode_head(header.stanzas[:-1])
    fields = cbor.decode(signed.encoded)
    for changed in ({**fields, 9: 1}, {**fields, 0: False}, {key: fields[key] for key in fields if key != 5}):
        encoded = cbor.encode(changed)
        data = blake3_256(head) + file_key.commitment() + encoded
        other = SignedClaim(signed.claim, encoded, ALICE.sign("envelope", data))
        sealed = encode_header(head + claim_stanza(other, file_key).encode(), file_key) + payload
        with pytest.raises(ClaimError, match="cannot be read"):
            opening(sealed)
    stanza = Stanza(header.stanzas[-1].kind, ("more",), header.stanzas[-1].body)
    with pytest.raises(ClaimError, match="not where it must be"):
        opening(encode_header(head + stanza.encode(), file_key) + payload)


# --- bounds ---


def test_metadata_and_context_are_bounded():
    """
    At the limit they travel; beyond it the caller is told.
    """
    full = b"m" * ENVELOPE_METADATA_BYTES_MAX
    topic = "t" * ENVELOPE_CONTEXT_BYTES_MAX
    context = Context("test", topic, topic, 2**63 - 1)
    sealed = seal_bytes(READERS, b"", metadata=full, **{**SEALING, "context": context})

    assert opening(sealed, context=context).claim.metadata == full
    with pytest.raises(ClaimTooLargeError):
        seal_bytes(READERS, b"", metadata=full + b"m", **SEALING)
    for wrong in (
        {"topic": topic + "t"},
        {"direction": "\u00e9" * (ENVELOPE_CONTEXT_BYTES_MAX // 2 + 1)},
        {"epoch": -1},
        {"epoch": 2**63},
        {"topic": "\ud800"},
    ):
        with pytest.raises(ClaimTooLargeError):
            Context("test", **wrong)


@pytest.mark.parametrize("purpose", ["", "Test", "1test", "te st", "t" * 33, "test\n", "t\u00e9st"])
def test_a_purpose_is_a_short_plain_word(purpose):
    """
    It is a constant of the program, never input.
    """
    with pytest.raises(ClaimTooLargeError):
        Context(purpose)


def test_the_fullest_envelope_that_we_make_can_be_read():
    """
    All recipients, post-quantum ones, the longest texts: within every limit of the reader.
    """
    topic = "t" * ENVELOPE_CONTEXT_BYTES_MAX
    context = Context("t" * 32, topic, topic, 2**63 - 1)
    sealed = seal_bytes(
        [Reader(HYBRID.recipient)] * ENVELOPE_RECIPIENTS_MAX,
        b"",
        metadata=b"m" * ENVELOPE_METADATA_BYTES_MAX,
        signer=ALICE,
        context=context,
        entropy=ENTROPY,
    )
    opened = open_bytes([HYBRID], sealed, context=context)

    assert len(opened.claim.encode()) <= ENVELOPE_CLAIM_BYTES_MAX // 2
    assert len(parse_header(sealed)[0].raw) <= ENVELOPE_HEADER_BYTES_MAX // 2
    assert "mmm" not in repr(opened.claim)


def test_a_context_says_what_it_is_for():
    """
    In words for the error that compares two of them.
    """
    assert str(CONTEXT) == "test, topic 'letters', direction 'alice to bob', epoch 3"
    assert str(Context("vault")) == "vault"
    assert json.loads(json.dumps(str(CONTEXT)))
