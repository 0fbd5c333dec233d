"""The bytes of ``kontinuum/cluster/1``: golden ones, made again by other means, and broken ones."""

import hashlib
import hmac
import json
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.clusters.messages import (
    Heads,
    Hello,
    Orders,
    Parcel,
    Statements,
    Summary,
    Trust,
    Unknown,
    decode,
    encode,
)
from kontinuum.clusters.tags import hello_tag, open_news, seal_news, topic_of
from kontinuum.keys.paths import Place
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    CHAIN_BUNDLE_BYTES_MAX,
    CHAIN_HEADS_MAX,
    CLUSTER_KIND_MAX,
    CLUSTER_MESSAGE_BYTES_MAX,
    CLUSTER_PARCEL_BYTES_MAX,
    CLUSTER_TRUST_ENTRIES_MAX,
    CLUSTER_TRUST_ENTRY_BYTES_MAX,
    KEY_DEPTH_MAX,
    KEY_ORDER_BYTES_MAX,
)

ROWS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "cluster_messages.json").read_text(encoding="utf-8")
)
CLUSTER = bytes(range(32))


def rows(kind):
    """The golden rows of one format."""
    return [pytest.param(row, id=row["name"]) for row in ROWS if row["format"] == kind]


def keyed(key, data):
    """HMAC-SHA-256, as the page says."""
    return hmac.new(key, data, hashlib.sha256).digest()


def plain(value):
    """Hex texts of a row as bytes, in lists as well."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("row", rows("message"))
def test_golden_messages(row):
    """
    cbor2 writes the same bytes from the fields; ours reads them and writes them again.
    """
    fields = {int(key): plain(value) for key, value in row["fields"].items()}
    encoded = bytes.fromhex(row["encoded"])
    assert cbor2.dumps(fields, canonical=True) == encoded
    assert encode(decode(encoded)) == encoded


def test_golden_proof_of_a_new_key():
    """
    Another library's Ed25519, over the bytes that the page names.
    """
    (row,) = (row for row in ROWS if row["name"] == "reauth")
    old, new, signature = (bytes.fromhex(row["fields"][key]) for key in "123")
    signed = b"kontinuum/cluster-reauth/v1\0" + bytes.fromhex(row["exporter"]) + old + new
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(row["seed"]))
    assert key.public_key().public_bytes_raw() == new
    assert key.sign(signed) == signature


@pytest.mark.parametrize("row", rows("tag"))
def test_golden_tags(row):
    """
    HMAC by hand.
    """
    exporter, cluster = bytes.fromhex(row["exporter"]), bytes.fromhex(row["cluster"])
    tag = keyed(exporter, b"kontinuum/cluster-hello/v1\0" + (b"d" if row["dialler"] else b"a") + cluster)
    assert tag.hex() == row["encoded"]
    assert hello_tag(exporter, cluster, dialler=row["dialler"]) == tag


@pytest.mark.parametrize("row", rows("topic"))
def test_golden_topics(row):
    """
    HMAC by hand.
    """
    cluster = bytes.fromhex(row["cluster"])
    text = "kontinuum/cluster/" + keyed(cluster, b"kontinuum/cluster-topic/v1")[:16].hex()
    assert row["text"] == text == topic_of(cluster)


@pytest.mark.parametrize("row", rows("news"))
def test_golden_news(row):
    """
    Sealed by hand, opened by us, and the other way round.
    """
    cluster, data = bytes.fromhex(row["cluster"]), bytes.fromhex(row["plain"])
    nonce = keyed(cluster, b"kontinuum/cluster-news-nonce/v1\0" + data)[:12]
    cipher = ChaCha20Poly1305(keyed(cluster, b"kontinuum/cluster-news-key/v1"))
    sealed = nonce + cipher.encrypt(nonce, data, None)
    assert sealed.hex() == row["encoded"]
    assert seal_news(cluster, data) == sealed
    assert open_news(cluster, sealed) == data


FULL = [
    Hello(1, bytes(32)),
    Heads(CLUSTER, tuple(index.to_bytes(32, "big") for index in range(CHAIN_HEADS_MAX)), is_answer=True),
    Statements(CLUSTER, bytes(CHAIN_BUNDLE_BYTES_MAX)),
    Trust((bytes(CLUSTER_TRUST_ENTRY_BYTES_MAX),) * CLUSTER_TRUST_ENTRIES_MAX),
    Orders(bytes(KEY_ORDER_BYTES_MAX)),
    Parcel(Place((255,) * KEY_DEPTH_MAX), bytes(CLUSTER_PARCEL_BYTES_MAX)),
    Summary(bytes(16), bytes(16)),
]


@pytest.mark.parametrize("message", FULL, ids=lambda message: type(message).__name__)
def test_the_fullest_messages_survive_their_bytes(message):
    """
    Each bound at its limit fits a message of the stream.
    """
    data = encode(message)
    assert len(data) <= CLUSTER_MESSAGE_BYTES_MAX
    assert decode(data) == message


KEY = bytes.fromhex(next(row for row in ROWS if row["name"] == "reauth")["fields"]["1"])

BROKEN = {
    "no map": [],
    "no kind": {1: 1},
    "a kind that is no number": {0: "hello"},
    "a negative kind": {0: -1},
    "a kind that is too large": {0: CLUSTER_KIND_MAX + 1},
    "a hello without a tag": {0: 1, 1: 1},
    "a hello with a short tag": {0: 1, 1: 1, 2: bytes(31)},
    "heads that are not sorted": {0: 2, 1: CLUSTER, 2: [b"b" * 32, b"a" * 32], 3: False},
    "heads twice": {0: 2, 1: CLUSTER, 2: [b"a" * 32, b"a" * 32], 3: False},
    "heads of a short cluster": {0: 2, 1: CLUSTER[1:], 2: [], 3: False},
    "heads without saying what for": {0: 2, 1: CLUSTER, 2: []},
    "heads for a number": {0: 2, 1: CLUSTER, 2: [], 3: 1},
    "too many heads": {0: 2, 1: CLUSTER, 2: [bytes([n // 256, n % 256]) * 16 for n in range(2001)], 3: True},
    "a list of statements": {0: 3, 1: CLUSTER, 2: []},
    "too long a bundle": {0: 3, 1: CLUSTER, 2: bytes(CHAIN_BUNDLE_BYTES_MAX + 1)},
    "trust in one piece": {0: 4, 1: b""},
    "trust in numbers": {0: 4, 1: [1]},
    "too many entries": {0: 4, 1: [b""] * (CLUSTER_TRUST_ENTRIES_MAX + 1)},
    "too long an entry": {0: 4, 1: [bytes(CLUSTER_TRUST_ENTRY_BYTES_MAX + 1)]},
    "too long an order": {0: 5, 1: bytes(KEY_ORDER_BYTES_MAX + 1)},
    "a parcel for nobody": {0: 6, 1: b"", 2: b""},
    "a parcel for a text": {0: 6, 1: ["1"], 2: b""},
    "a parcel for true": {0: 6, 1: [True], 2: b""},
    "a parcel too far below": {0: 6, 1: [0] * (KEY_DEPTH_MAX + 1), 2: b""},
    "a parcel for a number that no place has": {0: 6, 1: [256], 2: b""},
    "too long a parcel": {0: 6, 1: [1], 2: bytes(CLUSTER_PARCEL_BYTES_MAX + 1)},
    "a proof for no key": {0: 7, 1: KEY, 2: bytes(32), 3: bytes(64)},
    "a proof without signature": {0: 7, 1: KEY, 2: KEY},
    "a short digest": {0: 8, 1: bytes(15), 2: bytes(16)},
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN.keys())
def test_broken_messages_are_refused(fields):
    """
    By a PeerError, whatever is wrong.
    """
    data = cbor.encode(fields)
    with pytest.raises(PeerError):
        decode(data)


def test_bytes_beyond_the_limit_are_refused_before_they_are_looked_at():
    """
    Whatever they are; and our own program cannot make such a message.
    """
    with pytest.raises(MalformedError, match="are the most"):
        decode(bytes(CLUSTER_MESSAGE_BYTES_MAX + 1))
    with pytest.raises(MisuseError):
        encode(Statements(CLUSTER, bytes(CLUSTER_MESSAGE_BYTES_MAX)))


def test_what_a_newer_program_says_is_passed_over():
    """
    Unknown kinds, unknown fields of known kinds, and a hello of another version but for its number.
    """
    assert decode(cbor.encode({0: 99, 1: [[]]})) == Unknown(99)
    assert decode(cbor.encode({0: 8, 1: bytes(16), 2: bytes(16), 7: "new"})) == Summary(bytes(16), bytes(16))
    assert decode(cbor.encode({0: 1, 1: 2, 2: "anything"})) == Hello(2, b"")


@pytest.mark.parametrize("data", [b"", bytes(11), bytes(12), bytes(27), bytes(28), bytes(100)])
def test_news_that_were_not_made_for_a_cluster_are_refused(data):
    """
    Any bytes.
    """
    with pytest.raises(MalformedError):
        open_news(CLUSTER, data)


def test_news_are_for_one_cluster_and_whole():
    """
    Another cluster's id does not open them, and no bit can be changed.
    """
    sealed = seal_news(CLUSTER, b"news")
    with pytest.raises(MalformedError):
        open_news(bytes(32), sealed)
    for index in range(len(sealed)):
        with pytest.raises(MalformedError):
            open_news(CLUSTER, sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :])
