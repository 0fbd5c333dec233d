"""What a caller can be told, made from bytes that may be anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.base.errors import KontinuumError, MisuseError, PeerError, UnavailableError
from kontinuum.rpc.errors import (
    CALL_ERROR_CODE_MAX,
    CALL_ERROR_CODE_MIN,
    ERROR_TEXT_BYTES_MAX,
    BusyError,
    CallError,
    CallTimeoutError,
    RemoteError,
    Status,
    UnknownProtocolError,
    error_of,
)


@pytest.mark.parametrize(
    ("status", "kind", "family"),
    [
        (Status.UNKNOWN_PROTOCOL, UnknownProtocolError, PeerError),
        (Status.FAILED, RemoteError, PeerError),
        (Status.BUSY, BusyError, UnavailableError),
        (Status.TIMED_OUT, CallTimeoutError, UnavailableError),
        (5, RemoteError, PeerError),
        (100, RemoteError, PeerError),
        (999, RemoteError, PeerError),
        (2**62 - 1, RemoteError, PeerError),
    ],
)
def test_each_status_is_an_error_of_its_family(status, kind, family):
    """
    A status of a newer version is an error of the peer, never fatal.
    """
    error = error_of(status, b"words", "name")
    assert type(error) is kind
    assert isinstance(error, family)


@given(status=st.integers(1, 2**62 - 1), body=st.binary(max_size=2000))
def test_any_reply_makes_an_error_of_bounded_length(status, body):
    """
    However long and broken the text is, what is kept of it is short and can be shown.
    """
    error = error_of(status, body, "name")
    assert isinstance(error, KontinuumError)
    str(error).encode()
    assert len(str(error)) < ERROR_TEXT_BYTES_MAX + 100


@pytest.mark.parametrize(
    "code", [CALL_ERROR_CODE_MIN - 1, CALL_ERROR_CODE_MAX + 1, 0, -1, True, 100.0, "100"]
)
def test_codes_of_the_protocol_cannot_be_chosen(code):
    """
    Only whole numbers from 100 to 999.
    """
    with pytest.raises(MisuseError):
        CallError(code)
    assert CallError(CALL_ERROR_CODE_MIN).code == CALL_ERROR_CODE_MIN
    assert CallError(CALL_ERROR_CODE_MAX, "x").text == "x"


@given(st.text(st.characters(exclude_categories=()), max_size=600))
def test_what_travels_of_a_text_is_valid_and_short(text):
    """
    Any text becomes UTF-8 of at most 256 bytes that begins like it.
    """
    encoded = CallError(100, text).encoded_text
    assert len(encoded) <= ERROR_TEXT_BYTES_MAX
    expected = text.encode(errors="replace").decode()
    assert expected.startswith(encoded.decode())
    assert encoded.decode() == expected or len(encoded) > ERROR_TEXT_BYTES_MAX - 4
