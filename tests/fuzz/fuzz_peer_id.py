"""Any bytes or text are an identity that both text forms give back, or a BadIdentityError; nothing else."""

import os
import sys
from pathlib import Path

from kontinuum.identity import BadIdentityError, PeerId

SEEDS = [
    b"12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
    b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    b"QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    b"bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
]


def fuzz(data: bytes) -> None:
    """One input, as bytes and as text."""
    for make in (PeerId, lambda data: PeerId.parse(data.decode(errors="replace"))):
        try:
            peer_id = make(data)
        except BadIdentityError:
            continue
        assert len(peer_id) == 32
        assert PeerId.parse(str(peer_id)) == PeerId.parse(peer_id.libp2p) == peer_id


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable, [sys.executable, str(Path(__file__).with_name("run.py")), "peer_id", *sys.argv[1:]]
    )
