"""What is known of an object beside its content."""

from datetime import UTC, datetime

import pytest

from kontinuum.vault import Metadata, ObjectId
from kontinuum.vault.metadata import CREATED_AT_MAX
from kontinuum.wire import MalformedError, cbor

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("metadata", [Metadata("", AT), Metadata("n\u00e4me", AT, ObjectId(b"x" * 32))])
def test_it_comes_back(metadata):
    """
    Name, time, and what it replaces.
    """
    assert Metadata.decode(metadata.encode()) == metadata


def test_fields_of_a_newer_version_are_passed_over():
    """
    They are the writer's business.
    """
    assert Metadata.decode(cbor.encode({0: "n", 1: 0, 9: b"new"})).name == "n"


@pytest.mark.parametrize(
    "value",
    [
        1,
        {},
        {0: "n"},
        {0: b"n", 1: 0},
        {0: "n", 1: -1},
        {0: "n", 1: CREATED_AT_MAX + 1},
        {0: "n" * 256, 1: 0},
        {0: "n", 1: 0, 2: b"short"},
    ],
)
def test_anything_else_is_refused(value):
    """
    Missing fields, wrong types, times that no calendar has.
    """
    with pytest.raises(MalformedError):
        Metadata.decode(cbor.encode(value))
