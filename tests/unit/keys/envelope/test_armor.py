"""The text form: one spelling, whatever surrounds it."""

import pytest

from kontinuum.keys.envelope import ArmorError, decode_armor, encode_armor, is_armored

TEXT = encode_armor(bytes(range(100)))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 47, 48, 49, 96, 1000])
def test_text_comes_back(size):
    """
    Any length, with line ends of other systems and white space around it.
    """
    data = bytes(size)
    text = encode_armor(data)

    assert is_armored(text)
    assert decode_armor(text) == data
    assert decode_armor(b" \n\t" + text.replace(b"\n", b"\r\n") + b"\n\n") == data


@pytest.mark.parametrize(
    "text",
    [
        b"",
        TEXT.replace(b"BEGIN", b"Begin"),
        TEXT.replace(b"AGE", b"PGP"),
        TEXT.split(b"-----END")[0],
        TEXT + b"more",
        b"more\n" + TEXT,
        TEXT.replace(b"AAEC", b"AAE!"),
        TEXT.replace(b"AAEC", b"AAE\nC"),
        TEXT.replace(b"AAEC", b" AAEC"),
        TEXT.replace(b"=", b""),
        TEXT.replace(b"Yw==", b"Yx=="),
    ],
)
def test_another_spelling_is_refused(text):
    """
    Else a text could be changed without its content being changed.
    """
    with pytest.raises(ArmorError):
        decode_armor(text)
