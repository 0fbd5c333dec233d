"""What can go wrong when two people let their clusters meet."""

from __future__ import annotations

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError
from kontinuum.wire.errors import MalformedError


class MeetCodeError(MalformedError):
    """A text that is no code of a meeting; the message says what is wrong with it."""


class MistypedCodeError(MeetCodeError):
    """The code's checksum does not fit: a character is wrong, missing or in another place."""


class CodeExpiredError(UnavailableError):
    """The code is too old; the other side shows a new one."""


class OwnClusterError(MisuseError):
    """Both are nodes of one cluster: they recognise each other without meeting."""


class InvitationOpenError(MisuseError):
    """A code is being shown already; one at a time."""


class NoInvitationError(UnavailableError):
    """The other side waits for nobody with this code: it was used, cancelled, is too old or not its own."""


class MeetingRefusedError(PeerError):
    """The other side, which shows the code, did not accept what we showed; the message says why."""


class FalseAnswerError(PeerError):
    """What answered does not know the code's secret, or is not the cluster that the code names."""
