"""What our own program can do wrong when it publishes."""

from kontinuum.base.errors import MisuseError


class NotPublishedError(MisuseError):
    """A message cannot be sent, and was not: it is too large, for instance. The message says why."""
