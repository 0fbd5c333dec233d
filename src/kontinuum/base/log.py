"""Logging of the rooms: an event in words, and fields, through the standard library.

A library that prints unasked spoils other programs' output: unless a program configures logging, nothing is
heard. ``kontinuum.node.logs`` makes lines for people or machines.
Import cost: none beyond ``logging``.
"""

import logging

logging.getLogger("kontinuum").addHandler(logging.NullHandler())

_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""Attributes that a record has itself; a field of that name gets an underscore."""


class RoomLogger:
    """The logger ``kontinuum.<room>``: ``RoomLogger("rpc").info("a call was refused", peer=peer_id.short)``.

    The event is plain text, never a format. Fields must be no secrets.
    """

    __slots__ = ("_logger",)

    def __init__(self, room: str) -> None:
        self._logger = logging.getLogger(f"kontinuum.{room}")

    def debug(self, event: str, **fields: object) -> None:
        """Of interest to who looks for a fault."""
        self._log(logging.DEBUG, event, None, fields)

    def info(self, event: str, **fields: object) -> None:
        """Of interest to the operator."""
        self._log(logging.INFO, event, None, fields)

    def warning(self, event: str, **fields: object) -> None:
        """The operator should do something about it at some time."""
        self._log(logging.WARNING, event, None, fields)

    def error(self, event: str, *, exc_info: BaseException | None = None, **fields: object) -> None:
        """Something failed."""
        self._log(logging.ERROR, event, exc_info, fields)

    def _log(self, level: int, event: str, exc_info: BaseException | None, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            extra = {f"{name}_" if name in _RESERVED else name: value for name, value in fields.items()}
            self._logger.log(level, event, exc_info=exc_info, extra=extra, stacklevel=3)
