"""Tables of a TOML file as frozen dataclasses: every key one field, whose metadata says what it may be.

Bounds: the range of each number stands at its field.
Trust:  the file is written by whoever runs the simulator; what is wrong names its place.
Pure:   no I/O, clock or randomness.
"""

import dataclasses
import types
import typing
from dataclasses import field
from typing import Any, TypeVar

from kontinuum.sim.errors import ScenarioError

T = TypeVar("T")


def number(default: float, minimum: float, maximum: float) -> Any:
    """A field that is a number in a range."""
    return field(default=default, metadata={"minimum": minimum, "maximum": maximum})


def one_of(default: str, *choices: str) -> Any:
    """A field that is one of some words."""
    return field(default=default, metadata={"choices": choices})


def read_table(cls: type[T], data: Any, path: str = "") -> T:
    """Check a table, and the tables in it.

    Args:
        cls: The dataclass.
        data: What the file says.
        path: Where it stands, for errors.

    Raises:
        ScenarioError: A key is unknown or missing, or a value is wrong.
    """
    if not isinstance(data, dict):
        raise ScenarioError(path, "is a table")
    hints = typing.get_type_hints(cls)
    fields = {one.name: one for one in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        place = f"{path}.{key}" if path else key
        if key not in fields:
            raise ScenarioError(place, f"unknown; known here: {', '.join(fields)}")
        values[key] = _value(hints[key], value, place, fields[key].metadata)
    for name, one in fields.items():
        needed = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise ScenarioError(f"{path}.{name}" if path else name, "is missing")
    return cls(**values)


def _value(kind: Any, value: Any, place: str, limits: typing.Mapping[str, Any]) -> Any:
    if dataclasses.is_dataclass(kind):
        return read_table(typing.cast("type[Any]", kind), value, place)
    if isinstance(kind, types.GenericAlias):
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is tuple:
            if not isinstance(value, list | tuple):
                raise ScenarioError(place, "is a list")
            return tuple(_value(arguments[0], one, f"{place}[{i}]", {}) for i, one in enumerate(value))
        if not isinstance(value, dict):
            raise ScenarioError(place, "is a table of numbers")
        return {
            key: _value(arguments[1], one, f"{place}.{key}", {"minimum": 0}) for key, one in value.items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise ScenarioError(place, f"is {names[kind]}, not {value!r}")
    if "choices" in limits and value not in limits["choices"]:
        raise ScenarioError(place, f"is one of {', '.join(limits['choices'])}, not {value!r}")
    if "minimum" in limits and not limits["minimum"] <= value <= limits.get("maximum", float("inf")):
        raise ScenarioError(place, f"is {limits['minimum']} to {limits.get('maximum', 'any')}, not {value!r}")
    return value
