"""Any line on the control socket is a JSON object or a ValueError; what is read can be written again."""

import json
import math

from kontinuum.node.control import decode_line, encode_line

SEEDS = [
    b'{"id":1,"method":"status","params":{}}\n',
    b'{"id":"x","method":"call","params":{"peer":"3f9a","protocol":"demo/greet","data":"AA=="}}\n',
    b'{"id":2,"method":"cancel","params":{"id":1}}\n',
]


def fuzz(data: bytes) -> None:
    """One input, read and written back."""
    try:
        message = decode_line(data)
    except ValueError:
        return
    if finite(message):
        assert decode_line(encode_line(message)) == json.loads(json.dumps(message))


def finite(value: object) -> bool:
    """Python reads NaN and Infinity, which are no JSON; an answer never contains what a request brought."""
    if isinstance(value, dict):
        return all(finite(each) for each in value.values())
    if isinstance(value, list):
        return all(finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)
