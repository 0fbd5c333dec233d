"""Names that a peer offers."""

import pytest

from kontinuum.transfer.errors import BadFileNameError
from kontinuum.transfer.names import NAME_BYTES_MAX, collision_key, verify_file_name


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "report.pdf",
        "Größe.txt",
        "日本語.md",
        "two words.tar.gz",
        "console",
        "com10",
        "-rf",
        "a..b",
        "nulls",
    ],
)
def test_plain_names_pass_unchanged(name):
    """
    A name that is one plain file on every common file system is returned as it is.
    """
    assert verify_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:x",
        "x:stream",
        "a\0b",
        "a\nb",
        "\x1b[2Jx",
        "a\x7f",
        ".bashrc",
        ".ssh",
        "x.",
        "x ",
        " x",
        "x\u3000",
        "con",
        "NUL",
        "nul.txt",
        "Com1.log",
        "LPT9",
        "COM¹",
        "con .txt",
        "a*b",
        "a?b",
        'a"b',
        "a<b",
        "a|b",
        "gpj.\u202eexe",
        "a\u200bb",
        "\ufeffa",
        "\ud800",
        "\ue000",
        "a\u2028b",
        "e\u0301.txt",
        "\U000e0041x",
    ],
)
def test_names_that_escape_hide_or_deceive_are_refused(name):
    """
    Paths, hidden files, devices, control and invisible characters and second spellings never become files.
    """
    with pytest.raises(BadFileNameError):
        verify_file_name(name)


def test_the_longest_name_passes_and_one_byte_more_is_refused():
    """
    The limit counts bytes of UTF-8, and leaves room for the names of the partial file and its journal.
    """
    assert verify_file_name("é" * (NAME_BYTES_MAX // 2))
    with pytest.raises(BadFileNameError, match="longer"):
        verify_file_name("é" * (NAME_BYTES_MAX // 2) + "x")
    assert NAME_BYTES_MAX + len("..12345678.part.journal.new") < 255


def test_names_that_one_file_system_would_join_collide():
    """
    Two names differing only in case are one file on some systems.
    """
    assert collision_key("README") == collision_key("readme")
    assert collision_key("straße") == collision_key("STRASSE")
