"""Frames of a stream: the pieces make no difference, and nothing is held beyond one frame."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.libp2p.frames import FrameReader, frame
from kontinuum.wire import MalformedError

FRAMES = st.lists(st.binary(max_size=300), max_size=20)


def popped(reader):
    """All frames that are whole."""
    found = []
    while (content := reader.pop()) is not None:
        found.append(content)
    return found


def pieces_of(data, cuts):
    """``data`` cut at some places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@given(contents=FRAMES, cuts=st.lists(st.integers(0, 6000), max_size=40))
def test_any_pieces_give_the_same_frames(contents, cuts):
    """
    However the bytes come, the frames are those that were sent, in order, and nothing is left.
    """
    reader, found = FrameReader(300), []
    for piece in pieces_of(b"".join(map(frame, contents)), cuts):
        reader.push(piece)
        found += popped(reader)

    assert found == contents
    assert reader.is_empty
    assert reader.rest() == b""


@given(contents=FRAMES, junk=st.binary(max_size=20), cuts=st.lists(st.integers(0, 6000), max_size=40))
def test_a_malformed_length_ends_both_at_the_same_place(contents, junk, cuts):
    """
    What comes before an impossible length is read all the same, in whatever pieces it comes.
    """
    data = b"".join(map(frame, contents)) + b"\xff\xff\x7f" + junk
    reader, found = FrameReader(300), []

    def read():
        for piece in pieces_of(data, cuts):
            reader.push(piece)
            while (content := reader.pop()) is not None:
                found.append(content)

    with pytest.raises(MalformedError):
        read()
    assert found == contents
    with pytest.raises(MalformedError):
        reader.pop()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 100_000])
def test_the_longest_frame_is_taken_and_one_more_byte_is_not(size):
    """
    The bound is exact, at each length of the varint, and is judged by the length alone.
    """
    reader = FrameReader(size)
    reader.push(frame(bytes(size)))
    assert reader.pop() == bytes(size)

    reader.push(frame(bytes(size + 1))[:4])
    with pytest.raises(MalformedError, match="the most"):
        reader.pop()


@pytest.mark.parametrize("length", ["8000", "ff00", "808000"])
def test_a_length_has_one_spelling(length):
    """
    A longer form of the same number is refused.
    """
    reader = FrameReader(300)
    reader.push(bytes.fromhex(length))
    with pytest.raises(MalformedError, match="shortest"):
        reader.pop()


def test_a_length_that_never_ends_is_refused():
    """
    Nine bytes without an end are no length; eight may still become one.
    """
    reader = FrameReader(300)
    reader.push(b"\x80" * 8)
    assert reader.pop() is None
    reader.push(b"\x80")
    with pytest.raises(MalformedError, match="more than 9 bytes"):
        reader.pop()


def test_the_rest_is_what_was_not_taken():
    """
    The bytes behind a frame can be handed on, whatever they are.
    """
    reader = FrameReader(10)
    reader.push(frame(b"one") + b"\xff")
    reader.push(b"\xff\xff")

    assert reader.pop() == b"one"
    assert reader.rest() == b"\xff\xff\xff"
    assert reader.is_empty
    assert reader.pop() is None


def test_a_long_frame_in_many_pieces_is_put_together_once(monkeypatch):
    """
    A megabyte in pieces of a kilobyte costs the time of its bytes, not of their square.
    """
    reader, looks = FrameReader(2**20), []
    original = FrameReader._read_length
    monkeypatch.setattr(FrameReader, "_read_length", lambda self: looks.append(1) or original(self))
    data = frame(bytes(2**20))
    for start in range(0, len(data), 1024):
        reader.push(data[start : start + 1024])
        content = reader.pop()

    assert content == bytes(2**20)
    assert len(looks) <= 3
