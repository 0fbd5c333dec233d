"""Any bytes are a journal whose only encoding they are, or a MalformedError; nothing else."""

from kontinuum.transfer.incoming.journal import JOURNAL_FILE_BYTES_MAX, Journal
from kontinuum.transfer.messages import FILE_BYTES_MAX
from kontinuum.wire import MalformedError, decode_cbor, encode_cbor

BOOT = "0b8a6a1e-3c0f-4a6e-9d0e-2f4d5c6b7a80"
SEEDS = [
    Journal(b"A" * 32, 300, 7, BOOT).encode(),
    Journal(b"A" * 32, 0, 0, "").encode(),
    Journal(b"A" * 32, FILE_BYTES_MAX, FILE_BYTES_MAX, BOOT).encode(),
    encode_cbor({0: 2, 1: b"A" * 32, 2: 1, 3: 1, 4: ""}),
    encode_cbor({0: 1, 1: b"A" * 32, 2: True, 3: 0, 4: ""}),
]


def fuzz(data: bytes) -> None:
    """One input."""
    try:
        journal = Journal.decode(data)
    except MalformedError:
        return
    assert len(data) <= JOURNAL_FILE_BYTES_MAX
    assert journal.encode() == data
    # By type as well, for True is 1 to Python: what counts as a number must have been one in the file.
    assert [type(decode_cbor(data)[key]) for key in range(5)] == [int, bytes, int, int, str]
    for boot_id in ("", BOOT, journal.boot_id):
        assert 0 <= journal.synced <= journal.bytes_safe(boot_id) <= journal.size
