"""Rooms log through the standard library, with fields, and say nothing unasked."""

import io
import json
import logging
import subprocess
import sys

import pytest

from kontinuum.base.log import RoomLogger
from kontinuum.node import logs


def test_fields_become_attributes_of_the_record(caplog):
    """
    Any handler of the standard library sees the event and its fields.
    """
    with caplog.at_level(logging.INFO, logger="kontinuum.rpc"):
        RoomLogger("rpc").info("a call was refused", peer="3f9a")

    (record,) = caplog.records
    assert (record.name, record.message, record.peer) == ("kontinuum.rpc", "a call was refused", "3f9a")


def test_a_level_that_is_off_is_off(caplog):
    """
    Below the level nothing is made of the event.
    """
    with caplog.at_level(logging.WARNING, logger="kontinuum.rpc"):
        RoomLogger("rpc").debug("never seen")
        RoomLogger("rpc").info("never seen")

    assert caplog.records == []


@pytest.fixture
def _as_before():
    """Whatever the test configures is undone."""
    root = logging.getLogger()
    handlers, level, ours = root.handlers[:], root.level, logging.getLogger("kontinuum").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("kontinuum").setLevel(ours)


@pytest.mark.usefixtures("_as_before")
def test_a_node_makes_lines_with_fields_of_them():
    """
    With the node's configuration the room, the fields and the exception are in the line, secrets are not.
    """
    stream = io.StringIO()
    logs.configure(log_format="json", stream=stream)

    RoomLogger("rpc").error("a handler failed", exc_info=ValueError("so"), peer="3f9a", passphrase="hunter2")

    line = json.loads(stream.getvalue())
    assert (line["event"], line["room"], line["peer"]) == ("a handler failed", "rpc", "3f9a")
    assert "ValueError: so" in line["exception"]
    assert "hunter2" not in stream.getvalue()


def test_a_percent_sign_is_a_percent_sign(caplog):
    """
    The event is no format: what a peer wrote cannot make logging fail.
    """
    RoomLogger("rpc").warning("100 %s %d")

    assert caplog.messages == ["100 %s %d"]


def test_a_field_may_have_any_name(caplog):
    """
    A field named like an attribute of the record is kept under another name instead of raising.
    """
    RoomLogger("rpc").warning("named", name="x", message="y", args="z")

    (record,) = caplog.records
    assert (record.name, record.name_, record.message_, record.args_) == ("kontinuum.rpc", "x", "y", "z")


def test_a_program_that_configures_nothing_reads_nothing():
    """
    A library leaves standard output and standard error to the program.
    """
    program = (
        "from kontinuum.base.log import RoomLogger\n"
        "log = RoomLogger('rpc')\n"
        "log.info('quiet'); log.error('quiet too', peer='3f9a')\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (run.stdout, run.stderr) == ("", "")
