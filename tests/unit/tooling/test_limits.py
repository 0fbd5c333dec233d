"""``docs/limits.md`` is generated from the constants of the code and is up to date."""

import limits
from limits import Limit


def test_a_number_and_the_text_under_it_become_a_row():
    """
    Python constants are read with their docstring; arithmetic over earlier ones is worked out.
    """
    source = '"""Module."""\n\nK = 20\n"""Peers in\na bucket."""\n\nPEERS_MAX = 10 * K\n"""Our choice."""\n'

    assert limits.python_limits(source) == [
        Limit("K", 20, "Peers in a bucket."),
        Limit("PEERS_MAX", 200, "Our choice."),
    ]


def test_what_is_no_limit_is_left_out():
    """
    Text, tables, private and lower-case names are no limits; a number without a text is one without a text.
    """
    source = 'NAME = "x"\nTABLE = {1: 2}\n_HIDDEN = 3\nlower = 4\nFLAG = True\nBARE = 5\n'

    assert limits.python_limits(source) == [Limit("BARE", 5, "")]


def test_rust_constants_carry_the_comment_above():
    """
    Shifts, divisions, names, casts and durations are worked out; links lose their brackets.
    """
    source = (
        "/// Longest message, in bytes.\n/// See [`Kind`](super::Kind).\npub const MAX: usize = 1 << 20;\n\n"
        "/// A quarter.\nconst STEP: u64 = MAX as u64 / 4;\n\n"
        "/// How long to wait.\nconst WAIT: Duration = Duration::from_millis(250);\n"
        'const NAME: &str = "x";\n'
    )

    assert limits.rust_limits(source) == [
        Limit("MAX", 1 << 20, "Longest message, in bytes. See `Kind`."),
        Limit("STEP", 1 << 18, "A quarter."),
        Limit("WAIT", 0.25, "How long to wait. (seconds)"),
    ]


def test_every_limit_says_what_it_bounds():
    """
    A bound without a text is a bound whose unit, source and consequence nobody can look up.
    """
    silent = [f"{name}.{limit.name}" for name, found in limits.modules() for limit in found if not limit.text]

    assert silent == []


def test_the_page_is_up_to_date():
    """
    The page says what the code says; `make docs` brings it up to date.
    """
    assert limits.PAGE.read_text(encoding="utf-8") == limits.page(), "run make docs"
