"""Where a local service listens: an IP address and port, or a Unix socket.

Trust:    the text comes from the owner's configuration.
Pure:     no I/O.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

UNIX_PREFIX = "unix:"
"""What a Unix socket's path begins with in the configuration."""


def host_and_port(text: str) -> tuple[str, int]:
    """Split ``127.0.0.1:4433`` or ``[::1]:4433``. The host is an IP address, the port 0 to 65535.

    Raises:
        ValueError: with a sentence that says the right form.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
        if not colon or bracketed != (address.version == 6) or not 0 <= number <= 65_535:
            raise ValueError  # noqa: TRY301 -- one message for every way to get it wrong
    except ValueError:
        raise ValueError(
            f"write {text!r} as 0.0.0.0:4433 or [::]:4433 (IP address, port 0 to 65535)"
        ) from None
    return str(address), number


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of this machine for people and programs on it. Exactly one of the two forms is set."""

    host: str = ""
    """IP address; empty for a Unix socket."""

    port: int = 0
    """TCP port, 0 for any free one."""

    path: str = ""
    """Absolute path of a Unix socket; empty for TCP."""

    @classmethod
    def parse(cls, text: str) -> LocalAddress:
        """Read ``127.0.0.1:9464``, ``[::1]:9464``, ``localhost:9464`` or ``unix:/run/kontinuum.sock``.

        Raises:
            ValueError: with a sentence that says the right form.
        """
        if text.startswith(UNIX_PREFIX):
            path = text.removeprefix(UNIX_PREFIX)
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"write {text!r} with an absolute path, as unix:/run/kontinuum.sock")
            return cls(path=path)
        host, port = host_and_port(text.replace("localhost:", "127.0.0.1:", 1))
        return cls(host=host, port=port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        """Return the form that :meth:`parse` reads."""
        if self.path:
            return UNIX_PREFIX + self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
