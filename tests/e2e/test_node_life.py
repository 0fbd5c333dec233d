"""How nodes start, fail to start, stop and start again: clear errors, nothing lost, nothing left running."""

import asyncio
import contextlib
import gc
import os
import socket
import stat
import subprocess
import sys

import pytest

from helpers.nodes import NodeProcess, eventually, leftovers, open_descriptors, quiet_node, settings
from kontinuum import Contact, KeyPair, MisuseError, Node
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import FileUnavailableError, KontinuumError, NotPrivateError, UnavailableError
from kontinuum.identity.errors import KeyFileError
from kontinuum.node.data_dir import DataDir
from kontinuum.node.errors import DataDirError, DataDirLockedError
from kontinuum.transport.errors import AddressInUseError


@contextlib.contextmanager
def nothing_left():
    """No task, socket, event descriptor or thread may stay behind."""
    tasks, descriptors = leftovers(), open_descriptors()
    yield
    gc.collect()
    assert not leftovers(tasks)
    assert open_descriptors() == descriptors


async def refused(error, match=None, **fields):
    """The node must not start, and must say why; afterwards nothing is left."""
    with nothing_left(), pytest.raises(error, match=match) as caught:
        async with quiet_node(**fields):
            raise AssertionError("it started")
    assert str(caught.value)
    return caught.value


@pytest.fixture
def directory(tmp_path):
    """A data directory with a key."""
    path = tmp_path / "node"
    directory = DataDir.open(path, create=True)
    directory.create_key()
    directory.close()
    return path


class TestRefusals:
    async def test_a_port_in_use(self, directory):
        """
        The error names the port; the directory is free again.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
            await refused(AddressInUseError, str(port), listen=f"127.0.0.1:{port}", data_dir=directory)
        await refused(UnavailableError, "requested address", listen="192.0.2.1:4433", data_dir=directory)
        async with quiet_node(listen=f"127.0.0.1:{port}", data_dir=directory) as node:
            assert node.endpoint.local_address[1] == port

    async def test_a_directory_in_use(self, directory):
        """
        Two nodes in one directory: the second is refused, the first does not notice.
        """
        async with quiet_node(data_dir=directory) as first:
            await refused(DataDirLockedError, "already running", data_dir=directory)
            assert first.contact

    @pytest.mark.parametrize(
        "damage",
        [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n", bytes(100_000)],
        ids=["empty", "garbage", "cut", "long"],
    )
    async def test_a_damaged_key(self, directory, damage):
        """
        The file is not overwritten: its owner may still have use for it.
        """
        async with quiet_node(data_dir=directory):
            pass
        key = directory / "identity.key"
        good = key.read_bytes()
        key.write_bytes(damage)
        await refused((KeyFileError, KontinuumError), data_dir=directory)
        assert key.read_bytes() == damage
        key.write_bytes(good)
        async with quiet_node(data_dir=directory):
            pass

    async def test_a_key_that_others_can_read(self, directory):
        """
        The error says the command that repairs it.
        """
        async with quiet_node(data_dir=directory):
            pass
        (directory / "identity.key").chmod(0o644)
        await refused(NotPrivateError, "chmod 600", data_dir=directory)

    @pytest.mark.parametrize("what", ["file", "missing parent"])
    async def test_a_directory_that_is_none(self, tmp_path, what):
        """
        A file in its place, or a path that cannot be made.
        """
        path = tmp_path / "thing"
        path.write_bytes(b"")
        await refused(
            (DataDirError, FileUnavailableError), data_dir=path if what == "file" else path / "below"
        )

    @pytest.mark.slow
    def test_a_full_disk(self, directory):
        """
        Nothing can be written (a limit of zero bytes per file): the first start fails with the reason, and a
        node that has its files goes on working without them.
        """
        program = """
import asyncio, resource, signal, sys
from pathlib import Path
from kontinuum import Node, NodeConfig
from kontinuum.base.errors import KontinuumError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def config():
    return NodeConfig(network="local", pow_bits=8, listen="127.0.0.1:0", data_dir=Path(sys.argv[1]))

async def main():
    if sys.argv[2] == "prepared":
        async with Node(config()):
            pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        async with Node(config()) as node:
            async with Node() as other:
                other.handler("echo")(lambda _peer, data: data)
                await node.connect(other.peer_id, address=other.endpoint.local_address)
                print("works", await node.call(other.peer_id, "echo", b"x"))
    except KontinuumError as error:
        print(type(error).__name__, error)

asyncio.run(main())
"""

        def run(how):
            return subprocess.run(
                [sys.executable, "-W", "error", "-c", program, str(directory), how],
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip

        empty = run("empty")
        assert empty.returncode == 0, empty.stderr
        assert "Error cannot write" in empty.stdout, empty.stdout
        assert "Traceback" not in empty.stderr
        prepared = run("prepared")
        assert prepared.returncode == 0, prepared.stderr
        assert "works b'x'" in prepared.stdout or "Error" in prepared.stdout, prepared.stdout
        assert "Traceback" not in prepared.stderr
        assert (directory / "identity.key").stat().st_size > 50

    async def test_a_read_only_directory(self, directory):
        """
        A directory on a file system that takes no writes: a clear error.
        """
        async with quiet_node(data_dir=directory):
            pass
        if os.geteuid() == 0:
            pytest.skip("root writes everywhere")
        directory.chmod(0o500)
        try:
            await refused(KontinuumError, data_dir=directory)
        finally:
            directory.chmod(0o700)

    async def test_bootstrap_contacts_that_are_of_no_use(self):
        """
        An expired one must not keep a node from starting: it is a matter of time until that happens.
        """
        async with quiet_node() as other, quiet_node(bootstrap=[other.contact.to_text()]) as node:
            assert [peer.peer_id for peer in node.peers()] == [other.peer_id]


class TestMisuse:
    async def test_a_node_that_does_not_run(self):
        """
        Everything says how to run it, before the start and after the end.
        """
        node = quiet_node()
        for _ in range(2):
            for act in (
                lambda: node.peer_id,
                lambda: node.contact,
                lambda: node.addresses,
                node.peers,
                lambda: node.add_contact("kontinuum:"),
                lambda: node.connection("00" * 32),
            ):
                if node._endpoint is None:
                    with pytest.raises(MisuseError):
                        act()
            for act in (node.connect, node.ping):
                with pytest.raises(KontinuumError):
                    await act(KeyPair.generate(SystemEntropy()).peer_id)
            if node._endpoint is None:
                async with node:
                    pass
        with pytest.raises(MisuseError):
            async with node:
                pass

    async def test_entering_a_running_node_again_does_not_stop_it(self):
        """
        The second entry is refused, the first one goes on.
        """
        async with quiet_node() as node, quiet_node() as other:
            with pytest.raises(MisuseError):
                async with node:
                    pass
            assert (await node.connect(other.contact)).connected

    async def test_closing_twice_and_from_within(self):
        """
        The second call does nothing.
        """
        with nothing_left():
            async with quiet_node() as node:
                await node.close()
                await node.close()
            await node.close()

    async def test_a_start_that_is_cancelled_leaves_nothing(self, directory):
        """
        Also while the proof of work is mined.
        """
        with nothing_left():
            progress = asyncio.Event()
            node = Node(settings(data_dir=directory, pow_bits=40), on_mining=lambda *_: progress.set())

            async def run():
                async with node:
                    raise AssertionError("forty bits were found")

            task = asyncio.create_task(run())
            async with asyncio.timeout(5):
                await progress.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
        async with quiet_node(data_dir=directory):
            pass

    async def test_a_handler_that_does_not_end_does_not_keep_the_node(self, monkeypatch):
        """
        Closing waits a bounded time for handlers that ignore their cancellation.
        """
        monkeypatch.setattr("kontinuum.rpc.incoming.HANDLER_STOP_S", 0.05)
        gate = asyncio.Event()
        async with quiet_node() as a:
            async with quiet_node() as b:

                @b.handler("stubborn")
                async def stubborn(_peer, _data):
                    while not gate.is_set():
                        with contextlib.suppress(asyncio.CancelledError):
                            await gate.wait()

                call = asyncio.create_task(a.call(b.contact, "stubborn"))
                await eventually(lambda: b.figures().handlers == 1)
                started = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - started < 2
            with pytest.raises(KontinuumError):
                await call
        gate.set()
        await eventually(lambda: not leftovers())

    async def test_fifty_nodes_come_and_go_and_leave_nothing(self):
        """
        No descriptor, task or guard stays.
        """
        with nothing_left():
            for _ in range(5):
                async with contextlib.AsyncExitStack() as stack:
                    nodes = [await stack.enter_async_context(quiet_node()) for _ in range(10)]
                    await asyncio.gather(*(node.connect(nodes[0].contact) for node in nodes[1:]))


class TestRestart:
    async def test_peers_proof_and_sequence_survive_a_restart(self, directory):
        """
        Saved peers are dialled without bootstrap, the proof is not mined anew, the contact's sequence grows.
        """
        mined = []
        work = {"pow_bits": 10, "peers_wanted": 3}
        async with NodeProcess(pow_bits=10) as one, NodeProcess(pow_bits=10) as two:
            bootstrap = [one.contact, two.contact]
            fields = {"data_dir": directory, **work}
            async with Node(
                settings(**fields, bootstrap=bootstrap), on_mining=lambda *_: mined.append(1)
            ) as node:
                await eventually(lambda: sum(peer.connected for peer in node.peers()) == 2)
                before = node.contact
                await eventually(lambda: all(saved.successes for saved in node._neighbours.store))
            proof = (directory / "proof.cbor").read_bytes()
            for name in ("identity.key", "proof.cbor", "peers.cbor"):
                assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, name
            mined.clear()
            async with Node(settings(**fields), on_mining=lambda *_: mined.append(1)) as node:
                assert node.peer_id == before.peer_id
                assert node.contact.sequence > before.sequence
                assert not mined
                assert (directory / "proof.cbor").read_bytes() == proof
                await eventually(lambda: sum(peer.connected for peer in node.peers()) == 2)
                assert {peer.peer_id for peer in node.peers()} == {
                    Contact.from_text(peer.contact).peer_id for peer in (one, two)
                }

    @pytest.mark.parametrize(
        "content", [b"", b"\xa0", b"\xff" * 100, None], ids=["empty", "map", "junk", "directory"]
    )
    async def test_saved_peers_that_cannot_be_read_do_not_stop_a_node(self, directory, content):
        """
        They are set aside, the node starts, meets its bootstrap peers and saves them.
        """
        async with quiet_node(data_dir=directory):
            pass
        peers = directory / "peers.cbor"
        peers.unlink(missing_ok=True)
        if content is None:
            peers.mkdir()
        else:
            peers.write_bytes(content)
            peers.chmod(0o600)
        async with quiet_node() as other:
            fields = {"data_dir": directory, "bootstrap": [other.contact.to_text()], "peers_wanted": 1}
            async with quiet_node(**fields) as node:
                await eventually(lambda: sum(peer.connected for peer in node.peers()) == 1)

    @pytest.mark.parametrize("content", [b"", b"\xa0", b"\xff" * 2000, b"\xa2\x01\x40\x02\x20", None])
    async def test_a_proof_that_is_of_no_use_is_mined_anew(self, directory, content):
        """
        Damaged, foreign, or with a nonce that is none.
        """
        async with quiet_node(data_dir=directory, pow_bits=4) as node:
            peer_id = node.peer_id
        proof = directory / "proof.cbor"
        good = proof.read_bytes()
        if content is None:  # The nonce, at the end, becomes negative.
            content = good[:36] + b"\x20"
        proof.write_bytes(content)
        async with quiet_node(data_dir=directory, pow_bits=4) as node:
            assert node.peer_id == peer_id
        assert proof.read_bytes() not in (content, b"")
