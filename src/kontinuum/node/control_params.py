"""The parameters of control requests, checked one by one.

Trust: requests come from the node's owner; they are checked to help him.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from kontinuum.node.errors import ControlError


class OperationError(ControlError):
    """Why an operation failed. Its text is the message alone: the code travels beside it."""

    def __str__(self) -> str:
        return self.message


def only(params: dict[str, Any], *known: str) -> None:
    """Refuse what no method knows."""
    if unknown := sorted(params.keys() - set(known)):
        raise OperationError("misuse.bad_params", f"there is no parameter {unknown[0][:64]!r}")


def text(params: dict[str, Any], name: str) -> str:
    """A text that is needed."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise OperationError("misuse.bad_params", f"{name} is a text and is needed")
    return value


def texts(params: dict[str, Any], name: str) -> list[str]:
    """A list of texts that is needed."""
    value = params.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise OperationError("misuse.bad_params", f"{name} is a list of texts and is needed")
    return value


def number(params: dict[str, Any], name: str, least: float, most: float, default: float) -> float:
    """A number from ``least`` to ``most``; ``default`` if it is not given."""
    value = params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise OperationError("misuse.bad_params", f"{name} is a number from {least:g} to {most:g}")
    return value


def base64_bytes(params: dict[str, Any], name: str) -> bytes:
    """Bytes as base64; none if they are not given."""
    try:
        return base64.b64decode(params.get(name, ""), validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise OperationError("misuse.bad_params", f"{name} is base64") from None


def absolute(text: str) -> Path:
    """An absolute path."""
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise OperationError(
            "misuse.bad_params", "paths are absolute: the node has a working directory of its own"
        )
    return path
