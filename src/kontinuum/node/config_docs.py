"""Write the settings down for people: a commented ``node.toml`` and ``docs/configuration.md``.

Both are generated from the fields of ``NodeConfig``, so that they cannot disagree with it.
``python -m kontinuum.node.config_docs docs/configuration.md`` renews the page; a test compares.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kontinuum.node.config import NodeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


def example_toml(cls: type[NodeConfig] = NodeConfig) -> str:
    """Return a ``node.toml`` with every setting commented out, at its default. Valid TOML as it is."""
    lines = [
        "# Settings of a Kontinuum node. Each line that begins with '#' shows a default: remove it to",
        "# change it. Environment variables (KONTINUUM_NETWORK=...) and flags win over the file.",
        "# `kontinuum config check` says what is wrong with it.",
    ]
    group = ""
    for name, field in _fields(cls):
        if _extra(field)["group"] != group:
            group = _extra(field)["group"]
            lines += ["", f"# --- {group} ---"]
        about = " ".join(filter(None, [field.description, _facts(field)]))
        lines += ["", *(f"# {line}" for line in textwrap.wrap(about, 100, break_on_hyphens=False))]
        lines.append(f"#{name} = {_toml(field.get_default(call_default_factory=True))}")
    return "\n".join(lines) + "\n"


def markdown(cls: type[NodeConfig] = NodeConfig) -> str:
    """Return the page ``docs/configuration.md``."""
    lines = [
        "# Configuration",
        "",
        "<!-- Generated from src/kontinuum/node/config.py by `python -m kontinuum.node.config_docs`. -->",
        "",
        "A node takes each setting from the first of: a command-line flag (`--network main`), an environment",
        "variable (`KONTINUUM_NETWORK=main`), `node.toml` in its data directory, the default below. A name",
        "that no setting has is refused, wherever it stands. Lists in the environment are divided by",
        "commas or spaces; tables are written `rpc=debug,transport=warning`. `kontinuum config check` says",
        "all that is wrong or doubtful; a program uses `NodeConfig.load()` or `NodeConfig(network=...)`.",
        "",
        "The passphrase of a key is never a setting. It comes from the variable `KONTINUUM_PASSPHRASE`",
        '(removed from the environment once read), a file descriptor (`passphrase_source = "fd:3"`), a',
        "systemd credential, a keyring ([runbook](runbooks/key-stores.md)), or the terminal.",
    ]
    group = ""
    for name, field in [("data_dir", cls.model_fields["data_dir"]), *_fields(cls)]:
        if _extra(field)["group"] != group:
            group = _extra(field)["group"]
            lines += [
                "",
                f"## {group}",
                "",
                "| setting | default | unit and bounds | meaning |",
                "|---|---|---|---|",
            ]
        default = _toml(field.get_default(call_default_factory=True))
        note = " Flag and environment only." if name == "data_dir" else ""
        lines.append(f"| `{name}` | `{default}` | {_facts(field).strip('()')} | {field.description}{note} |")
    lines += [
        "",
        "## Relations",
        "",
        "- `keep_alive_s` < `idle_timeout_s` / 2",
        "- `handshakes_per_ip_burst` >= `handshakes_per_ip_per_s`",
        "- `call_timeout_s` <= `call_timeout_max_s`",
        "- `handlers_per_peer_max` <= `handlers_max`",
        "",
        "`node.toml` as written by `kontinuum node init`:",
        "",
        "```toml",
        example_toml(cls).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _fields(cls: type[NodeConfig]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield what may stand in the file: all but the directory that holds it."""
    return ((name, field) for name, field in cls.model_fields.items() if name != "data_dir")


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {"group": "", "unit": ""}


def _facts(field: FieldInfo) -> str:
    """Return unit and bounds, such as ``(seconds, 5 to 3600)``."""
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    low = next((getattr(bounds[kind], kind.lower()) for kind in ("Ge", "Gt") if kind in bounds), None)
    high = next((getattr(bounds[kind], kind.lower()) for kind in ("Le", "Lt") if kind in bounds), None)
    unit = _extra(field)["unit"]
    if low is None and high is None:
        if "MaxLen" in bounds:
            return f"(at most {bounds['MaxLen'].max_length})"
        return f"({unit})" if unit else ""
    spread = f"{'above ' if 'Gt' in bounds else ''}{low:.12g} to {high:.12g}"
    return f"({unit}, {spread})" if unit else f"({spread})"


def _toml(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return (
                "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
                if value
                else "{}"
            )
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/configuration.md")
    target.write_text(markdown(), encoding="utf-8")
