"""Sealed objects in a node's data directory: content-addressed, atomic, streaming, for its owner's eyes only.

An object is an envelope (:mod:`kontinuum.keys.envelope`), so age's programs open it with the owner's key, and
its id is the hash of its file, so that any node can keep a copy and check it without a key.
:class:`VaultStore` is the directory; it takes a :class:`Keyring`, which says whose vault it is.

``object_id``, ``metadata``, ``journal``, ``index`` and ``keyring`` are pure; ``shelf`` (the files),
``journal_file``, ``reading``, ``store`` and ``resealing`` do the file work.
"""

from kontinuum.vault.errors import (
    AmbiguousObjectError,
    BadObjectIdError,
    BadObjectNameError,
    DamagedObjectError,
    NoSuchObjectError,
    ObjectTooLargeError,
    VaultFullError,
)
from kontinuum.vault.index import Index, Missing
from kontinuum.vault.keyring import Keyring
from kontinuum.vault.metadata import VAULT_CONTEXT, Metadata
from kontinuum.vault.object_id import ObjectId
from kontinuum.vault.reading import Description, ObjectReader
from kontinuum.vault.resealing import Resealed, reseal_all
from kontinuum.vault.store import StoredObject, VaultStore

__all__ = [
    "VAULT_CONTEXT",
    "AmbiguousObjectError",
    "BadObjectIdError",
    "BadObjectNameError",
    "DamagedObjectError",
    "Description",
    "Index",
    "Keyring",
    "Metadata",
    "Missing",
    "NoSuchObjectError",
    "ObjectId",
    "ObjectReader",
    "ObjectTooLargeError",
    "Resealed",
    "StoredObject",
    "VaultFullError",
    "VaultStore",
    "reseal_all",
]
