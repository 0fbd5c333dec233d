"""Recipients and keys as the text that age's programs read and write.

Source:   C2SP age.md (the forms); the age program's key files: one key per line, ``#`` begins a comment.
Bounds:   BECH32_CHARS_MAX of a key; KEY_LINES_MAX lines of a key file.
Trust:    text is hostile, or a secret in the wrong place: no error shows any of it.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.errors import BadKeyTextError
from kontinuum.keys.envelope.hybrid import HybridKey, HybridRecipient
from kontinuum.keys.envelope.x25519 import X25519Key, X25519Recipient

KEY_LINES_MAX = 256
"""Lines of a key file, comments included. Our choice. More: refused."""

AgeRecipient = X25519Recipient | HybridRecipient
AgeKey = X25519Key | HybridKey

_FOREIGN = (
    ("ssh-", "an SSH key, which Kontinuum does not seal to"),
    ("age1tag", "a hardware key of age, which Kontinuum does not seal to"),
    ("age1", "a recipient of an age plugin, which Kontinuum does not have"),
    ("kontinuum:", "a contact, not a recipient"),
)


def parse_recipient(text: str) -> AgeRecipient:
    """Read ``age1...`` or ``age1pq1...``; white space around it is ignored.

    Raises:
        BadKeyTextError: It is neither; the message says what it looks like and shows nothing of it.
    """
    text = text.strip()
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise BadKeyTextError("this is a secret key where its public half belongs; do not show it to anybody")
    if text.startswith("age1pq1"):
        return HybridRecipient.parse(text)
    # A plugin's name ends at the last 1, and bech32 has no 1 after it.
    if text.startswith("age1") and text.count("1") == 1:
        return X25519Recipient.parse(text)
    for begin, meaning in _FOREIGN:
        if text.startswith(begin):
            raise BadKeyTextError(f"this is {meaning}")
    raise BadKeyTextError("this is no recipient: one begins with age1")


def parse_key(text: str) -> AgeKey:
    """Read ``AGE-SECRET-KEY-1...`` or ``AGE-SECRET-KEY-PQ-1...``; white space around it is ignored.

    Raises:
        BadKeyTextError: It is neither.
    """
    text = text.strip()
    if text.startswith("AGE-SECRET-KEY-PQ-1"):
        return HybridKey.parse(text)
    if text.startswith("AGE-SECRET-KEY-1"):
        return X25519Key.parse(text)
    if text.startswith("age1"):
        raise BadKeyTextError("this is a recipient, the public half, where the secret key belongs")
    if text.startswith("AGE-PLUGIN-"):
        raise BadKeyTextError("this is a key of an age plugin, which Kontinuum does not have")
    raise BadKeyTextError("this is no key: one begins with AGE-SECRET-KEY-1")


def parse_key_file(content: bytes) -> list[AgeKey]:
    """The keys of a key file, in their order, one at least.

    Raises:
        BadKeyTextError: A line is no key; the message says which.
    """
    lines = Secret(content).splitlines()
    if len(lines) > KEY_LINES_MAX:
        raise BadKeyTextError(f"a key file has at most {KEY_LINES_MAX} lines")
    keys: list[AgeKey] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            keys.append(parse_key(line.decode("ascii")))
        except BadKeyTextError as error:
            raise BadKeyTextError(f"line {number}: {error}") from None
        except UnicodeDecodeError:
            raise BadKeyTextError(f"line {number}: this is no key file") from None
    if not keys:
        raise BadKeyTextError("there is no key in this file")
    return keys


def encode_key_file(key: AgeKey, comment: str = "") -> Secret:
    """A key file that the age program reads; ``comment`` stands on its first line."""
    lines = [f"# {' '.join(comment.split())}"] if comment else []
    lines += [f"# public key: {key.recipient.to_text()}", ""]
    return Secret("\n".join(lines).encode() + key.to_text() + b"\n")
