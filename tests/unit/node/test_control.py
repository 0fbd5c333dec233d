"""The control socket: many requests at once, clients that vanish, nonsense lines, paths of any length."""

# ruff: noqa: ARG002 -- handlers have one signature, and their names say what they do

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kontinuum.base.errors import MisuseError, UnavailableError
from kontinuum.node import control, local_server, unix_socket
from kontinuum.node.control import LINE_BYTES_MAX, REQUESTS_MAX, ControlServer, decode_line, error_code
from kontinuum.node.control_client import ControlClient, ask
from kontinuum.node.errors import ControlError, ListenError, NotRunningError


class Handlers:
    """What the tests ask: an echo, a stream of events, and requests that wait or fail."""

    def __init__(self):
        self.waiting = 0
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.methods = {
            "echo": self.echo,
            "count": self.count,
            "wait": self.wait,
            "flood": self.flood,
            "misuse": self.misuse,
            "bug": self.bug,
            "no_json": self.no_json,
            "large": self.large,
        }

    async def echo(self, params, emit):
        return params

    async def count(self, params, emit):
        for number in range(params["to"]):
            await emit({"number": number})
        return {"counted": params["to"]}

    async def wait(self, params, emit):
        self.waiting += 1
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.waiting -= 1

    async def flood(self, params, emit):
        self.started.set()
        try:
            while True:
                await emit({"blob": "x" * 65536})
        finally:
            self.cancelled.set()

    async def misuse(self, params, emit):
        raise MisuseError("that file is no file")

    async def bug(self, params, emit):
        raise KeyError("the password is hunter2")

    async def no_json(self, params, emit):
        return {"object": object()}

    async def large(self, params, emit):
        return {"blob": "x" * LINE_BYTES_MAX}


@pytest.fixture
def handlers():
    """What can be asked."""
    return Handlers()


@pytest.fixture
async def server(tmp_path, handlers):
    """A control socket in use."""
    async with ControlServer(tmp_path / "control.sock", handlers.methods) as server:
        yield server


@pytest.fixture
async def client(server):
    """A client of it."""
    async with ControlClient(server.path) as client:
        yield client


@contextlib.asynccontextmanager
async def raw(path):
    """A client that sends whatever bytes it likes."""
    reader, writer = await asyncio.open_unix_connection(path, limit=2 * LINE_BYTES_MAX)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answer(reader):
    """The next line, decoded."""
    return json.loads(await asyncio.wait_for(reader.readline(), 5))


async def test_a_request_gets_its_result(client):
    """A method gets its params and its result comes back."""
    assert await client.request("echo", {"a": [1, "ü"]}) == {"a": [1, "ü"]}


async def test_events_come_in_order_and_before_the_result(client):
    """A streaming method sends events, then one result."""
    answers = [answer async for answer in client.stream("count", {"to": 3})]

    assert [{"event": {"number": n}} for n in range(3)] + [{"result": {"counted": 3}}] == answers


async def test_more_events_than_the_queue_holds_all_arrive(client):
    """A slow reader makes the node wait; nothing is dropped."""
    answers = [answer async for answer in client.stream("count", {"to": 2000})]

    assert list(range(2000)) == [answer["event"]["number"] for answer in answers[:-1]]


async def test_requests_of_one_client_run_side_by_side(client, handlers):
    """A request that waits does not hold up the next one."""
    waiting = asyncio.create_task(client.request("wait"))
    await handlers.started.wait()

    assert await client.request("echo", {"n": 1}) == {"n": 1}

    waiting.cancel()
    await asyncio.wait_for(handlers.cancelled.wait(), 5)


async def test_a_request_that_its_caller_cancels_ends_in_the_node(client, handlers):
    """Cancelling a request of a client that stays connected ends the handler."""
    waiting = asyncio.create_task(client.request("wait"))
    await handlers.started.wait()
    waiting.cancel()

    await asyncio.wait_for(handlers.cancelled.wait(), 5)
    assert await client.request("echo") == {}


async def test_a_request_that_is_cancelled_before_it_began_is_answered(server):
    """Begun and cancelled in one write: both are answered, and the id is free again."""
    async with raw(server.path) as (reader, writer):
        writer.write(
            b'{"id":1,"method":"wait"}\n{"id":2,"method":"cancel","params":{"id":1}}\n'
            b'{"id":3,"method":"echo"}\n'
        )
        answers = {line["id"]: line for line in [await answer(reader) for _ in range(3)]}
        assert answers[1]["error"]["code"] == "cancelled"
        assert answers[2]["result"] == {"cancelled": True}

        writer.write(b'{"id":1,"method":"echo"}\n')
        assert await answer(reader) == {"id": 1, "result": {}}


async def test_a_client_that_disappears_cancels_its_requests(server, handlers):
    """A command that is killed leaves nothing running in the node."""
    async with raw(server.path) as (_, writer):
        writer.write(b'{"id":1,"method":"wait"}\n{"id":2,"method":"wait"}\n')
        await handlers.started.wait()

    await asyncio.wait_for(handlers.cancelled.wait(), 5)
    async with asyncio.timeout(5):
        while handlers.waiting:  # noqa: ASYNC110 -- the second request has no event of its own
            await asyncio.sleep(0)


async def test_a_client_that_never_reads_loses_its_connection(server, handlers, monkeypatch):
    """A client that leaves its events unread is dropped after a while; others are served."""
    monkeypatch.setattr(control, "WRITE_TIMEOUT_S", 0.2)
    async with raw(server.path) as (_, writer), ControlClient(server.path) as other:
        writer.transport.pause_reading()
        writer.write(b'{"id":1,"method":"flood"}\n')
        await handlers.started.wait()

        assert await other.request("echo", {"n": 2}) == {"n": 2}
        await asyncio.wait_for(handlers.cancelled.wait(), 5)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\n", "malformed"),
        (b"null\n", "malformed"),
        (b"[]\n", "malformed"),
        (b"17\n", "malformed"),
        (b"{}\n", "malformed"),
        (b"\xff\xfe\n", "malformed"),
        (b"[" * 100_000 + b"\n", "malformed"),
        (b'{"id":null,"method":"echo"}\n', "malformed"),
        (b'{"id":true,"method":"echo"}\n', "malformed"),
        (b'{"id":[1],"method":"echo"}\n', "malformed"),
        (b'{"id":"' + b"x" * 65 + b'","method":"echo"}\n', "malformed"),
        (b'{"id":' + b"9" * 5000 + b',"method":"echo"}\n', "malformed"),
        (b'{"id":1}\n', "malformed"),
        (b'{"id":1,"method":7}\n', "malformed"),
        (b'{"id":1,"method":"echo","params":[]}\n', "malformed"),
        (b'{"id":1,"method":"echo","parms":{}}\n', "malformed"),
        (b'{"id":1,"method":"__class__"}\n', "unknown_method"),
        (b'{"id":1,"method":"send_message"}\n', "unknown_method"),
        (b'{"id":1,"method":"misuse"}\n', "misuse"),
        (b'{"id":1,"method":"bug"}\n', "internal"),
        (b'{"id":1,"method":"no_json"}\n', "internal"),
        (b'{"id":1,"method":"large"}\n', "too_large"),
    ],
)
async def test_what_is_not_understood_is_answered_and_the_connection_lives(server, line, code):
    """One wrong line gets an error with a code; the next request of the same client is served."""
    async with raw(server.path) as (reader, writer):
        writer.write(line)
        assert code == (await answer(reader))["error"]["code"]

        writer.write(b'{"id":5,"method":"echo","params":{"still":"here"}}\n')
        assert await answer(reader) == {"id": 5, "result": {"still": "here"}}


async def test_an_unknown_method_is_refused_by_name_with_those_that_exist(client):
    """The error names what was asked and what can be asked."""
    with pytest.raises(ControlError, match=r"'pears'.*echo") as refused:
        await client.request("pears")

    assert refused.value.code == "unknown_method"


async def test_the_inside_of_a_bug_stays_in_the_log(client, caplog):
    """An unexpected exception gives the client no details; the log has them."""
    with pytest.raises(ControlError) as refused:
        await client.request("bug")

    assert "hunter2" not in str(refused.value)
    assert "hunter2" in caplog.text


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_any_line_is_an_object_or_a_value_error(line):
    """Parsing any bytes gives an object or ValueError, nothing else."""
    with contextlib.suppress(ValueError):
        assert isinstance(decode_line(line), dict)


async def test_a_line_at_the_limit_passes_and_one_beyond_ends_the_connection(server):
    """The line limit holds exactly, and beyond it nothing is kept."""
    frame = b'{"id":1,"method":"misuse","params":{"x":"%s"}}'
    fits = frame % (b"x" * (LINE_BYTES_MAX - len(frame) + 1))
    async with raw(server.path) as (reader, writer):
        writer.write(fits + b"\n")
        await writer.drain()
        assert (await answer(reader))["error"]["code"] == "misuse"

        with contextlib.suppress(OSError):  # The node may close before all of the long line is written.
            writer.write(b"x" * (LINE_BYTES_MAX + 2))
            await writer.drain()
        assert (await answer(reader))["error"]["code"] == "too_large"
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""


async def test_one_request_more_than_the_limit_is_busy(server, handlers):
    """A client may have REQUESTS_MAX requests running; the next is refused and the others go on."""
    async with raw(server.path) as (reader, writer):
        for number in range(REQUESTS_MAX + 1):
            writer.write(b'{"id":%d,"method":"wait"}\n' % number)
        refusal = await answer(reader)
        assert (refusal["id"], refusal["error"]["code"]) == (REQUESTS_MAX, "busy")
        assert handlers.waiting == REQUESTS_MAX


async def test_one_client_more_than_the_limit_is_told(server, monkeypatch):
    """Beyond CONNECTIONS_MAX a client hears why it is refused; the others are not disturbed."""
    monkeypatch.setattr(control, "CONNECTIONS_MAX", 2)
    async with ControlClient(server.path) as first, ControlClient(server.path) as second:
        await first.request("echo")
        await second.request("echo")
        async with ControlClient(server.path) as third:
            with pytest.raises(ControlError, match="2 clients"):
                await third.request("echo")
        assert await first.request("echo") == {}


async def test_another_user_is_refused(server, monkeypatch):
    """Whoever is neither the owner nor root is refused, should the socket's mode ever be wider."""
    monkeypatch.setattr(unix_socket, "peer_uid", lambda _: os.geteuid() + 1)
    async with ControlClient(server.path) as client:
        with pytest.raises(ControlError, match="another user"):
            await client.request("echo")


async def test_the_kernel_names_the_user_at_the_other_end(server):
    """SO_PEERCRED gives our own user id for our own connection."""
    with unix_socket.connect(server.path) as connection:
        assert os.geteuid() == unix_socket.peer_uid(connection)


async def test_the_socket_is_private_and_is_removed_at_the_end(tmp_path):
    """The file is 0600 whatever the umask, and gone after closing."""
    before = os.umask(0)
    try:
        async with ControlServer(tmp_path / "c.sock", {}) as server:
            assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)

    assert list(tmp_path.iterdir()) == []


async def test_a_path_longer_than_the_kernel_takes_works(tmp_path, handlers):
    """A deep data directory is no reason to have no control socket."""
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    async with (
        ControlServer(deep / "control.sock", handlers.methods) as server,
        ControlClient(server.path) as client,
    ):
        assert await client.request("echo", {"n": 1}) == {"n": 1}

    assert list(deep.iterdir()) == []


async def test_a_socket_that_a_killed_node_left_behind_is_replaced(tmp_path, handlers):
    """A stale socket file does not stop the next node."""
    path = tmp_path / "control.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()

    async with ControlServer(path, handlers.methods), ControlClient(path) as client:
        assert await client.request("echo") == {}


async def test_a_living_socket_is_not_taken_over(server):
    """A second server at the same path is refused, and the first one goes on."""
    with pytest.raises(ListenError, match="another process listens"):
        await ControlServer(server.path, {}).start()

    async with ControlClient(server.path) as client:
        assert await client.request("echo") == {}


async def test_a_file_in_the_way_is_not_removed(tmp_path):
    """Something that is no socket is left alone."""
    path = tmp_path / "control.sock"
    path.write_text("precious")

    with pytest.raises(ListenError, match="no socket"):
        await ControlServer(path, {}).start()

    assert path.read_text() == "precious"


async def test_a_missing_directory_is_a_clear_error(tmp_path):
    """The operating system's reason is in the message."""
    with pytest.raises(ListenError, match="No such file or directory"):
        await ControlServer(tmp_path / "nowhere" / "control.sock", {}).start()


async def test_closing_ends_requests_and_tells_the_client(tmp_path, handlers):
    """A node that stops cancels what runs; its clients hear that it went."""
    server = ControlServer(tmp_path / "c.sock", handlers.methods)
    await server.start()
    async with ControlClient(server.path) as client:
        waiting = asyncio.create_task(client.request("wait"))
        await handlers.started.wait()
        await server.close()
        await server.close()

        with pytest.raises(ControlError) as lost:
            await asyncio.wait_for(waiting, 5)

    assert lost.value.code in ("cancelled", "connection_lost")
    assert handlers.cancelled.is_set()


async def test_closing_does_not_wait_for_a_client_that_never_reads(tmp_path, handlers, monkeypatch):
    """A node stops although somebody left a command standing with a full pipe."""
    monkeypatch.setattr(local_server, "FAREWELL_S", 0.05)
    server = ControlServer(tmp_path / "c.sock", handlers.methods)
    await server.start()
    async with raw(server.path) as (_, writer):
        writer.transport.pause_reading()
        writer.write(b'{"id":1,"method":"flood"}\n')
        await handlers.started.wait()
        async with asyncio.timeout(5):
            await server.close()
    assert handlers.cancelled.is_set()


async def test_no_node_is_a_clear_error(tmp_path):
    """A command without a running node says how to start one; it is a matter of availability."""
    with pytest.raises(NotRunningError, match=r"no node is running in .*kontinuum node run") as error:
        await ControlClient(tmp_path / "control.sock").connect()

    assert isinstance(error.value, UnavailableError)


async def test_a_client_after_its_connection_is_lost_fails_at_once(tmp_path, handlers):
    """A request on a dead connection raises, it does not hang."""
    server = ControlServer(tmp_path / "c.sock", handlers.methods)
    await server.start()
    async with ControlClient(server.path) as client:
        await client.request("echo")
        await server.close()
        with pytest.raises(ControlError, match="connection_lost"):
            await asyncio.wait_for(client.request("echo"), 5)


async def test_the_helper_for_commands_asks_and_hears_events(server):
    """``ask`` works without an event loop of the caller's own."""
    events = []

    result = await asyncio.to_thread(ask, server.path, "count", {"to": 2}, on_event=events.append)

    assert result == {"counted": 2}
    assert events == [{"number": 0}, {"number": 1}]


async def test_the_helper_for_commands_gives_up_in_time(server):
    """``ask`` ends after its time-out with an error that says so."""
    with pytest.raises(ControlError, match="timed_out"):
        await asyncio.to_thread(ask, server.path, "wait", timeout_s=0.1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MisuseError("x"), "misuse"),
        (ListenError("a", "b"), "listen"),
        (NotRunningError(Path("/x/y")), "not_running"),
    ],
)
def test_codes_come_from_the_errors_names(error, code):
    """A code is the name of the error, so that it is stable and can be looked up."""
    assert code == error_code(error)


KILLED_CLIENT = """
import sys
from pathlib import Path
from kontinuum.node.control_client import ask
ask(Path(sys.argv[1]), "wait", timeout_s=None)
"""


async def test_a_command_killed_with_sigkill_leaves_nothing_running(server, handlers):
    """``kill -9`` of a waiting command cancels its request in the node."""
    command = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED_CLIENT, str(server.path))
    try:
        await asyncio.wait_for(handlers.started.wait(), 20)
        command.send_signal(signal.SIGKILL)

        await asyncio.wait_for(handlers.cancelled.wait(), 5)
    finally:
        await command.wait()
