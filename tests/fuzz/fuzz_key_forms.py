"""Any bytes are a genesis, order, secret or heads of exactly that form, or a PeerError; any text a name."""

import contextlib
import json
import os
import sys
from pathlib import Path

from kontinuum.base import PeerError, UnavailableError
from kontinuum.keys.bundles import decode_heads, encode_heads
from kontinuum.keys.chain import Chain
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.orders import Obedience, Order
from kontinuum.keys.paths import KeyName, Place
from kontinuum.keys.paths import Path as KeyPath
from kontinuum.keys.secret_forms import (
    decode_branch_secret,
    decode_epoch_secret,
    encode_branch_secret,
    encode_epoch_secret,
)
from kontinuum.keys.statements import Statement

ROWS = json.loads((Path(__file__).parents[1] / "vectors" / "key_statements.json").read_text(encoding="utf-8"))
SEEDS = [bytes.fromhex(row["encoded"]) for row in ROWS if row["format"] not in {"statement", "bundle"}]
SEEDS += [b"/", b"/3/1", b"/3.0/1.2", b"/3.0/1.2@7:signing"]
CHAIN = Chain(Genesis.decode(bytes.fromhex(ROWS[0]["encoded"])))
CHAIN.merge(Statement.decode(bytes.fromhex(row["encoded"])) for row in ROWS if row["format"] == "statement")


def fuzz(data: bytes) -> None:
    """One input, as each of the forms."""
    take(Genesis.decode, data, Genesis.encode)
    take(decode_heads, data, encode_heads)
    take(decode_branch_secret, data, encode_branch_secret)
    take(decode_epoch_secret, data, encode_epoch_secret)
    order = take(Order.decode, data, Order.encode)
    if isinstance(order, Order):
        with contextlib.suppress(PeerError, UnavailableError):
            Obedience(order.target).verify(order, CHAIN)
    text = data.decode(errors="replace")
    for kind in (Place, KeyPath, KeyName):
        take(kind.parse, text, str)


def take(read, given, write):
    """Read, and write back what was read."""
    try:
        value = read(given)
    except PeerError:
        return None
    assert write(value) == given
    return value


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable,
        [sys.executable, str(Path(__file__).with_name("run.py")), "key_forms", *sys.argv[1:]],
    )
