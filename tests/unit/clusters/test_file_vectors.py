"""Golden files of clusters: our code and a second reading of the formats make them, byte for byte.

The second one uses ``cbor2`` and ``cryptography``; only BLAKE3 is the library's own.
"""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.identities import vectors
from helpers.keys import NOON, OTHER_SEED, Family, path
from kontinuum._native import blake3_256
from kontinuum.clusters.book import Book
from kontinuum.clusters.exported import decode_cluster, encode_cluster
from kontinuum.clusters.handover import Handover, open_handover, seal_handover
from kontinuum.clusters.home import Home
from kontinuum.clusters.records import encode_head, encode_record, magic_of, parse_records
from kontinuum.clusters.trust import TrustEntry
from kontinuum.keys.keystore import Unprotected
from kontinuum.keys.orders import Order

ROWS = {row["format"]: bytes.fromhex(row["hex"]) for row in vectors("cluster_files.json")}
OURS, BOBS = Family(), Family(OTHER_SEED)


def canonical(value):
    """Deterministic CBOR, by another encoder."""
    return cbor2.dumps(value, canonical=True)


def statements(chain):
    """A bundle of a whole chain."""
    return canonical([statement.encode() for statement in chain])


def our_entry():
    """By our code."""
    book = Book(OURS.chain, path("/1.0"))
    return book.trust_entry(BOBS.chain.genesis, "bob", "meet", OURS.server.epoch.signing(), NOON)


def other_entry():
    """By hand: docs/protocols/cluster-files.md, "An entry of trust"."""
    fields = {
        0: 1,
        1: bytes(OURS.chain.cluster),
        2: BOBS.chain.genesis.encode(),
        3: "bob",
        4: True,
        5: 0,
        6: 1,
        7: 1_767_355_200,
        8: bytes(OURS.server.epoch.signing().peer_id),
    }
    key = Ed25519PrivateKey.from_private_bytes(bytes(OURS.server.epoch.signing().seed))
    signature = key.sign(b"kontinuum/cluster-trust/v1\0" + canonical(fields))
    return canonical({**fields, 9: signature})


def our_home():
    """By our code."""
    order = Order.issue(OURS.chain, OURS.root, path("/1.0"), sequence=7, at=NOON)
    return Home(
        OURS.chain.genesis,
        path("/1.0"),
        "keys-2",
        latest={order.issuer: 7},
        pending=(order,),
        former=(("keys", path("/1.0")),),
    )


def other_home():
    """By hand: "Where a node belongs"."""
    order = Order.issue(OURS.chain, OURS.root, path("/1.0"), sequence=7, at=NOON)
    fields = {
        0: 1,
        1: OURS.chain.genesis.encode(),
        2: [1, 0],
        3: "keys-2",
        4: [[bytes(OURS.chain.cluster), 7]],
        5: [order.encode()],
        6: [["keys", [1, 0]]],
    }
    return canonical({**fields, 7: blake3_256(b"kontinuum/cluster-home\0" + canonical(fields))[:8]})


def other_records():
    """By hand: "Files of records"."""
    body = statements(OURS.chain)
    checksum = blake3_256(b"kontinuum/record\0" + body)[:8]
    return b"kontinuum chain\n\x00\x01\xffKCr" + len(body).to_bytes(4, "big") + checksum + body


def our_handover():
    """By our code, not sealed."""
    return Handover(OURS.chain, OURS.server.branch, OURS.server.epoch, (our_entry(),))


def other_handover():
    """By hand: "A handover"."""
    branch, epoch = OURS.server.branch, OURS.server.epoch
    fields = {
        0: OURS.chain.genesis.encode(),
        1: [statements(OURS.chain)],
        2: canonical({0: 1, 1: [1, 0], 2: bytes(branch.expose())}),
        3: canonical({0: 1, 1: [1, 0], 2: bytes(epoch.expose()), 3: 0}),
        4: [canonical([other_entry()])],
        5: [],
        6: [],
        7: [],
    }
    return b"kontinuum handover\n\x01\x00" + canonical(fields)


def other_cluster():
    """By hand: "An exported cluster"."""
    listed = [OURS.chain.genesis.encode(), [statements(OURS.chain)], []]
    return b"kontinuum cluster\n\x01" + canonical(listed)


MADE = {
    "trust-entry": (lambda: our_entry().encode(), other_entry),
    "home": (lambda: our_home().encode(), other_home),
    "chain-file": (
        lambda: encode_head(magic_of("chain")) + encode_record(statements(OURS.chain)),
        other_records,
    ),
    "handover": (lambda: seal_handover(our_handover(), Unprotected(), entropy=None), other_handover),
    "cluster": (lambda: encode_cluster(OURS.chain), other_cluster),
}


@pytest.mark.parametrize("name", MADE)
def test_files_are_what_they_always_were(name):
    """
    The golden bytes, our bytes and those made by hand are the same.
    """
    ours, by_hand = MADE[name]

    assert ours() == ROWS[name]
    assert by_hand() == ROWS[name]


def test_golden_files_are_read():
    """
    What older programs wrote is read as what it was.
    """
    assert TrustEntry.decode(ROWS["trust-entry"]) == our_entry()
    assert Home.decode(ROWS["home"]) == our_home()
    assert parse_records(ROWS["chain-file"], magic_of("chain")).bodies == [statements(OURS.chain)]
    assert open_handover(ROWS["handover"]).branch == OURS.server.branch
    assert decode_cluster(ROWS["cluster"]).chain == OURS.chain
