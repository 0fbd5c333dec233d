"""Any bytes are what a cluster's file holds, or an error of ours; what was read is written back alike."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.keys import NOON, OTHER_SEED, Family, path
from kontinuum.base.errors import PeerError
from kontinuum.clusters.book import Book
from kontinuum.clusters.exported import decode_cluster, encode_cluster
from kontinuum.clusters.handover import Handover, open_handover, seal_handover
from kontinuum.clusters.home import Home
from kontinuum.clusters.records import encode_head, encode_record, magic_of, parse_records
from kontinuum.clusters.trust import TrustEntry, decode_entries, encode_entries
from kontinuum.identity.errors import PassphraseNeededError
from kontinuum.keys.keystore import Unprotected
from kontinuum.keys.orders import Order

OURS, BOBS = Family(), Family(OTHER_SEED)
MAGIC = magic_of("chain")
ENTRY = Book(OURS.chain, path("/1.0")).trust_entry(
    BOBS.chain.genesis, "bob", "meet", OURS.server.epoch.signing(), NOON
)
HOME = Home(
    OURS.chain.genesis,
    path("/1.0"),
    latest={OURS.chain.cluster: 3},
    pending=(Order.issue(OURS.chain, OURS.root, path("/1.0"), sequence=7, at=NOON),),
    former=(("keys-2", path("/1.0")),),
)
HANDOVER = Handover(OURS.chain, OURS.server.branch, OURS.server.epoch, (ENTRY,))
RECORDS = encode_head(MAGIC) + encode_record(b"one") + encode_record(b"two")
SEEDS = [
    b"\x00" + RECORDS,
    b"\x01" + HOME.encode(),
    b"\x02" + encode_cluster(OURS.chain),
    b"\x03" + seal_handover(HANDOVER, Unprotected(), entropy=None),
    b"\x04" + ENTRY.encode(),
    b"\x05" + encode_entries([ENTRY])[0],
]


def fuzz(data: bytes) -> None:
    """One input: after its first byte, as one of the files."""
    kind, content = data[:1], data[1:]
    if kind == b"\x00":
        take_records(content)
    try:
        if kind == b"\x01":
            again(Home.decode(content), Home.decode, Home.encode)
        elif kind == b"\x02":
            read = decode_cluster(content)
            if decode_cluster(encode_cluster(read.chain, read.succession)).chain != read.chain:
                raise AssertionError("a cluster that cannot be written back")
        elif kind == b"\x03":
            opened = open_handover(content)
            if open_handover(seal_handover(opened, Unprotected(), entropy=None)).branch != opened.branch:
                raise AssertionError("a handover that cannot be written back")
        elif kind == b"\x04":
            again(TrustEntry.decode(content), TrustEntry.decode, TrustEntry.encode)
        elif kind == b"\x05":
            entries = decode_entries(content)
            if [each for part in encode_entries(entries) for each in decode_entries(part)] != entries:
                raise AssertionError("entries that cannot be written back")
    except (PeerError, PassphraseNeededError):
        return


def again(value, decode, encode) -> None:
    """What was read is written back, and is the same."""
    if decode(encode(value)) != value:
        raise AssertionError("something that cannot be written back")


def take_records(content: bytes) -> None:
    """Records are found up to some place; those that were found are read again."""
    found = parse_records(content, MAGIC)
    if not 0 <= found.good_bytes <= len(content):
        raise AssertionError("a file that is intact beyond its end")
    written = encode_head(MAGIC) + b"".join(map(encode_record, found.bodies))
    if parse_records(written, MAGIC).bodies != found.bodies:
        raise AssertionError("records that cannot be written back")
