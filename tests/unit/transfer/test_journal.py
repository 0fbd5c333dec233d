"""The journal beside a partial file: its bytes, and what it says after a reboot."""

import pytest

from helpers.transfers import ALICE
from kontinuum.transfer.incoming.journal import JOURNAL_FILE_BYTES_MAX, Journal, journal_name, part_name
from kontinuum.transfer.messages import FILE_BYTES_MAX
from kontinuum.transfer.names import NAME_BYTES_MAX
from kontinuum.wire.errors import MalformedError

BOOT = "0b8a6a1e-3c0f-4a6e-9d0e-2f4d5c6b7a80"


def test_golden_bytes():
    """
    A program of tomorrow continues the partial files of today.
    """
    journal = Journal(ALICE, 300, 7, "b")

    assert journal.encode().hex() == "a50001015820" + "41" * 32 + "0219012c" + "0307" + "046162"
    assert Journal.decode(journal.encode()) == journal


@pytest.mark.parametrize("size", [0, 1, FILE_BYTES_MAX])
def test_the_largest_journal_is_far_below_its_limit(size):
    """
    Whatever we write, we read again.
    """
    journal = Journal(ALICE, size, size, BOOT)

    assert Journal.decode(journal.encode()) == journal
    assert len(journal.encode()) < JOURNAL_FILE_BYTES_MAX // 4


def test_a_journal_at_the_limit_is_read_and_one_beyond_it_is_not():
    """
    The limit counts the bytes of the file.
    """
    missing = JOURNAL_FILE_BYTES_MAX - len(Journal(ALICE, 1, 1, "x" * 256).encode())

    Journal.decode(Journal(ALICE, 1, 1, "x" * (256 + missing)).encode())
    with pytest.raises(MalformedError):
        Journal.decode(Journal(ALICE, 1, 1, "x" * (257 + missing)).encode())


@pytest.mark.parametrize(
    ("written", "read", "safe"), [(BOOT, BOOT, 300), (BOOT, "another", 7), ("", "", 7), (BOOT, "", 7)]
)
def test_after_a_reboot_only_what_was_synced_counts(written, read, safe):
    """
    Within one run of the machine all that was written is there. Without a name for it nothing is assumed.
    """
    assert Journal(ALICE, 300, 7, written).bytes_safe(read) == safe


def test_the_names_fit_a_file_system():
    """
    The longest name that we take leaves room for what stands around it.
    """
    assert part_name(ALICE, "a.txt") == ".a.txt.41414141.part"
    assert len(journal_name(ALICE, "x" * NAME_BYTES_MAX) + ".new") <= 255
