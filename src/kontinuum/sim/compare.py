"""What differs between two runs: settings and figures, by how much, and whether for the better.

Source:  everything but the time and memory of the machine follows from scenario and seed, so every other
         difference is one of the code or of the settings, never of chance alone.
Bounds:  as many rows as the two results have figures.
Trust:   a result file comes from whoever runs the simulator; what is no result is refused.
Pure:    no I/O, clock or randomness.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kontinuum.base.errors import MisuseError
from kontinuum.sim.report.figures import Better, Figure, flat, settings

NOISE_SHARE = 0.05
"""Relative change of time and memory below which two runs count as equal. Our choice: what we see between
runs of one seed on an idle machine."""


class NoResultError(MisuseError):
    """A file is not the result of a run.

    Args:
        source: the file.
        problem: what is wrong with it.
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source} is not the result of a simulation: {problem}")
        self.source = source
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that differs; ``None`` where one side does not have it."""

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A figure that differs; ``None`` where one side does not have it."""

    name: str
    a: float | None
    b: float | None
    difference: float | None
    """``b`` less ``a``."""
    change: float | None
    """The difference as a share of ``a``; ``None`` if that was 0."""
    better: bool | None
    """Whether ``b`` is better; ``None`` where neither way is, or the change is noise of the machine."""

    def figure(self, value: float) -> Figure:
        """Return ``value`` as a figure of this name."""
        return Figure(self.name, value)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side."""

    a: dict[str, Any]
    """Scenario, seed, nodes and digest of the first."""
    b: dict[str, Any]
    same: bool
    """The event logs are equal, byte for byte."""
    better: int
    """Figures that are better in the second."""
    worse: int
    settings: list[Setting]
    figures: list[Change]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, the names as here."""
        return asdict(self)


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    """Compare two results (the JSON that a run wrote)."""
    settings_a, settings_b = settings(a), settings(b)
    changed = [
        Setting(name, settings_a.get(name), settings_b.get(name))
        for name in {**settings_a, **settings_b}
        if settings_a.get(name) != settings_b.get(name)
    ]
    figures_a, figures_b = flat(a), flat(b)
    for name in {**figures_a, **figures_b}:
        if name.startswith("counters."):  # What did not happen is not counted.
            figures_a.setdefault(name, Figure(name, 0.0))
            figures_b.setdefault(name, Figure(name, 0.0))
    changes = [
        _change(name, figures_a.get(name), figures_b.get(name))
        for name in {**figures_a, **figures_b}
        if _value(figures_a.get(name)) != _value(figures_b.get(name))
    ]
    return Comparison(
        a=_head(a),
        b=_head(b),
        same=a["digest"] == b["digest"],
        better=sum(change.better is True for change in changes),
        worse=sum(change.better is False for change in changes),
        settings=changed,
        figures=changes,
    )


def checked(result: object, source: str) -> Mapping[str, Any]:
    """Return ``result`` if it is one.

    Raises:
        NoResultError: It is not.
    """
    if not isinstance(result, Mapping):
        raise NoResultError(source, "no JSON object")
    for name, kind in (("digest", str), ("scenario", str), ("seed", int), ("nodes", int), ("settings", dict)):
        if not isinstance(result.get(name), kind):
            raise NoResultError(source, f"{name!r} is missing")
    return result


def _head(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("scenario", "seed", "nodes", "digest")}


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def _change(name: str, a: Figure | None, b: Figure | None) -> Change:
    if a is None or b is None:
        return Change(name, _value(a), _value(b), difference=None, change=None, better=None)
    difference = b.value - a.value
    share = difference / a.value if a.value else None
    judged = a.better is not Better.NEITHER and not (
        a.noisy and share is not None and abs(share) < NOISE_SHARE
    )
    better = (difference > 0) == (a.better is Better.MORE) if judged else None
    return Change(name, a.value, b.value, difference, share, better)
