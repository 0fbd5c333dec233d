"""The code of a meeting: how long it is, how it is read, which mistakes are told apart."""

import base64
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.keys import NOON, later
from helpers.meetings import HERE, alice
from kontinuum.base import MisuseError, PeerError
from kontinuum.clusters.meeting.code import (
    CLOCKS_APART_S,
    CODE_TEXT_BYTES_MAX,
    MEET_ADDRESSES_MAX,
    TYPED_CHARS_MAX,
    MeetCode,
)
from kontinuum.clusters.meeting.errors import CodeExpiredError, MeetCodeError, MistypedCodeError
from kontinuum.identity import Multiaddr

IPV6 = tuple(Multiaddr("ip6", f"2001:db8:ffff:ffff:ffff:ffff:ffff:{n}", 65535) for n in range(1, 9))
QR_ALPHANUMERIC = re.compile(r"[0-9A-Z $%*+\-./:]+", re.ASCII)


def test_the_fullest_code_has_below_300_bytes_and_is_alphanumeric_for_a_qr_code():
    """
    Four IPv6 addresses with the largest ports: 295 bytes; further addresses are left out.
    """
    code = alice().invite(IPV6)
    text = code.text()

    assert code.addresses == IPV6[:MEET_ADDRESSES_MAX]
    assert len(text.encode()) == 295 <= CODE_TEXT_BYTES_MAX
    assert QR_ALPHANUMERIC.fullmatch(text)
    assert MeetCode.parse(text) == code


def test_names_of_hosts_have_no_place_in_a_code():
    """
    They would not fit; the guest finds the node by its key then.
    """
    code = alice().invite((Multiaddr("dns4", "example.org", 1), *HERE))

    assert code.addresses == HERE
    assert MeetCode.parse(alice().invite(()).text()).addresses == ()


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        lambda text: "  " + text + "\r\n",
        lambda text: "\n".join(text[at : at + 20] for at in range(0, len(text), 20)),
        lambda text: " ".join(text[at : at + 4] for at in range(0, len(text), 4)),
        lambda text: text[:7] + "-".join(text[at : at + 5] for at in range(7, len(text), 5)),
        lambda text: text[:7] + text[7:].replace("O", "0").replace("I", "1").replace("B", "8"),
    ],
    ids=["lower case", "around it", "line breaks", "groups", "hyphens", "digits for letters"],
)
def test_how_it_is_typed_does_not_matter(typed):
    """
    Letters of either case, white space and hyphens anywhere, and digits that look like letters.
    """
    code = alice().invite()

    assert MeetCode.parse(typed(code.text())) == code


def test_every_single_slip_is_noticed():
    """
    A wrong character, a missing one, one too many, two that changed places: none gives another code.
    """
    code = alice().invite()
    text = code.text()
    slips = []
    for at in range(7, len(text)):
        wrong = "A" if text[at] != "A" else "B"
        slips += [text[:at] + wrong + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + "A" + text[at:]]
        if at + 1 < len(text) and text[at] != text[at + 1]:
            slips.append(text[:at] + text[at + 1] + text[at] + text[at + 2 :])

    for slip in slips:
        with pytest.raises(MeetCodeError):
            MeetCode.parse(slip)


def test_a_code_has_one_spelling():
    """
    Bits of the last character that mean nothing are zero.
    """
    text = alice().invite(HERE[:1]).text()

    def octets(text):
        return base64.b32decode(text[7:] + "=" * (-len(text[7:]) % 8))

    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    spelled = [text[:-1] + last for last in alphabet if octets(text[:-1] + last) == octets(text)]

    assert len(spelled) == 4
    for each in spelled:
        if each != text:
            with pytest.raises(MistypedCodeError, match="last character"):
                MeetCode.parse(each)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", MeetCodeError, "begins with KMEET1:"),
        ("kontinuum:abcdef", MeetCodeError, "begins with KMEET1:"),
        ("KMEET2:ABCDEF", MeetCodeError, "another version"),
        ("KMEET1:", MistypedCodeError, "digits 2 to 7"),
        ("KMEET1:ABC!", MistypedCodeError, "digits 2 to 7"),
        ("KMEET1:ABCDEFGH", MeetCodeError, "cut off"),
        ("KMEET1:" + "A" * 294, MeetCodeError, "at most 300"),
        (" " * (TYPED_CHARS_MAX + 1), MeetCodeError, "too many"),
    ],
)
def test_each_mistake_has_its_own_message(text, error, says):
    """
    Whoever holds something else, half of it, or a newer one, is told so.
    """
    with pytest.raises(error, match=says):
        MeetCode.parse(text)


def test_a_code_that_is_cut_off_between_two_addresses_is_no_code():
    """
    The checksum is at the end, so half a code is never taken for one with fewer addresses.
    """
    text = alice().invite(IPV6).text()

    for length in range(7, len(text)):
        with pytest.raises(MeetCodeError):
            MeetCode.parse(text[:length])


def test_it_is_dialled_until_it_is_surely_too_old():
    """
    Clocks may be two minutes apart: its maker decides, and nobody dials for nothing.
    """
    code = alice().invite()
    limit = code.expires_at + timedelta(seconds=CLOCKS_APART_S)

    assert code.expires_at == later(600)
    code.verify_fresh(NOON - timedelta(days=1))
    code.verify_fresh(limit)
    with pytest.raises(CodeExpiredError):
        code.verify_fresh(limit + timedelta(seconds=1))


def test_the_secret_is_not_shown():
    """
    A code in a log or a traceback gives nobody a meeting.
    """
    code = alice().invite()

    assert code.secret.hex() not in repr(code)
    assert repr(bytes(code.secret)) not in repr(code)


def test_our_own_mistakes_are_misuse():
    """
    A secret of another length, or a time beyond the field, is not written into a code.
    """
    code = alice().invite()
    fields = {
        "secret": code.secret,
        "commitment": code.commitment,
        "expires_at": code.expires_at,
        "addresses": (),
    }
    for wrong in ({"secret": b"short"}, {"commitment": b""}, {"expires_at": later(2**32)}):
        with pytest.raises(MisuseError):
            MeetCode.issue(code.cluster, code.key, **{**fields, **wrong})


@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda data: "KMEET1:" + data.hex()))
def test_any_text_is_a_code_or_a_peer_error(text):
    """
    Whatever a camera or a clipboard gives.
    """
    try:
        MeetCode.parse(text)
    except PeerError:
        return
