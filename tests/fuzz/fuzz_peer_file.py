"""Any file is set aside, or read but for the entries that fail the check; what is kept is kept the same."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from kontinuum.base import PeerError
from kontinuum.identity import KeyPair, network_id
from kontinuum.node.peer_store import PeerStore
from kontinuum.wire import decode_cbor, encode_cbor

NETWORK = network_id("main")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
KEY_PAIR = KeyPair.from_seed(b"a" * 32)
PEERS_MAX = 8
"""Few, so that short inputs reach the limit."""

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "contacts.json").read_text())
CONTACTS = [bytes.fromhex(row["encoded"]) for row in GOLDEN]
ADDRESS = bytes.fromhex("047f000001910204d2cd03")
ENTRIES = [[contact, 1_767_350_000, 1_767_350_000, 3, 1, ADDRESS] for contact in CONTACTS]
SEEDS = [
    encode_cbor({0: 1, 1: ENTRIES[:PEERS_MAX]}),
    encode_cbor({0: 1, 1: ENTRIES[:1] * PEERS_MAX}),
    encode_cbor({0: 1, 1: []}),
    encode_cbor({0: 2, 1: []}),
    *(encode_cbor(entry) for entry in ENTRIES[:2]),
    encode_cbor([CONTACTS[0], 0, 0, 0, 0, None]),
]


def fuzz(data: bytes) -> None:
    """One input: as the file; as one entry of it; and signed again, so that what comes behind is reached."""
    files = [data]
    with suppress(PeerError):
        value = decode_cbor(data)
        entries = value[1] if isinstance(value, dict) and isinstance(value.get(1), list) else [value]
        files += [encode_cbor({0: 1, 1: each}) for each in (entries, list(map(signed_again, entries)))]
    with TemporaryDirectory() as folder:
        for content in files:
            take(Path(folder) / "peers.cbor", content)


def take(path: Path, content: bytes) -> None:
    """Load, check what was kept, save it, and load it again."""
    path.write_bytes(content)
    store = PeerStore(path, network_id=NETWORK, pow_bits=0, peers_max=PEERS_MAX)
    loaded = store.load(NOON)
    if loaded.set_aside is not None:
        assert loaded.set_aside.read_bytes() == content
        assert not path.exists()
        assert len(store) == 0
        return
    assert path.read_bytes() == content
    assert len(store) <= loaded.kept <= PEERS_MAX
    assert all(saved.contact.verify_lasting(NETWORK, 0) for saved in store)
    if len(store):
        store.changed = True
        assert store.save()
        again = PeerStore(path, network_id=NETWORK, pow_bits=0, peers_max=PEERS_MAX)
        reloaded = again.load(NOON)
        assert (reloaded.kept, reloaded.dropped, reloaded.set_aside) == (len(store), 0, None)
        assert again.best(PEERS_MAX) == store.best(PEERS_MAX)


def signed_again(entry):
    """The entry with its contact's fields, whatever they are, as Alice's word."""
    if not isinstance(entry, list) or not entry or not isinstance(entry[0], bytes):
        return entry
    try:
        fields = decode_cbor(entry[0])
    except PeerError:
        return entry
    if not isinstance(fields, dict):
        return entry
    fields = {key: value for key, value in fields.items() if key != 8} | {1: KEY_PAIR.peer_id}
    return [encode_cbor({**fields, 8: KEY_PAIR.sign("contact", encode_cbor(fields))}), *entry[1:]]
