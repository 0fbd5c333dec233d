"""What a node writes about itself: one line per event, for people on a terminal and as JSON otherwise.

Rooms log through the standard library (``logging.getLogger("kontinuum.rpc")``, fields by ``extra=``) or
through structlog (``get_logger("rpc")``); both come out alike. Only a program calls :func:`configure`; a
library user's logging is his own.

Bounds:   TEXT_CHARS_MAX of one field, DEPTH_MAX of nested ones, ITEMS_MAX of each.
Trust:    fields may come from hostile peers: control characters, which could forge lines or drive a terminal,
          are escaped. Secrets never appear: raw bytes show only their length, fields that are named like a
          secret and PEM private keys are blotted out, and tracebacks show no local variables.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter

from kontinuum.identity.peer_id import PeerId
from kontinuum.node.config_rules import ROOMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, Processor, WrappedLogger

TEXT_CHARS_MAX = 4096
"""Characters of one field. Our choice: a traceback fits; the rest is cut off and counted."""

DEPTH_MAX = 4
"""Containers inside each other in one field. Our choice; deeper ones are shown as their type."""

ITEMS_MAX = 64
"""Items of one container. Our choice; further ones are counted."""

REDACTED = "[redacted]"
"""What stands in the place of a secret."""

_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:pass(?:word|phrase|wd)?|secrets?|seeds?|private|tokens?|credentials?|key_?pairs?"
    r"|authorization|cookie|mnemonic|api_?key|signing_?key|session_?keys?)(?:$|[^a-z])"
)
_PEM_SECRET = re.compile(
    r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE|ENCRYPTED|SECRET)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def configure(
    *,
    level: str = "info",
    levels: Mapping[str, str] | None = None,
    log_format: str = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of this process to ``stream``, and set how much each room says; again, to replace it.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; other libraries are heard from ``warning`` on.
        levels: levels of single rooms, ``{"rpc": "debug"}``.
        log_format: ``human``, ``json``, or ``auto``: human on a terminal.
        stream: where to; standard error by default, because standard output belongs to a command's result.
    """
    stream = stream or sys.stderr
    human = log_format == "human" or (log_format == "auto" and stream.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_room,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: Processor
    if human:
        renderer = structlog.dev.ConsoleRenderer(
            colors=_wants_color(stream), exception_formatter=structlog.dev.plain_traceback
        )
    else:
        renderer = structlog.processors.JSONRenderer(sort_keys=True, default=str)
    formatter = ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _clean_exception,
            renderer,
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(_clean_arguments)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _set_levels(level, levels or {})
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, ProcessorFormatter.wrap_for_formatter],
        logger_factory=_room_logger,
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=False,
    )


def logger(room: str) -> BoundLogger:
    """Return a logger of a room that takes fields: ``logger("rpc").info("call refused", peer=peer_id)``."""
    bound: BoundLogger = structlog.stdlib.get_logger(room)
    return bound


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blot out secrets and defuse hostile text in every field (a structlog processor)."""
    return {
        key: value if key in ("exc_info", "_record", "_from_structlog") else _shown(key, value)
        for key, value in event.items()
    }


def _shown(name: str, value: object, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(name):
        return REDACTED
    if isinstance(value, int | float):
        return value
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _container(value, depth + 1) if depth < DEPTH_MAX else f"<{type(value).__name__}>"
    if isinstance(value, bytes | bytearray | memoryview) and not isinstance(value, PeerId):
        return f"<{len(value)} bytes>"
    return _text(str(value))


def _container(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], depth: int
) -> Any:
    more = max(len(value) - ITEMS_MAX, 0)
    some = itertools.islice(value, ITEMS_MAX)
    if isinstance(value, dict):
        shown = {_text(str(key)): _shown(str(key), value[key], depth) for key in some}
        return {**shown, "...": f"{more} more"} if more else shown
    listed = [_shown("", item, depth) for item in some]
    return [*listed, f"... {more} more"] if more else listed


def _is_secret(name: str) -> bool:
    return bool(name) and _SECRET_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()) is not None


def _text(value: str, control: re.Pattern[str] = _CONTROL, chars_max: int = TEXT_CHARS_MAX) -> str:
    value = _PEM_SECRET.sub(REDACTED, value)
    if len(value) > chars_max:
        value = f"{value[:chars_max]}... {len(value) - chars_max} more characters"
    return control.sub(lambda found: f"\\x{ord(found[0]):02x}", value)


def _clean_arguments(record: logging.LogRecord) -> bool:
    """Treat the arguments of ``logger.info("... %s", value)`` like fields, before they become text."""
    if isinstance(record.args, tuple):
        record.args = tuple(_argument("", value) for value in record.args)
    elif isinstance(record.args, dict):
        record.args = {name: _argument(name, value) for name, value in record.args.items()}
    return True


def _argument(name: str, value: object) -> Any:
    """Leave numbers alone, because a secret's name cannot turn ``%d`` into ``%s``."""
    return value if isinstance(value, int | float) else _shown(name, value)


def _clean_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if isinstance(text := event.get("exception"), str):
        event["exception"] = _text(text, _CONTROL_BUT_LINES, 4 * TEXT_CHARS_MAX)
    return event


def _add_room(log: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    name = record.name if record is not None else getattr(log, "name", "")
    event["room"] = name.removeprefix("kontinuum.") if name else ""
    return event


def _room_logger(*names: str) -> logging.Logger:
    """Give ``structlog.get_logger("rpc")`` the logger, and so the level, of the room ``kontinuum.rpc``."""
    name = names[0] if names else "kontinuum"
    return logging.getLogger(f"kontinuum.{name}" if name.partition(".")[0] in ROOMS else name)


def _set_levels(level: str, levels: Mapping[str, str]) -> None:
    known = [name for name in logging.root.manager.loggerDict if name.startswith("kontinuum.")]
    for name in known:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger("kontinuum").setLevel(level.upper())
    for room, room_level in levels.items():
        logging.getLogger(f"kontinuum.{room}").setLevel(room_level.upper())


def _wants_color(stream: TextIO) -> bool:
    """Follow no-color.org: a terminal, and the person did not say no."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
