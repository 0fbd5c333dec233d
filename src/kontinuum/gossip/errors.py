"""What our own program can do wrong with the gossip router."""

from kontinuum.base.errors import MisuseError


class BadTopicError(MisuseError):
    """The text cannot be a topic; the message says what one is."""


class TooManyTopicsError(MisuseError):
    """The node is in as many topics as it may be."""


class BadParamsError(MisuseError):
    """Settings of a router that are out of range or contradict each other."""
