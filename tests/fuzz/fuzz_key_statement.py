"""Any bytes are a statement of exactly that form, which a chain takes or refuses, or a PeerError."""

import contextlib
import json
import os
import sys
from pathlib import Path

from kontinuum.base import PeerError, UnavailableError
from kontinuum.identity import KeyPair
from kontinuum.keys.bundles import decode_bundle, encode_bundle
from kontinuum.keys.chain import Chain
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.standing import Standing
from kontinuum.keys.statements import Statement
from kontinuum.wire import decode_cbor, encode_cbor

ROWS = json.loads((Path(__file__).parents[1] / "vectors" / "key_statements.json").read_text(encoding="utf-8"))
SEEDS = [bytes.fromhex(row["encoded"]) for row in ROWS if row["format"] == "statement"]
GENESIS = Genesis.decode(bytes.fromhex(ROWS[0]["encoded"]))
ROOT = KeyPair.from_seed(bytes.fromhex(ROWS[0]["signer"]))
GOLDEN = [Statement.decode(data) for data in SEEDS]
OPEN = [statement for statement in GOLDEN if statement.body != GOLDEN[-1].body]
"""All of them but the transition, which closes the chain."""


def fuzz(data: bytes) -> None:
    """One input, as a statement and as a bundle, and signed again, so that the rules behind are reached."""
    with contextlib.suppress(PeerError):
        assert encode_bundle(decode_bundle(data)) == data
    try:
        statement = Statement.decode(data)
    except PeerError:
        return
    assert statement.encode() == data
    offer(statement)
    fields = decode_cbor(data)
    assert isinstance(fields, dict)
    fields[3] = GENESIS.cluster
    del fields[9]
    if fields.get(4) != 0:
        fields[4], fields[5] = 0, []
    if 8 in fields and isinstance(fields[7], dict) and 1 in fields[7]:
        fields[7][1] = bytes(ROOT.peer_id)
        fields.pop(8)
        fields[8] = ROOT.sign("key-proof", encode_cbor(fields))
    fields[9] = ROOT.sign("key-statement", encode_cbor(fields))
    try:
        offer(Statement.decode(encode_cbor(fields)))
    except PeerError:
        return


def offer(statement: Statement) -> None:
    """Let chains judge it, an empty one and one with the golden ones; whatever it is, they have answers."""
    for chain in CHAINS:
        try:
            chain.add(statement)
        except (PeerError, UnavailableError):
            continue
        standing = Standing(chain)
        assert len(standing.speakers()) <= len(standing.places())
    if max(map(len, CHAINS)) > STATEMENTS_MAX:
        CHAINS[:] = chains()


def chains() -> list[Chain]:
    """The two, as they are at the beginning."""
    full = Chain(GENESIS)
    full.merge(OPEN)
    return [Chain(GENESIS), full]


STATEMENTS_MAX = 200
"""What the chains take in before they begin anew."""

CHAINS = chains()


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable,
        [sys.executable, str(Path(__file__).with_name("run.py")), "key_statement", *sys.argv[1:]],
    )
