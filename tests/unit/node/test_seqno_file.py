"""The file that keeps sequence numbers rising over a restart."""

import pytest

from kontinuum.node.seqno_file import AHEAD_MAX_NS, SEQNO_FILE_BYTES_MAX, SeqnoFile
from kontinuum.wire import cbor

NOW_NS = 1_800_000_000 * 10**9


@pytest.fixture
def file(tmp_path):
    """One that is not there yet."""
    return SeqnoFile(tmp_path / "seqno.cbor")


def test_what_was_saved_is_loaded(file):
    """
    Also when the clock says an earlier time now.
    """
    assert file.load(NOW_NS) == 0
    file.save(NOW_NS + 5)
    assert file.load(NOW_NS) == NOW_NS + 5
    assert file.load(NOW_NS + 3600 * 10**9) == NOW_NS + 5


def test_a_number_from_far_ahead_does_not_count(file):
    """
    The clock was wrong when it was saved; a day ahead still counts, a nanosecond more does not.
    """
    file.save(NOW_NS + AHEAD_MAX_NS)
    assert file.load(NOW_NS) == NOW_NS + AHEAD_MAX_NS
    file.save(NOW_NS + AHEAD_MAX_NS + 1)
    assert file.load(NOW_NS) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        cbor.encode({1: -1}),
        cbor.encode({2: 5}),
        cbor.encode([5]),
        bytes(SEQNO_FILE_BYTES_MAX + 1),
    ],
)
def test_a_damaged_file_is_as_none(file, content):
    """
    Whatever is in it.
    """
    file._path.write_bytes(content)
    file._path.chmod(0o600)
    assert file.load(NOW_NS) == 0


def test_a_disk_that_fails_does_not_stop_the_node(tmp_path, caplog):
    """
    It is said, and that is all.
    """
    SeqnoFile(tmp_path / "missing" / "seqno.cbor").save(NOW_NS)
    assert "could not be saved" in caplog.text
