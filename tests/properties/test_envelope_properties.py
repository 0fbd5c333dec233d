"""Envelopes: whatever is done to one, it opens as what was sealed, or not at all."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helpers.envelopes import ALICE, BOB, CAROL, ENTROPY, HYBRID, PARENT, CountedEntropy
from kontinuum.keys.envelope import (
    BadKeyTextError,
    Context,
    EnvelopeError,
    Reader,
    Role,
    StreamOpener,
    open_age,
    open_bytes,
    open_stream,
    seal_age,
    seal_bytes,
    seal_stream,
)
from kontinuum.keys.envelope.bech32 import decode_bech32, encode_bech32
from kontinuum.keys.envelope.file_key import FileKey
from kontinuum.keys.envelope.header import HeaderReader, encode_head, encode_header, parse_header
from kontinuum.keys.envelope.segments import MAGIC
from kontinuum.keys.envelope.stanza import Stanza
from kontinuum.keys.envelope.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES

# Sizes around the borders matter, the bytes do not.
sizes = st.one_of(
    st.integers(0, 300),
    st.builds(
        lambda chunks, more: max(0, chunks * CHUNK_BYTES + more), st.integers(0, 9), st.integers(-2, 2)
    ),
)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
contexts = st.builds(
    Context, st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True), texts, texts, st.integers(0, 2**63 - 1)
)
classical = st.lists(st.sampled_from([BOB, PARENT, CAROL]), min_size=1, max_size=5)
key_sets = st.one_of(classical, st.just([HYBRID]))
roles = st.sampled_from(list(Role))
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
stanzas = st.builds(
    lambda kind, arguments, body: Stanza(kind, tuple(arguments), body),
    words,
    st.lists(words, max_size=3),
    st.binary(max_size=200),
)


def content(size):
    """Bytes that differ from chunk to chunk."""
    return b"".join(number.to_bytes(4) for number in range(size // 4 + 1))[:size]


def split(data, cuts):
    """``data`` in pieces, cut at these parts of a thousand."""
    places = sorted({0, len(data), *(cut * len(data) // 1000 for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


cuts = st.lists(st.integers(0, 1000), max_size=6)


@given(size=sizes, keys=key_sets, role=roles, context=contexts, metadata=st.binary(max_size=300))
def test_every_reader_opens_an_object(size, keys, role, context, metadata):
    """
    Any content, any readers, any purpose: it comes back, with all that was said of it.
    """
    readers = [Reader(key.recipient, role) for key in keys]
    sealed = seal_bytes(
        readers, content(size), signer=ALICE, context=context, metadata=metadata, entropy=ENTROPY
    )

    for key in keys:
        opened = open_bytes([key], sealed, context=context, senders=[ALICE.peer_id])
        assert opened.plaintext == content(size)
        assert (opened.claim.context, opened.claim.metadata) == (context, metadata)
        assert [reader.reader_id for reader in opened.claim.readers] == [
            key.recipient.reader_id for key in keys
        ]


@settings(max_examples=50)
@given(size=sizes, given_cuts=cuts, sent_cuts=cuts)
def test_streams_do_not_care_how_they_are_cut(size, given_cuts, sent_cuts):
    """
    The same content in any pieces is the same stream, and any pieces of that are the same content.
    """
    context = Context("test")

    def sealed(pieces):
        return b"".join(
            seal_stream(
                [Reader(BOB.recipient)], pieces, signer=ALICE, context=context, entropy=CountedEntropy()
            )
        )

    stream = sealed(split(content(size), given_cuts))
    assert stream == sealed([content(size)])
    assert b"".join(open_stream([BOB], split(stream, sent_cuts), context=context)) == content(size)


@settings(max_examples=50)
@given(size=sizes, given_cuts=cuts, sent_cuts=cuts)
def test_plain_age_files_do_not_care_how_they_are_cut(size, given_cuts, sent_cuts):
    """
    Whole and split agree, in both directions.
    """

    def sealed(pieces):
        return b"".join(seal_age([BOB.recipient], pieces, entropy=CountedEntropy()))

    file = sealed(split(content(size), given_cuts))
    assert file == sealed([content(size)])
    assert b"".join(open_age([BOB], split(file, sent_cuts))) == content(size)


@given(head=st.lists(stanzas, min_size=1, max_size=6), rest=st.binary(max_size=100), where=cuts)
def test_any_header_comes_back(head, rest, where):
    """
    Any stanzas, in any pieces: what was written is read, and what follows is left.
    """
    raw = encode_header(encode_head(head), FileKey(b"k" * 16))
    header, behind = parse_header(raw + rest)
    assert (header.stanzas, header.raw, behind) == (tuple(head), raw, rest)

    reader, left = HeaderReader(), None
    pieces = split(raw + rest, where)
    while left is None:
        left = reader.feed(pieces.pop(0))
    assert reader.header == header
    assert left + b"".join(pieces) == rest


@given(prefix=st.from_regex(r"[a-z1-]{1,20}", fullmatch=True), data=st.binary(max_size=200), change=st.data())
def test_one_wrong_character_of_a_key_is_always_noticed(prefix, data, change):
    """
    Bech32 comes back, and finds every single mistake of whoever copies it by hand.
    """
    text = encode_bech32(prefix, data)
    assert decode_bech32(text) == (prefix, data)

    at = change.draw(st.integers(len(prefix) + 1, len(text) - 1))
    other = change.draw(st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l").filter(lambda c: c != text[at]))
    with pytest.raises(BadKeyTextError):
        decode_bech32(text[:at] + other + text[at + 1 :])


CONTEXT = Context("test")
CONTENT = content(5 * CHUNK_BYTES + 100)
OBJECT = seal_bytes(
    [Reader(BOB.recipient)], CONTENT, signer=ALICE, context=CONTEXT, entropy=CountedEntropy("object")
)
OTHER = seal_bytes(
    [Reader(BOB.recipient)], CONTENT, signer=ALICE, context=CONTEXT, entropy=CountedEntropy("other")
)
STREAM = b"".join(
    seal_stream(
        [Reader(BOB.recipient)], [CONTENT], signer=ALICE, context=CONTEXT, entropy=CountedEntropy("stream")
    )
)


def edits(data, other):
    """Something done to ``data``: cut, changed, moved, repeated, or mixed with ``other``."""
    place, length = st.integers(0, len(data)), st.sampled_from([1, 16, 64, 1000, SEALED_CHUNK_BYTES])

    def moved(begin, size, target):
        part, rest = data[begin : begin + size], data[:begin] + data[begin + size :]
        return rest[:target] + part + rest[target:]

    return st.one_of(
        st.builds(lambda end: data[:end], place),
        st.builds(lambda at, size: data[:at] + data[at + size :], place, length),
        st.builds(lambda at, size: data[:at] + data[at : at + size] + data[at:], place, length),
        st.builds(moved, place, length, place),
        st.builds(lambda at, size: data[:at] + other[at : at + size] + data[at + size :], place, length),
        st.builds(lambda at, some: data[:at] + some + data[at + len(some) :], place, st.binary(max_size=20)),
    )


@settings(max_examples=300)
@given(sealed=edits(OBJECT, OTHER))
def test_a_changed_object_is_the_same_or_nothing(sealed):
    """
    Whatever strangers do to it, what opens is what Alice sealed.
    """
    try:
        opened = open_bytes([BOB], sealed, context=CONTEXT)
    except EnvelopeError:
        assert sealed not in (OBJECT, OTHER)
        return
    assert opened.plaintext == CONTENT
    assert sealed in (OBJECT, OTHER)


@settings(max_examples=300)
@given(stream=edits(STREAM, OBJECT), where=cuts)
def test_a_changed_stream_is_a_beginning_of_the_same(stream, where):
    """
    What is released is always the beginning of what Alice sent, and all of it only if nothing was changed.
    """
    got = bytearray()
    try:
        for part in open_stream([BOB], split(stream, where), context=CONTEXT):
            got += part
    except EnvelopeError:
        assert stream != STREAM
        assert len(got) < len(CONTENT)
    else:
        assert stream == STREAM
    assert CONTENT.startswith(got)


class StreamOnTheWay(RuleBasedStateMachine):
    """A stream in an attacker's hands, piece by piece; beside it what was really handed over."""

    @initialize()
    def begin(self):
        """The beginning goes through."""
        header, payload = parse_header(STREAM.removeprefix(MAGIC))
        self.opener = StreamOpener([BOB], context=CONTEXT)
        self.given, self.released, self.dead = bytearray(), bytearray(), False
        size = 4 * SEALED_CHUNK_BYTES + 64
        self.segments = [payload[at : at + size] for at in range(16, len(payload), size)]
        self.next = 0
        self.give(MAGIC + header.raw + payload[:16])

    def give(self, data):
        """Hand over some bytes, unless the reader has given up."""
        if self.dead:
            return
        self.given += data
        try:
            for part in self.opener.feed(data):
                self.released += part
        except EnvelopeError:
            assert not STREAM.startswith(self.given)
            self.dead = True

    @rule()
    def let_through(self):
        """The next segment arrives."""
        if self.next < len(self.segments):
            self.give(self.segments[self.next])
            self.next += 1

    @rule()
    def repeat(self):
        """A segment arrives again."""
        if self.next:
            self.give(self.segments[self.next - 1])

    @rule()
    def leave_out(self):
        """A segment is held back."""
        if self.next < len(self.segments):
            self.next += 1

    @rule(data=st.binary(min_size=1, max_size=100))
    def insert(self, data):
        """Something else arrives."""
        self.give(data)

    @invariant()
    def what_was_released_is_the_senders(self):
        """It is a beginning of the content, whatever happened."""
        assert CONTENT.startswith(self.released)

    def teardown(self):
        """The end comes: it is accepted only if nothing was touched."""
        if not hasattr(self, "opener") or self.dead:
            return
        try:
            for part in self.opener.finish():
                self.released += part
        except EnvelopeError:
            assert self.given != STREAM
        else:
            assert self.given == STREAM
            assert self.released == CONTENT


TestStreamOnTheWay = StreamOnTheWay.TestCase
TestStreamOnTheWay.settings = settings(max_examples=60, stateful_step_count=8)
