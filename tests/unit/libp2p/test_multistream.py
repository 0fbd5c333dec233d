"""multistream-select: both sides agree, whatever the pieces in which they hear of each other."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.libp2p.errors import NegotiationError, UnsupportedProtocolError
from kontinuum.libp2p.multistream import HEADER_LINE, OFFERS_MAX, REFUSAL_LINE, Dialler, Listener, line
from kontinuum.wire.limits import MULTISTREAM_LINE_BYTES_MAX

PING, PUSH, MESH = "/ipfs/ping/1.0.0", "/ipfs/id/push/1.0.0", "/meshsub/1.2.0"


def test_the_bytes_of_the_specification():
    """
    A line is its length with the line feed, its text, the line feed.
    """
    assert bytes.fromhex("13") + b"/multistream/1.0.0\n" == HEADER_LINE
    assert bytes.fromhex("036e610a") == REFUSAL_LINE
    assert line(PING) == b"\x11/ipfs/ping/1.0.0\n"


class TestListener:
    def test_header_and_answer_share_one_write(self):
        """
        A dialler that sends all at once gets all at once, and its payload is kept.
        """
        listener = Listener({PING})

        assert listener.receive(HEADER_LINE + line(PING) + b"payload") == HEADER_LINE + line(PING)
        assert listener.protocol == PING
        assert listener.rest() == b"payload"

    def test_a_dialler_that_waits_for_the_header_gets_it(self):
        """
        The header is answered before there is a proposal, and only once.
        """
        listener = Listener({PING})

        assert listener.receive(HEADER_LINE) == HEADER_LINE
        assert listener.receive(line(PING)) == line(PING)

    def test_what_is_unknown_is_refused_and_the_next_proposal_counts(self):
        """
        Several proposals on one stream: na until one fits. ``ls`` is nothing that we speak.
        """
        listener = Listener({PING})

        assert listener.receive(HEADER_LINE + line("/nope") + line("ls")) == HEADER_LINE + REFUSAL_LINE * 2
        assert listener.protocol is None
        assert listener.receive(line(PING)) == line(PING)

    def test_so_many_proposals_and_no_more(self):
        """
        The last allowed one may succeed; one beyond it ends the stream.
        """
        for extra in (0, 1):
            listener = Listener({PING})
            listener.receive(HEADER_LINE + line("/nope") * (OFFERS_MAX - 1 + extra))
            if extra:
                with pytest.raises(NegotiationError, match="proposals"):
                    listener.receive(line(PING))
            else:
                listener.receive(line(PING))
                assert listener.protocol == PING

    def test_protocols_are_looked_up_when_they_are_proposed(self):
        """
        What we speak may change while a stream is young.
        """
        protocols = set()
        listener = Listener(protocols)
        listener.receive(HEADER_LINE)
        protocols.add(MESH)

        assert listener.receive(line(MESH)) == line(MESH)


@pytest.mark.parametrize("side", [Listener, Dialler])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x04garbage!", id="garbage"),
        pytest.param(line("/multistream/2.0.0"), id="another version"),
        pytest.param(line(PING), id="no header"),
        pytest.param(b"\x12/multistream/1.0.0", id="no line feed"),
        pytest.param(b"\x00", id="an empty line"),
        pytest.param(HEADER_LINE + b"\x03\xff\xff\n", id="no text"),
        pytest.param(HEADER_LINE + b"\x81\x08", id="a line that is too long"),
        pytest.param(HEADER_LINE + b"\x80\x00", id="a length in two bytes that fits into one"),
    ],
)
def test_what_is_no_multistream_is_refused(side, data):
    """
    Both sides end the stream; nothing was agreed.
    """
    machine = side([PING])
    with pytest.raises(NegotiationError):
        machine.receive(data)
    assert machine.protocol is None


def test_the_longest_line_is_read():
    """
    1,024 bytes with the line feed, and not one more.
    """
    longest = "/" + "x" * (MULTISTREAM_LINE_BYTES_MAX - 2)
    assert Listener([PING]).receive(HEADER_LINE + line(longest)) == HEADER_LINE + REFUSAL_LINE
    with pytest.raises(NegotiationError, match="the most"):
        Listener([PING]).receive(HEADER_LINE + line(longest + "x"))


class TestDialler:
    def test_a_single_offer_is_optimistic(self):
        """
        Header, proposal and payload leave in one write; nothing is left to send when the peer agrees.
        """
        dialler = Dialler([PING], b"payload")

        assert dialler.is_optimistic
        assert dialler.start() == HEADER_LINE + line(PING) + b"payload"
        assert dialler.receive(HEADER_LINE + line(PING) + b"reply") == b""
        assert dialler.protocol == PING
        assert dialler.rest() == b"reply"

    def test_several_offers_keep_the_payload_until_one_is_taken(self):
        """
        A peer that refuses would read the payload as its next line.
        """
        dialler = Dialler([MESH, PING], b"payload")

        assert not dialler.is_optimistic
        assert dialler.start() == HEADER_LINE + line(MESH)
        assert dialler.receive(HEADER_LINE + REFUSAL_LINE) == line(PING)
        assert dialler.receive(line(PING) + b"reply") == b"payload"
        assert (dialler.protocol, dialler.rest()) == (PING, b"reply")

    @pytest.mark.parametrize("offers", [[PING], [MESH, PING]])
    def test_when_all_is_refused(self, offers):
        """
        The error says what was offered.
        """
        dialler = Dialler(offers)
        with pytest.raises(UnsupportedProtocolError, match=r"/ipfs/ping/1\.0\.0") as caught:
            dialler.receive(HEADER_LINE + REFUSAL_LINE * len(offers))
        assert caught.value.protocols == tuple(offers)

    @pytest.mark.parametrize("answer", [PUSH, "ls", "NA", ""])
    def test_another_answer_is_an_error(self, answer):
        """
        Neither what we offered nor a refusal; not even something else that we speak.
        """
        with pytest.raises(NegotiationError, match="not proposed"):
            Dialler([PING]).receive(HEADER_LINE + line(answer))

    def test_an_answer_before_its_offer_is_an_error(self):
        """
        A peer cannot agree to what was not offered yet.
        """
        with pytest.raises(NegotiationError):
            Dialler([MESH, PING]).receive(HEADER_LINE + line(PING))


@given(
    offers=st.lists(st.sampled_from([PING, PUSH, MESH, "/x", "/y"]), min_size=1, max_size=5, unique=True),
    spoken=st.sets(st.sampled_from([PING, PUSH, MESH])),
    payload=st.binary(max_size=40),
    size=st.integers(1, 60),
)
def test_the_two_sides_agree_in_any_pieces(offers, spoken, payload, size):
    """
    The first offer that the listener speaks is chosen; the payload arrives whole, exactly once.
    """
    dialler, listener = Dialler(offers, payload), Listener(spoken)
    expected = next((offer for offer in offers if offer in spoken), None)
    to_listener, to_dialler, received = dialler.start(), b"", b""
    refused = False
    while to_listener or to_dialler:
        piece, to_listener = to_listener[:size], to_listener[size:]
        if listener.protocol is None:
            try:
                to_dialler += listener.receive(piece)
            except NegotiationError:
                # An optimistic payload that was refused is no line; the dialler learns of the refusal first.
                assert expected is None
                assert dialler.is_optimistic
                break
            if listener.protocol is not None:
                received += listener.rest()
        else:
            received += piece
        piece, to_dialler = to_dialler[:size], to_dialler[size:]
        if dialler.protocol is None and not refused:
            try:
                to_listener += dialler.receive(piece)
            except UnsupportedProtocolError:
                refused = True

    if expected is not None:
        assert dialler.protocol == listener.protocol == expected
        assert received == payload
    else:
        assert dialler.protocol is None


@given(data=st.binary(max_size=80), cuts=st.lists(st.integers(0, 120), max_size=6), greet=st.booleans())
def test_whole_and_split_input_agree(data, cuts, greet):
    """
    The listener's protocol, its answers and the rest are the same in any pieces, and so is whether it fails.
    """
    whole = (HEADER_LINE if greet else b"") + data + line(PING) + b"rest"
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(places)]

    def run(parts):
        listener, sent, rest = Listener([PING]), b"", b""
        try:
            for part in parts:
                if listener.protocol is None:
                    sent += listener.receive(part)
                    if listener.protocol is not None:
                        rest = listener.rest()
                else:
                    rest += part
        except NegotiationError:
            return "error"
        return listener.protocol, sent, rest

    assert run([whole]) == run(pieces)
