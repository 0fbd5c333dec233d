"""What a caller can do wrong with scores."""

from kontinuum.base.errors import MisuseError


class ScoreParameterError(MisuseError):
    """A parameter of the score, or two of them together, would make it unsafe or meaningless.

    Args:
        name: The parameter.
        value: What it was set to.
        rule: What it must be, as the end of a sentence that begins with the name.
    """

    def __init__(self, name: str, value: object, rule: str) -> None:
        super().__init__(f"{name} is {value!r}, but {rule}")
        self.name = name
        self.value = value
        self.rule = rule


class ScoreEventError(MisuseError):
    """Something was reported of a peer that cannot be counted: a negative number, or none at all.

    Args:
        what: What was reported.
        value: The number.
    """

    def __init__(self, what: str, value: float) -> None:
        super().__init__(f"{what} cannot be {value!r}")
        self.what = what
        self.value = value


class TooManyApplicationScoresError(MisuseError):
    """The application rates more peers than the table holds; it must first set some back to 0.

    Args:
        scores_max: How many it holds.
    """

    def __init__(self, scores_max: int) -> None:
        super().__init__(f"the application rates {scores_max} peers already; set some back to 0 first")
        self.scores_max = scores_max
