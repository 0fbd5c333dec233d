"""Any bytes are a value whose only encoding they are, or a MalformedError; nothing else."""

import os
import sys
from pathlib import Path

from kontinuum.wire import MalformedError, decode_cbor, encode_cbor

SEEDS = [
    bytes.fromhex(text)
    for text in (
        "a50a001864002000617a0062616100",
        "83f5f4f6",
        "f97e00",
        "fb3ff199999999999a",
        "8201820203",
        "1bffffffffffffffff",
    )
]


def fuzz(data: bytes) -> None:
    """One input, with and without floats."""
    for floats in (False, True):
        try:
            value = decode_cbor(data, floats=floats)
        except MalformedError:
            continue
        assert encode_cbor(value, floats=floats) == data


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606
        sys.executable,
        [sys.executable, str(Path(__file__).with_name("run.py")), "cbor", *sys.argv[1:]],
    )
