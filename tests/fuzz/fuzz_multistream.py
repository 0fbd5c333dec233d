"""Any bytes end in a protocol with what follows it, in waiting or in a PeerError, alike in any pieces."""

from kontinuum.base import PeerError
from kontinuum.libp2p.multistream import HEADER_LINE, REFUSAL_LINE, Dialler, Listener, line

PING, PUSH = "/ipfs/ping/1.0.0", "/ipfs/id/push/1.0.0"
SEEDS = [
    HEADER_LINE + line(PING) + b"payload",
    HEADER_LINE + REFUSAL_LINE + line(PUSH) + b"reply",
    HEADER_LINE + line("ls") + line("/nope") + line(PUSH),
]


def outcome(machine: Listener | Dialler, pieces: list[bytes]) -> object:
    """Where a machine ends, and what it has sent and handed on."""
    sent = rest = b""
    try:
        for piece in pieces:
            if machine.protocol is not None:
                rest += piece
                continue
            sent += machine.receive(piece)
            if machine.protocol is not None:
                rest = machine.rest()
    except PeerError as error:
        assert machine.protocol is None
        return type(error)
    return machine.protocol, sent, rest


def fuzz(data: bytes) -> None:
    """One input to both sides: whole, byte by byte, and cut at the place that its first byte says."""
    cut = data[0] if data else 0
    for make in (lambda: Listener([PING, PUSH]), lambda: Dialler([PING, PUSH], b"first")):
        whole = outcome(make(), [data])
        assert outcome(make(), [data[:cut], data[cut:]]) == whole
        assert outcome(make(), [data[index : index + 1] for index in range(len(data))]) == whole
