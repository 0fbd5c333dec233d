"""Envelopes that a passphrase opens: age's scrypt recipient.

Source:   C2SP age.md, "The scrypt recipient type"; RFC 7914.
Bounds:   ENVELOPE_SCRYPT_WORK_MAX: what a hostile file may make us spend.
Trust:    stanzas are hostile. Such an envelope has no other recipient, and carries no claim of a sender.
Secrets:  the passphrase is never shown.
Pure:     no I/O, clock or randomness; the salt takes an Entropy. Either way costs a second and much memory.
"""

import re
from typing import NoReturn, SupportsIndex

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import MisuseError
from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.errors import HeaderError
from kontinuum.keys.envelope.file_key import WRAPPED_BYTES, FileKey
from kontinuum.keys.envelope.readers import SCRYPT
from kontinuum.keys.envelope.stanza import Stanza, decode_base64, encode_base64
from kontinuum.wire.limits import ENVELOPE_SCRYPT_WORK_MAX

SCRYPT_WORK = 18
"""Logarithm of scrypt's work for new envelopes: 256 MiB and about a second. As age has it."""

PASSPHRASE_BYTES_MAX = 1024
"""UTF-8 bytes of a passphrase, as for key files. Longer: MisuseError."""

_SALT_BYTES = 16
_LABEL = b"age-encryption.org/v1/scrypt"
_WORK = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)


class Passphrase:
    """A passphrase: recipient and key in one.

    Args:
        passphrase: The text, not empty.
        work: Logarithm of scrypt's work when sealing; opening takes what the file says.
    """

    __slots__ = ("_secret", "work")

    post_quantum = True
    """Symmetric: no quantum computer helps beyond the square root of guessing."""

    reader_id = None

    def __init__(self, passphrase: str, *, work: int = SCRYPT_WORK) -> None:
        try:
            self._secret = Secret(passphrase.encode())
        except UnicodeEncodeError:
            raise MisuseError("the passphrase is no valid Unicode") from None
        if not 1 <= len(self._secret) <= PASSPHRASE_BYTES_MAX:
            raise MisuseError(f"a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes")
        if not 1 <= work <= ENVELOPE_SCRYPT_WORK_MAX:
            raise MisuseError(f"the work of scrypt is 1 to {ENVELOPE_SCRYPT_WORK_MAX}")
        self.work = work

    @property
    def recipient(self) -> "Passphrase":
        """Itself: whoever can seal with it can open."""
        return self

    def wrap(self, file_key: FileKey, entropy: Entropy) -> Stanza:
        """The stanza that gives ``file_key`` to whoever knows the passphrase."""
        salt = entropy.token(_SALT_BYTES)
        body = file_key.wrapped(self._stretched(salt, self.work))
        return Stanza(SCRYPT, (encode_base64(salt).decode(), str(self.work)), body)

    def unwrap(self, stanza: Stanza) -> FileKey | None:
        """The data key, if this is the passphrase."""
        if stanza.kind != SCRYPT:
            return None
        if len(stanza.arguments) != 2:
            raise HeaderError("a passphrase's stanza with more or less than its two arguments")
        salt, work = decode_base64(stanza.arguments[0].encode()), stanza.arguments[1]
        if len(salt) != _SALT_BYTES or len(stanza.body) != WRAPPED_BYTES:
            raise HeaderError("a passphrase's stanza of a wrong length")
        if _WORK.fullmatch(work) is None:
            raise HeaderError("a passphrase's stanza whose work is no number")
        if int(work) > ENVELOPE_SCRYPT_WORK_MAX:
            raise HeaderError(
                f"opening this would take scrypt 2^{work} steps; we allow 2^{ENVELOPE_SCRYPT_WORK_MAX}"
            )
        return FileKey.unwrap(self._stretched(salt, int(work)), stanza.body)

    def _stretched(self, salt: bytes, work: int) -> Secret:
        return Secret(Scrypt(salt=_LABEL + salt, length=32, n=1 << work, r=8, p=1).derive(self._secret))

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a passphrase is not pickled or copied")
