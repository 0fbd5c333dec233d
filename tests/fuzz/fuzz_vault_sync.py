"""Any bytes of another vault are a message or a SyncProtocolError; a complete object is all there."""

from contextlib import suppress

from kontinuum.vault import Index, ObjectId
from kontinuum.vault.errors import SyncProtocolError, SyncRefusedError
from kontinuum.vault.messages import Gone, Object, Page, decode_answer, decode_request, encode
from kontinuum.vault.pulling import Begin, Complete, Done, Pull, Write

ONE, TWO = ObjectId(b"1" * 32), ObjectId(b"2" * 32)
PAGE = encode(Page(((ONE, 3), (TWO, 2)), more=False))
SEEDS = [
    b"".join(
        bytes([len(message)]) + message for message in (PAGE, encode(Object(3)), b"abc", encode(Gone()))
    ),
    b"".join(bytes([len(message)]) + message for message in (encode(Page(((ONE, 1),), more=True)), PAGE)),
    bytes([1, 0x81, 3, 0x82, 0, 0xF6]),
]


def fuzz(data: bytes) -> None:
    """One input: messages with their lengths in front, to a pull; and each as a request."""
    machine = Pull(Index())
    machine.start()
    coming = left = 0
    while data:
        message, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        with suppress(SyncProtocolError, SyncRefusedError):
            decode_request(message)
        with suppress(SyncProtocolError):
            if decode_answer(encode(decode_answer(message))) != decode_answer(message):
                raise AssertionError("an answer that is written in two ways")
        try:
            effects = machine.handle(message)
        except (SyncProtocolError, SyncRefusedError):
            return
        for effect in effects:
            match effect:
                case Begin(size_bytes=size):
                    coming, left = coming + 1, size
                case Write(piece=piece):
                    left -= len(piece)
                case Complete():
                    if left or not coming:
                        raise AssertionError("an object that is complete and not all there")
                case Done():
                    return
