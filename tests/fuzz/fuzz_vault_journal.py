"""Any bytes are a journal read up to some place, never an error; what was read is written back alike."""

from kontinuum.vault import Index, ObjectId
from kontinuum.vault.journal import MAGIC, Delete, Put, encode_record, parse_journal, parse_records
from kontinuum.vault.metadata import Metadata
from kontinuum.wire.errors import MalformedError

ONE, TWO = ObjectId(b"1" * 32), ObjectId(b"2" * 32)
RECORDS = encode_record([Put(ONE, 5, 6), Delete(TWO, 7)]) + encode_record([Delete(ONE, 8, TWO)])
SEEDS = [MAGIC + RECORDS, RECORDS, b"\xa2\x00\x61n\x01\x05"]


def fuzz(data: bytes) -> None:
    """One input: as a journal, as records, as the metadata of an object."""
    for journal in (parse_journal(data), parse_records(data)):
        whole = journal.good_bytes == len(data)
        # An empty file is read to its end, and still no journal.
        if not 0 <= journal.good_bytes <= len(data) or (data and whole == bool(journal.problem)):
            raise AssertionError("a journal that ends nowhere")
        again = parse_records(b"".join(encode_record([change]) for change in journal.changes))
        if again.changes != journal.changes or again.problem:
            raise AssertionError("changes that cannot be written back")
        index = Index(journal.changes)
        if index.objects.keys() & index.deleted.keys():
            raise AssertionError("an object that is there and deleted")
    try:
        metadata = Metadata.decode(data)
    except MalformedError:
        return
    if Metadata.decode(metadata.encode()) != metadata:
        raise AssertionError("metadata that cannot be written back")
