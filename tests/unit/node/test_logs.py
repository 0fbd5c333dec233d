"""Logs: readable by people or machines, quiet where asked, free of secrets and of forged lines."""

# ruff: noqa: G004, TRY301 -- the test logs in every bad manner

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity.key_file import encode_plain
from kontinuum.identity.keys import KeyPair
from kontinuum.node import logs

KEY = KeyPair.from_seed(bytes(range(32)))
SEED_FORMS = [
    KEY.seed.hex(),
    repr(bytes(KEY.seed)),
    repr(bytes(KEY.seed))[2:-1],
    encode_plain(KEY).decode().splitlines()[1],
]
"""The ways in which the seed could be printed."""

HUNTER = "hunter2"
"""A passphrase; tracebacks quote source lines, so that those must name it, not say it."""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def the_logging_of_before():
    """Logging is global; every test leaves it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs._set_levels("notset", {})
    structlog.reset_defaults()


def written(write, *, stream=None, **settings):
    """What ``write`` makes the logs say."""
    stream = stream or io.StringIO()
    logs.configure(stream=stream, **settings)
    write()
    return stream.getvalue()


def line(write, **settings):
    """The one JSON line that ``write`` makes."""
    return json.loads(written(write, log_format="json", **settings))


def test_a_line_has_time_level_room_and_fields():
    """One JSON object per event."""
    entry = line(lambda: logs.logger("rpc").info("call refused", peer=KEY.peer_id, code=7))

    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "call refused",
        "level": "info",
        "room": "rpc",
        "peer": KEY.peer_id.hex(),
        "code": 7,
    }


def test_the_standard_library_comes_out_alike():
    """Rooms may log without structlog, with arguments and extra fields."""
    log = logging.getLogger("kontinuum.transport.endpoint")
    entry = line(lambda: log.info("lost %s after %d s", KEY.peer_id, 3, extra={"path": "direct"}))

    assert entry["event"] == f"lost {KEY.peer_id} after 3 s"
    assert (entry["room"], entry["path"]) == ("transport.endpoint", "direct")


def test_rooms_have_their_own_levels():
    """A room can say more, or less, than the others; a second call forgets the first."""

    def speak():
        for room in ("rpc", "rpc.session", "transport", "node"):
            logging.getLogger(f"kontinuum.{room}").info(room)
            logs.logger(room).debug(f"{room}-debug")

    levels = {"rpc": "debug", "transport": "error"}
    said = [
        json.loads(each)["event"] for each in written(speak, log_format="json", levels=levels).splitlines()
    ]
    assert said == ["rpc", "rpc-debug", "rpc.session", "rpc.session-debug", "node"]

    said = [json.loads(each)["event"] for each in written(speak, log_format="json").splitlines()]
    assert said == ["rpc", "rpc.session", "transport", "node"]


def test_structlogs_own_loggers_are_the_rooms():
    """A room that asks structlog for its name obeys the room's level, in a logger made before or after."""
    early = structlog.get_logger("rpc")

    def speak():
        early.debug("early", n=1)
        structlog.get_logger("rpc").debug("late")
        structlog.get_logger("transport").debug("silent")

    said = [
        json.loads(each) for each in written(speak, log_format="json", levels={"rpc": "debug"}).splitlines()
    ]
    assert [(each["event"], each["room"]) for each in said] == [("early", "rpc"), ("late", "rpc")]


def test_an_exception_given_as_a_value_is_written_with_its_traceback():
    """Tasks' exceptions are logged after the fact."""
    try:
        raise ValueError("the reason")
    except ValueError as error:
        failure = error

    assert "the reason" in line(lambda: logs.logger("rpc").error("failed", exc_info=failure))["exception"]


def test_other_libraries_are_heard_from_warning_on():
    """asyncio's and zeroconf's warnings are not lost, their chatter is."""
    log = logging.getLogger("somebody.else")

    assert written(lambda: log.info("chatter")) == ""
    assert "danger" in written(lambda: log.warning("danger"))


@pytest.mark.parametrize(
    ("stream", "log_format", "is_json"),
    [
        (io.StringIO, "auto", True),
        (Terminal, "auto", False),
        (Terminal, "json", True),
        (io.StringIO, "human", False),
    ],
)
def test_people_on_a_terminal_read_text_and_programs_json(stream, log_format, is_json):
    """``auto`` looks at the stream; the other two are obeyed."""
    text = written(lambda: logs.logger("node").warning("hello"), stream=stream(), log_format=log_format)

    assert text.startswith("{") == is_json


@pytest.mark.parametrize(
    ("variables", "colors"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_no_color_is_respected(monkeypatch, variables, colors):
    """no-color.org: a variable that is set and not empty."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert ("\x1b[" in written(lambda: logs.logger("node").warning("hello"), stream=Terminal())) == colors


def leaks():
    """Every way to log a secret that we could think of."""
    log = logs.logger("node")
    plain = logging.getLogger("kontinuum.identity")
    log.info("a", key_pair=KEY, key=KEY, seed=KEY.seed, data=bytes(KEY.seed), array=bytearray(KEY.seed))
    log.info("b", nested={"deep": [KEY.seed, {"passphrase": "hunter2", "x": (bytes(KEY.seed),)}]})
    log.info(
        "c", passphrase="hunter2", password="hunter2", token="hunter2", apiKey="hunter2", pin_secret="hunter2"
    )
    log.info(
        "d",
        config={"KONTINUUM_PASSPHRASE": "hunter2", "authorization": ["hunter2"], "secret": {"a": "hunter2"}},
    )
    log.info(encode_plain(KEY).decode(), pem=encode_plain(KEY).decode())
    log.info(f"e {KEY} {KEY.seed} {KEY!r} {KEY.seed!r}")
    plain.warning("f %s %r %s %r", KEY, KEY, KEY.seed, KEY.seed)
    plain.warning("g %s %s", bytes(KEY.seed), [bytes(KEY.seed)])
    plain.warning("h %(seed)s %(password)s", {"seed": bytes(KEY.seed), "password": "hunter2"})
    plain.warning(
        "i", extra={"seed_hex": KEY.seed.hex(), "passphrase": "hunter2", "raw": memoryview(KEY.seed)}
    )

    def fail(secret_seed, passphrase):
        local = bytes(secret_seed)
        raise ValueError(encode_plain(KEY).decode(), len(local), len(passphrase))

    try:
        fail(KEY.seed, HUNTER)
    except ValueError:
        log.exception("j", passphrase=HUNTER)
        plain.exception("k")


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_no_secret_ever_appears(log_format):
    """Seeds, key pairs, passphrases and PEM keys are in no form, field, argument or traceback (attack 36)."""
    text = written(leaks, log_format=log_format, level="debug")

    assert "ValueError" in text
    for form in [*SEED_FORMS, "hunter2"]:
        assert form not in text, form
    assert logs.REDACTED in text


def test_a_passphrase_in_a_local_variable_is_not_in_a_traceback_for_people():
    """The pretty tracebacks that show local variables are not used, even where rich is installed."""

    def fail():
        word = HUNTER
        try:
            raise RuntimeError(len(word))
        except RuntimeError:
            logs.logger("node").exception("failed")

    text = written(fail, stream=Terminal())
    assert "RuntimeError" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "name", ["keylog_path", "public_key", "key", "passed", "bypass", "tokenizer", "compass"]
)
def test_harmless_names_are_not_redacted(name):
    """Redaction follows whole words, so that logs stay useful."""
    assert line(lambda: logs.logger("node").info("x", **{name: "visible"}))[name] == "visible"


HOSTILE = '\x1b[2J\x1b]0;owned\x07line\r\n{"level":"info"} \u202eevil\u2028next\x00\x9b31m'


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_peers_text_cannot_forge_a_line_or_drive_the_terminal(log_format):
    """Control characters are escaped in events, fields, names of nested fields and arguments."""

    def speak():
        logs.logger("rpc").info(HOSTILE, text=HOSTILE, nested={HOSTILE: [HOSTILE]})

    text = written(speak, log_format=log_format)
    assert len(text.splitlines()) == 1
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in text.rstrip("\n"))
    assert "\u202e" not in text


def test_a_peers_text_in_an_exception_cannot_drive_the_terminal():
    """Tracebacks keep their lines, and nothing else that a terminal obeys."""

    def fail():
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("kontinuum.rpc").exception("failed")

    text = written(fail, log_format="human")
    assert "Traceback" in text
    assert not any(letter in text for letter in "\x1b\x07\x00\x9b\u202e")


def test_long_and_deep_fields_are_cut():
    """A peer cannot fill the disk with one line."""
    deep = []
    for _ in range(1000):
        deep = [deep]
    entry = line(
        lambda: logs.logger("rpc").info(
            "x", text="a" * 10**6, deep=deep, many=list(range(10**5)), wide={n: n for n in range(10**4)}
        )
    )

    assert entry["text"] == "a" * logs.TEXT_CHARS_MAX + f"... {10**6 - logs.TEXT_CHARS_MAX} more characters"
    assert len(entry["many"]) == logs.ITEMS_MAX + 1
    assert len(entry["wide"]) == logs.ITEMS_MAX + 1
    assert len(json.dumps(entry)) < 3 * logs.TEXT_CHARS_MAX


@given(st.dictionaries(st.text(max_size=8), st.text() | st.binary() | st.floats() | st.lists(st.text())))
def test_any_field_becomes_one_line_of_json(fields):
    """Whatever the fields hold, the line can be read back."""
    json.loads(json.dumps(logs.redact(None, "info", dict(fields)), default=str))


def test_fresh_secrets_do_not_appear_either():
    """The same for a random key, so that the test does not depend on one seed."""
    key = KeyPair.generate(SystemEntropy())
    text = written(lambda: logs.logger("node").info("x", k=key, s=[key.seed], d={"a": bytes(key.seed)}))

    assert key.seed.hex() not in text
    assert repr(bytes(key.seed))[2:-1] not in text
