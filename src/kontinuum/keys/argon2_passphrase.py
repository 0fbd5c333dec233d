"""Age files that a passphrase opens, stretched with Argon2id instead of scrypt: what key stores are.

A stanza of our own in an otherwise plain age file, so that payload, header and their checks are age's; the
``age`` program says that it does not know the recipient.

::

    -> kontinuum/argon2id SALT MEMORY_KIB ITERATIONS LANES
    BODY, the data key encrypted under what Argon2id makes of the passphrase

Source:   RFC 9106; C2SP age.md, "Recipient stanza"; docs/protocols/backup.md.
Bounds:   those of ``identity.key_file``: Argon2Cost, before any work.
Trust:    stanzas are hostile.
Secrets:  the passphrase is never shown.
Pure:     no I/O, clock or randomness; the salt takes an Entropy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from kontinuum.base.errors import MisuseError
from kontinuum.identity.errors import TooCostlyKeyFileError
from kontinuum.identity.key_file import Argon2Cost, stretch_passphrase
from kontinuum.keys.envelope.errors import HeaderError
from kontinuum.keys.envelope.file_key import WRAPPED_BYTES, FileKey
from kontinuum.keys.envelope.stanza import Stanza, decode_base64, encode_base64

if TYPE_CHECKING:
    from typing import SupportsIndex

    from kontinuum.base.entropy import Entropy

STANZA_KIND = "kontinuum/argon2id"
"""First argument of the stanza."""

_SALT_BYTES = 16
_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


class Argon2Passphrase:
    """A passphrase: recipient and key in one.

    Args:
        passphrase: The text, not empty.
        cost: What opening shall cost; the default follows RFC 9106. Opening takes what the file says.
    """

    __slots__ = ("__passphrase", "cost")

    post_quantum = True
    """Symmetric: no quantum computer helps beyond the square root of guessing."""

    reader_id = None

    def __init__(self, passphrase: str, cost: Argon2Cost | None = None) -> None:
        self.__passphrase = passphrase
        self.cost = cost or Argon2Cost()

    @property
    def recipient(self) -> Argon2Passphrase:
        """Itself: whoever can seal with it can open."""
        return self

    def wrap(self, file_key: FileKey, entropy: Entropy) -> Stanza:
        """The stanza that gives ``file_key`` to whoever knows the passphrase.

        Raises:
            MisuseError: The passphrase is empty, too long, or no Unicode.
        """
        salt = entropy.token(_SALT_BYTES)
        cost = (self.cost.memory_kib, self.cost.iterations, self.cost.lanes)
        body = file_key.wrapped(stretch_passphrase(self.__passphrase, salt, self.cost))
        return Stanza(STANZA_KIND, (encode_base64(salt).decode(), *map(str, cost)), body)

    def unwrap(self, stanza: Stanza) -> FileKey | None:
        """The data key, if this is the passphrase.

        Raises:
            HeaderError: The stanza is malformed, or opening it would cost more than we allow.
        """
        if stanza.kind != STANZA_KIND:
            return None
        if len(stanza.arguments) != 4 or not all(map(_NUMBER.fullmatch, stanza.arguments[1:])):
            raise HeaderError("a passphrase's stanza without its four arguments")
        salt = decode_base64(stanza.arguments[0].encode())
        if len(salt) != _SALT_BYTES or len(stanza.body) != WRAPPED_BYTES:
            raise HeaderError("a passphrase's stanza of a wrong length")
        try:
            cost = Argon2Cost(*map(int, stanza.arguments[1:]))
        except TooCostlyKeyFileError as error:
            raise HeaderError(str(error)) from None
        return FileKey.unwrap(stretch_passphrase(self.__passphrase, salt, cost), stanza.body)

    def __repr__(self) -> str:
        return "Argon2Passphrase(…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a passphrase is not pickled or copied")
