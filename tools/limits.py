"""Write ``docs/limits.md``: every number that bounds something, with what the code says about it.

``python tools/limits.py`` writes the page; ``--check`` only says whether it is up to date (exit status 1 when
not). A limit is an UPPER_CASE number of a module: in Python with a docstring underneath, in Rust with a doc
comment above. Numbers written as arithmetic of other ones are worked out.
"""

from __future__ import annotations

import ast
import operator
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT = Path(__file__).parents[1]
Number = int | float

PAGE = ROOT / "docs" / "limits.md"
HEADER = """# Limits

Every queue, message, map and wait has a bound, and each bound is a named constant whose text says its unit,
where the number comes from and what happens there. This page is generated from those texts by `make docs`; a
test says when it is out of date. Settings that a person changes are in `kontinuum.node.config`.
"""

OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Limit:
    """One constant."""

    name: str
    value: Number
    text: str
    """The docstring as one paragraph; empty when the code has none."""


def evaluate(expression: str, known: Mapping[str, Number]) -> Number | None:
    """Work out arithmetic over numbers and ``known`` names; None for anything else."""
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body, known)
    except (SyntaxError, KeyError, TypeError, ArithmeticError):
        return None


def _value(node: ast.expr, known: Mapping[str, Number]) -> Number:
    match node:
        case ast.Constant(value=bool()):
            raise TypeError(node)
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return known[name]
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_value(left, known), _value(right, known))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, known)
    raise TypeError(node)


def python_limits(source: str, imported: Mapping[str, Number] | None = None) -> list[Limit]:
    """Return the UPPER_CASE numbers at the top level of a Python module, in its order.

    ``imported`` are numbers of other modules that the arithmetic may name.
    """
    body = ast.parse(source).body
    limits: list[Limit] = []
    known = dict(imported or {})
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as expression):
                pass
            case _:
                continue
        value = evaluate(ast.unparse(expression), known)
        if value is None or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            continue
        known[name] = value
        match after:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                limits.append(Limit(name, value, " ".join(text.split())))
            case _:
                limits.append(Limit(name, value, ""))
    return limits


RUST_CONSTANT = re.compile(
    r"(?P<text>(?:^[ \t]*///.*\n)*)"
    r"^(?:pub(?:\([a-z]+\))? )?const (?P<name>[A-Z][A-Z0-9_]*): [^=]+= (?P<value>[^;]+);",
    re.MULTILINE,
)
RUST_LINK = re.compile(r"\[(`[^`]+`)\](?:\([^)]*\))?")
RUST_DURATION = re.compile(r"Duration::from_(secs|millis|micros)\(([^()]+)\)")
SECONDS_OF = {"secs": 1, "millis": 1e-3, "micros": 1e-6}


def rust_limits(source: str, imported: Mapping[str, Number] | None = None) -> list[Limit]:
    """Return the numbers and durations among the constants of a Rust module, in its order."""
    limits: list[Limit] = []
    known = dict(imported or {})
    for match in RUST_CONSTANT.finditer(source):
        expression = match["value"].replace("\n", " ")
        duration = RUST_DURATION.fullmatch(expression.strip())
        if duration:
            count = evaluate(duration[2], known)
            value = None if count is None else count * SECONDS_OF[duration[1]]
        else:
            value = evaluate(re.sub(r" as \w+", "", expression).replace("/", "//"), known)
        if value is None:
            continue
        known[match["name"]] = value
        text = " ".join(line.strip().removeprefix("///").strip() for line in match["text"].splitlines())
        unit = " (seconds)" if duration else ""
        limits.append(Limit(match["name"], value, RUST_LINK.sub(r"\1", text) + unit if text else ""))
    return limits


def modules() -> Iterable[tuple[str, list[Limit]]]:
    """Yield each module that may have limits with its limits: Python first, then the native floor."""
    for folder, suffix, read in (("src", ".py", python_limits), ("native/src", ".rs", rust_limits)):
        sources = {
            path: path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*" + suffix))
        }
        # A first reading collects what modules import from each other.
        numbers = {limit.name: limit.value for source in sources.values() for limit in read(source)}
        for path, source in sources.items():
            if suffix == ".py":
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__"), read(source, numbers)
            else:
                yield str(path.relative_to(ROOT)), read(source, numbers)


def number(limit: Limit) -> str:
    """Return the value as people read it: 1,048,576; permission bits as 0600."""
    if limit.name.endswith("_MODE"):
        return f"{limit.value:04o}"
    return f"{limit.value:,}" if isinstance(limit.value, int) else f"{limit.value:,.6g}"


def escaped(text: str) -> str:
    """Return ``text`` for a cell of a Markdown table, with Sphinx roles and double backticks made plain."""
    return re.sub(r"(?::\w+:)?`+([^`]+)`+", r"`\1`", text).replace("|", "\\|")


def page() -> str:
    """Return the text of the page."""
    parts = [HEADER]
    for name, limits in modules():
        documented = [limit for limit in limits if limit.text]
        if documented:
            parts.append(f"\n## `{name}`\n\n| constant | value | what it bounds |\n|---|---:|---|\n")
            parts += [
                f"| `{limit.name}` | {number(limit)} | {escaped(limit.text)} |\n" for limit in documented
            ]
    return "".join(parts)


def main(arguments: list[str]) -> int:
    """Write or check the page; return the exit status."""
    text = page()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/limits.md is out of date: run make docs")
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
