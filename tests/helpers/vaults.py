"""Vaults for tests: one owner, one moment, and what lies in a directory."""

from datetime import UTC, datetime

from helpers.envelopes import ALICE, BOB, CAROL, ENTROPY, PARENT
from kontinuum.keys.envelope import Reader, Role
from kontinuum.keys.envelope.files import even_runs
from kontinuum.vault import Keyring, Metadata, VaultStore

AT = datetime(2026, 1, 2, 12, tzinfo=UTC)
OWNER = Keyring(ALICE, (Reader(BOB.recipient, Role.SELF), Reader(PARENT.recipient, Role.ANCESTOR)), (BOB,))
"""Alice, whose current key is Bob's of the other tests, and her parent, who reads along."""

LATER = Keyring(ALICE, (Reader(CAROL.recipient, Role.SELF),), (CAROL,))
"""Alice after a rekeying."""


def put(store, content, name="", keyring=OWNER):
    """Put bytes; the id."""
    metadata = Metadata(name, AT)
    return store.put(even_runs([content]), keyring, metadata, entropy=ENTROPY).object_id


def get(store, object_id, keyring=OWNER):
    """The content of an object."""
    with store.open(object_id, keyring) as reader:
        return reader.read()


def new_store(directory):
    """Another program's view of the same vault."""
    return VaultStore(directory)


def files(directory):
    """Every file below a directory, but for the lock."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.name != "lock"
    )
