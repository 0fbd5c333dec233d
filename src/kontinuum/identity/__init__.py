"""Who a peer is, how it proves it, and where it says that it can be reached.

A :class:`PeerId` is an Ed25519 public key. A :class:`KeyPair` signs, always for a named purpose. A
:class:`Contact` is a peer's signed word about its own addresses, with the :class:`ProofOfWork` that its
network asks for. :mod:`kontinuum.identity.key_file` keeps the private key on disk.

Pure but for the key file: nothing here knows a clock, a socket or chance.
"""

from kontinuum.identity.contact import CONTACT_AGE_MAX_S, CONTACT_AHEAD_MAX_S, Contact, newest
from kontinuum.identity.errors import (
    BadAddressError,
    BadIdentityError,
    BadSignatureError,
    ContactExpiredError,
    ContactFromFutureError,
    DamagedKeyFileError,
    EmptyKeyFileError,
    KeyFileError,
    NotAKeyFileError,
    PassphraseNeededError,
    TooCostlyKeyFileError,
    TruncatedKeyFileError,
    WeakProofError,
    WrongKeyTypeError,
    WrongNetworkError,
    WrongPassphraseError,
)
from kontinuum.identity.key_file import load_key_file, save_key_file
from kontinuum.identity.keys import KeyPair, verify
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.identity.peer_id import PeerId
from kontinuum.identity.pow import POW_DIFFICULTY_DEFAULT, Mining, MiningProgress, ProofOfWork, network_id
from kontinuum.identity.secret import Secret

__all__ = [
    "CONTACT_AGE_MAX_S",
    "CONTACT_AHEAD_MAX_S",
    "POW_DIFFICULTY_DEFAULT",
    "BadAddressError",
    "BadIdentityError",
    "BadSignatureError",
    "Contact",
    "ContactExpiredError",
    "ContactFromFutureError",
    "DamagedKeyFileError",
    "EmptyKeyFileError",
    "KeyFileError",
    "KeyPair",
    "Mining",
    "MiningProgress",
    "Multiaddr",
    "NotAKeyFileError",
    "PassphraseNeededError",
    "PeerId",
    "ProofOfWork",
    "Secret",
    "TooCostlyKeyFileError",
    "TruncatedKeyFileError",
    "WeakProofError",
    "WrongKeyTypeError",
    "WrongNetworkError",
    "WrongPassphraseError",
    "load_key_file",
    "network_id",
    "newest",
    "save_key_file",
    "verify",
]
