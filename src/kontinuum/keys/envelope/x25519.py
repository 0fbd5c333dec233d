"""X25519 recipients and keys, age's native kind.

Source:   C2SP age.md, "The X25519 recipient type"; RFC 7748.
Trust:    stanzas and text are hostile; a body of another length than a wrapped key is refused before any
          decryption (partitioning oracles), a share of small order as well.
Secrets:  the private key is a Secret; only :meth:`X25519Key.to_text` shows it, for the person who exports it.
Pure:     no I/O, clock or randomness; fresh keys and ephemeral shares take an Entropy.
"""

from typing import NoReturn, Self, SupportsIndex

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import MisuseError
from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.bech32 import decode_bech32, encode_bech32
from kontinuum.keys.envelope.errors import BadKeyTextError, HeaderError
from kontinuum.keys.envelope.file_key import WRAPPED_BYTES, FileKey, derive
from kontinuum.keys.envelope.readers import Kind, ReaderId
from kontinuum.keys.envelope.stanza import Stanza, decode_base64, encode_base64

X25519_BYTES = 32
"""Bytes of either half. RFC 7748, section 5."""

RECIPIENT_PREFIX = "age"
KEY_PREFIX = "age-secret-key-"
_STANZA = "X25519"
_INFO = b"age-encryption.org/v1/X25519"


class X25519Recipient:
    """A public key.

    Args:
        public_key: 32 bytes, untrusted. Any bytes are a key; one of small order is refused where it is used.
    """

    __slots__ = ("_key", "public_key")

    post_quantum = False

    def __init__(self, public_key: bytes) -> None:
        if len(public_key) != X25519_BYTES:
            raise BadKeyTextError(f"an X25519 key has {X25519_BYTES} bytes")
        self.public_key = bytes(public_key)
        self._key = X25519PublicKey.from_public_bytes(self.public_key)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``age1...``.

        Raises:
            BadKeyTextError: It is none.
        """
        prefix, data = decode_bech32(text)
        if prefix != RECIPIENT_PREFIX or len(data) != X25519_BYTES:
            raise BadKeyTextError("this is no X25519 recipient: that begins with age1")
        return cls(bytes(data))

    @property
    def reader_id(self) -> ReaderId:
        """Its name in a claim: itself."""
        return ReaderId(Kind.X25519, self.public_key)

    def wrap(self, file_key: FileKey, entropy: Entropy) -> Stanza:
        """The stanza that gives this recipient ``file_key``.

        Raises:
            BadKeyTextError: The public key is of small order: everybody could open the envelope.
        """
        ephemeral = X25519PrivateKey.from_private_bytes(entropy.token(X25519_BYTES))
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(self._key)
        except ValueError:
            raise BadKeyTextError("an X25519 recipient of small order, which hides nothing") from None
        wrap_key = derive(shared, share + self.public_key, _INFO)
        return Stanza(_STANZA, (encode_base64(share).decode(),), file_key.wrapped(wrap_key))

    def to_text(self) -> str:
        """The form ``age1...``."""
        return encode_bech32(RECIPIENT_PREFIX, self.public_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, X25519Recipient) and other.public_key == self.public_key

    def __hash__(self) -> int:
        return hash(self.public_key)

    def __repr__(self) -> str:
        return f"X25519Recipient({self.to_text()[:12]}…)"


class X25519Key:
    """A private key. Make one by :meth:`generate`, or from 32 secret bytes derived for this use only.

    Args:
        secret: 32 bytes; never the seed of a signing key.
    """

    __slots__ = ("_key", "_secret", "recipient")

    recipient: X25519Recipient
    """The public half."""

    def __init__(self, secret: Secret) -> None:
        if len(secret) != X25519_BYTES:
            raise MisuseError(f"an X25519 key has {X25519_BYTES} bytes")
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.recipient = X25519Recipient(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """A fresh key."""
        return cls(Secret(entropy.token(X25519_BYTES)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``AGE-SECRET-KEY-1...``.

        Raises:
            BadKeyTextError: It is none.
        """
        prefix, data = decode_bech32(text)
        if prefix != KEY_PREFIX or len(data) != X25519_BYTES or not text.isupper():
            raise BadKeyTextError("this is no X25519 key: that begins with AGE-SECRET-KEY-1, in capitals")
        return cls(data)

    def unwrap(self, stanza: Stanza) -> FileKey | None:
        """The data key, if ``stanza`` is for this key."""
        if stanza.kind != _STANZA:
            return None
        if len(stanza.arguments) != 1:
            raise HeaderError("an X25519 stanza with more or less than its one argument")
        share = decode_base64(stanza.arguments[0].encode())
        if len(share) != X25519_BYTES or len(stanza.body) != WRAPPED_BYTES:
            raise HeaderError("an X25519 stanza of a wrong length")
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise HeaderError("an X25519 stanza with a share of small order") from None
        return FileKey.unwrap(derive(shared, share + self.recipient.public_key, _INFO), stanza.body)

    def to_text(self) -> Secret:
        """The form ``AGE-SECRET-KEY-1...``, in ASCII: for a secret file, and nothing else."""
        return Secret(encode_bech32(KEY_PREFIX, self._secret).upper().encode())

    def __repr__(self) -> str:
        return f"X25519Key({self.recipient.to_text()[:12]}…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a key is not pickled or copied")
