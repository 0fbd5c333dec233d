"""What all types of this room that hold a secret have in common: they do not show, leak or confuse it.

A type that says what its bytes are for cannot be handed to where another one belongs, by the type checker's
word before the program runs and by :class:`KeyKindError` when it runs. CPython cannot wipe memory reliably;
what is prevented here is the common leak: a secret in a log line, a traceback, a pickle or a comparison
that takes its time.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, ClassVar, NoReturn

from kontinuum.base.errors import MisuseError
from kontinuum.identity import Secret

if TYPE_CHECKING:
    from typing import SupportsIndex


class Confidential:
    """Secret bytes of one kind. Equal only to the same bytes of the same kind, compared in constant time.

    Args:
        value: The secret; as many bytes as the kind has.
    """

    __slots__ = ("__value",)

    SECRET_BYTES: ClassVar[int] = 32

    def __init__(self, value: bytes) -> None:
        if len(value) != self.SECRET_BYTES:
            raise MisuseError(f"{type(self).__name__} has {self.SECRET_BYTES} bytes, not {len(value)}")
        self.__value = Secret(value)

    def expose(self) -> Secret:
        """The bytes themselves, for the function that computes with them."""
        return self.__value

    def about(self) -> str:
        """What may be shown of the secret: by default nothing."""
        return ""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.about() == other.about() and hmac.compare_digest(self.__value, other.expose())

    __hash__ = None  # type: ignore[assignment]  # A hash of a secret in a table is a leak, and nobody needs one.

    def __repr__(self) -> str:
        about = self.about()
        return f"<{type(self).__name__}{' ' if about else ''}{about}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a secret is not pickled or copied")
