"""Any text is a code or a PeerError, any bytes are a message of a meeting or one; a host answers all."""

import base64
import contextlib
import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # Beside the tests, and alone under the fuzzer.

from helpers.meetings import EXPORTER, HERE, alice, bob
from kontinuum.base import PeerError
from kontinuum.clusters.meeting.code import CODE_TEXT_BYTES_MAX, PREFIX, MeetCode
from kontinuum.clusters.meeting.messages import Introduction, Sealed, decode_answer, decode_request
from kontinuum.clusters.meeting.words import Meeting

ALICE, BOB = alice(), bob()
CODE = ALICE.invite(HERE)
MEETING = Meeting(CODE, EXPORTER, BOB.key)
REQUEST = BOB.guest(CODE).request(EXPORTER)
SEEDS = [
    CODE.text().encode(),
    CODE.payload(),
    REQUEST,
    decode_request(REQUEST).body,
    ALICE.hear(REQUEST, BOB.key).data,
    bytes([0x82, 1, 2]),
]


def fuzz(data: bytes) -> None:
    """One input: as a text, as a payload with its checksum, as a message, as a body with its MAC."""
    checksum = hashlib.sha256(b"kontinuum/meet-code/v1\0" + data).digest()[:4]
    for text in (
        data.decode("utf-8", "replace"),
        PREFIX + base64.b32encode(data + checksum).decode().rstrip("="),
    ):
        with contextlib.suppress(PeerError):
            code = MeetCode.parse(text)
            assert len(code.text()) <= CODE_TEXT_BYTES_MAX
            assert MeetCode.parse(code.text()) == code
    for decode in (decode_request, decode_answer):
        with contextlib.suppress(PeerError):
            decode(data)
    with contextlib.suppress(PeerError):
        assert Introduction.decode(data).encode() == data
    offer(data)
    offer(Sealed(data, MEETING.guest_mac(data)).encode())


def offer(request: bytes) -> None:
    """A host answers something, whatever comes; who knows the secret and shows garbage is not met."""
    ALICE.host.cancel()
    ALICE.chance.next = 1  # The same code each time, so that MEETING's MACs fit.
    ALICE.invite(HERE)
    answer = ALICE.hear(request, BOB.key)
    decode_answer(answer.data)
    assert answer.met is None or answer.met.key == BOB.key


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable,
        [sys.executable, str(Path(__file__).with_name("run.py")), "meeting_code", *sys.argv[1:]],
    )
