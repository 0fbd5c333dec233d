"""Join what a person said in four places into one configuration, and remember who said what.

Precedence:  flags > environment > ``node.toml`` > defaults, for each field alone.
Bounds:      NODE_TOML_BYTES_MAX for the file.
Trust:       the owner's own words; a typing error must be named, never ignored.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from kontinuum.node.config_rules import doubts, unknown_key
from kontinuum.node.errors import ConfigError, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.node.config import NodeConfig

C = TypeVar("C", bound="NodeConfig")

FILE_NAME = "node.toml"
"""The configuration file in the data directory."""

NODE_TOML_BYTES_MAX = 1024 * 1024
"""Size of ``node.toml``. Our choice: 64 of the largest contacts fit; a larger file is refused."""

ENVIRONMENT_PREFIX = "KONTINUUM_"
"""What every variable of ours begins with; one that names no setting is refused."""

ENVIRONMENT_OTHERS = frozenset({"KONTINUUM_PASSPHRASE"})
"""Variables with our prefix that are no settings, because a secret does not belong in a configuration."""


def load(cls: type[C], *, data_dir: Path | None, flags: Mapping[str, Any]) -> C:
    """Return the joined configuration. See :meth:`NodeConfig.load`."""
    config, findings = _join(cls, data_dir, flags)
    if config is None:
        raise ConfigError(findings)
    return config


def check(cls: type[C], *, data_dir: Path | None, flags: Mapping[str, Any]) -> list[Finding]:
    """Return errors, or else the doubts about a configuration that works."""
    config, findings = _join(cls, data_dir, flags)
    return findings if config is None else doubts(config)


def _join(cls: type[C], data_dir: Path | None, flags: Mapping[str, Any]) -> tuple[C | None, list[Finding]]:
    findings: list[Finding] = []
    known = list(cls.model_fields)
    given = {key: value for key, value in flags.items() if value is not None}
    if data_dir is not None:
        given.setdefault("data_dir", data_dir)
    environment = _environment(cls, known, findings)
    directory = given.get("data_dir", environment.get("data_dir"))
    file = Path(directory).expanduser() / FILE_NAME if directory else None
    written = _file(file, findings) if file else {}
    if "data_dir" in written:
        findings.append(
            Finding("error", "data_dir", "is where this file lies; it cannot say so itself", str(file))
        )
        del written["data_dir"]

    values: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for source, part in ((str(file), written), ("environment", environment), ("flag", given)):
        for key, value in part.items():
            values[key] = value
            said_by[key] = {
                "environment": ENVIRONMENT_PREFIX + key.upper(),
                "flag": "--" + key.replace("_", "-"),
            }.get(source, source)
    config = None
    try:
        config = cls(**values)
    except ConfigError as error:
        findings.extend(
            Finding(found.level, found.key, found.message, said_by.get(found.key.partition(".")[0], ""))
            for found in error.findings
        )
    return (None if findings else config), findings


def _environment(cls: type[NodeConfig], known: list[str], findings: list[Finding]) -> dict[str, Any]:
    for variable in sorted(os.environ):
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if (
            variable.startswith(ENVIRONMENT_PREFIX)
            and key not in known
            and variable not in ENVIRONMENT_OTHERS
        ):
            findings.append(Finding("error", key, unknown_key(key, known), variable))
    try:
        return EnvSettingsSource(cls, case_sensitive=False, env_prefix=ENVIRONMENT_PREFIX)()
    except SettingsError as error:
        findings.append(Finding("error", "", str(error), "environment"))
        return {}


def _file(path: Path, findings: list[Finding]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(NODE_TOML_BYTES_MAX + 1)
        if len(content) > NODE_TOML_BYTES_MAX:
            raise ValueError(f"is larger than {NODE_TOML_BYTES_MAX} bytes")  # noqa: TRY301 -- as any bad file
        return tomllib.loads(content.decode())
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        findings.append(Finding("error", "", "is not UTF-8 text", str(path)))
    except RecursionError:
        findings.append(Finding("error", "", "is nested too deeply", str(path)))
    except ValueError as error:
        findings.append(Finding("error", "", str(error), str(path)))
    except OSError as error:
        findings.append(Finding("error", "", f"cannot be read: {error.strerror}", str(path)))
    return {}
