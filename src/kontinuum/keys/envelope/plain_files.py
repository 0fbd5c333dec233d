"""Open a plain age file into a file: what other programs sealed, in its binary or its text form.

Bounds:   ARMORED_BYTES_MAX of text; a binary file has no bound.
Trust:    nothing says who made it. The target appears when all of it was decrypted.
Not pure: blocking file work.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kontinuum.base.files import NewFile
from kontinuum.keys.envelope.age import open_age
from kontinuum.keys.envelope.armor import decode_armor, is_armored
from kontinuum.keys.envelope.errors import ArmorError
from kontinuum.keys.envelope.files import failing, file_runs, opened, verify_free
from kontinuum.keys.envelope.readers import DecryptionKey
from kontinuum.keys.envelope.writer import write_all

ARMORED_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of a file in its text form, which is read into memory. Our choice: text is for what is pasted.
Longer: refused."""


def open_age_file(keys: Sequence[DecryptionKey], source: Path, target: Path) -> int:
    """Open ``source`` into the new file ``target``; return the bytes of content.

    Raises:
        EnvelopeError: The leaf says what is wrong. There is no target.
        AlreadyExistsError, FileUnavailableError, NotAFileError: As ``files.open_file``.
    """
    verify_free(target)
    with opened(source, regular=True) as descriptor, NewFile(target.parent) as new:
        size = 0
        for piece in open_age(keys, _pieces(descriptor, source)):
            with failing(new.path, "write"):
                size = write_all(new.descriptor, [piece], size)
        new.commit(target)
    return size


def _pieces(descriptor: int, source: Path) -> Iterator[bytes]:
    """The file's bytes; of its text form, what that holds."""
    runs = map(bytes, file_runs(descriptor, source))
    first = next(runs, b"")
    if not is_armored(first):
        yield first
        yield from runs
        return
    text = bytearray(first)
    for run in runs:
        text += run
        if len(text) > ARMORED_BYTES_MAX:
            raise ArmorError(f"a sealed file in text form has at most {ARMORED_BYTES_MAX} bytes")
    yield decode_armor(bytes(text))
