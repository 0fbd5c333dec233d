"""What can go wrong while a file travels, by who must act.

Trust: texts never contain a path of this machine that the other side could see; codes travel, texts do not.
"""

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError


class BadFileNameError(PeerError):
    """A peer offered a name that must not become a file here.

    Attributes:
        reason: which rule the name breaks, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"file name refused: {reason}")
        self.reason = reason


class TransferProtocolError(PeerError):
    """The peer broke ``kontinuum/file/1``; the session is over, other sessions are not touched.

    Attributes:
        reason: the rule that was broken, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"file transfer: {reason}")
        self.reason = reason


class TransferInterruptedError(UnavailableError):
    """The stream ended or stood still before the session was complete; a new session resumes it.

    Attributes:
        reason: what happened, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"file transfer interrupted: {reason}")
        self.reason = reason


class SourceFileError(MisuseError):
    """A file that we were asked to send cannot be sent.

    Attributes:
        path: the file as our caller named it.
        reason: why not, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class TargetDirectoryError(MisuseError):
    """The directory that is to receive files cannot be used.

    Attributes:
        path: the directory as our caller named it.
        reason: why not, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
