"""Any file content is a key pair or a KeyFileError, within bounds; no error shows the content."""

import base64
import json
import os
import sys
from pathlib import Path

from kontinuum.identity import KeyFileError, key_file
from kontinuum.identity.key_file import decode_key

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "key_files.json").read_text())
SEEDS = [row["content"].encode() for row in GOLDEN]
BODIES = [base64.b64decode("".join(content.decode().split("\n")[1:-2])) for content in SEEDS]
SEEDS += [b"\x00" + body for body in BODIES] + [b"\x01" + body for body in BODIES]

LABELS = ("PRIVATE KEY", "KONTINUUM ENCRYPTED KEY")


def cheap_stretch(passphrase, salt, cost):
    """Argon2's time is no subject of fuzzing: its parameters were checked when ``cost`` was made."""
    return key_file.Secret(key_file.blake3_256(repr((passphrase, salt, cost)).encode()))


key_file.stretch_passphrase = cheap_stretch


def fuzz(data: bytes) -> None:
    """One input: as the whole file; and, after its first byte, as the body of each PEM form."""
    take(data)
    if data[:1] in (b"\x00", b"\x01"):
        label = LABELS[data[0]].encode()
        body = base64.encodebytes(data[1:])
        take(b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, body, label))


def take(content: bytes) -> None:
    """Open with and without a passphrase."""
    for passphrase in (None, "sesame"):
        try:
            decode_key(content, passphrase)
        except KeyFileError as error:
            if "sesame" in str(error) or error.__cause__ is not None:
                raise AssertionError("an error shows too much") from None


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable, [sys.executable, str(Path(__file__).with_name("run.py")), "key_file", *sys.argv[1:]]
    )
