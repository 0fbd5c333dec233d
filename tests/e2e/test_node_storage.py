"""A node's files on real disks that are full or read-only, and under kill -9."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from kontinuum.base.errors import FileUnavailableError
from kontinuum.identity.contact import Contact
from kontinuum.identity.keys import KeyPair
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node.data_dir import DataDir
from kontinuum.node.errors import DataDirLockedError
from kontinuum.node.peer_store import PeerStore

NETWORK = network_id("test")
AT = datetime(2026, 1, 1, tzinfo=UTC)

HOLDER = """
import sys, time
from pathlib import Path
from kontinuum.node.data_dir import DataDir
DataDir.open(Path(sys.argv[1]), create=True)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def disk(tmp_path):
    """A file system of 64 KiB of our own."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(mounted)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def fill(disk):
    """Use up the last byte."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def contact(number):
    """A contact of some peer."""
    key = KeyPair.from_seed(number.to_bytes(32, "big"))
    return Contact.issue(key, [], sequence=1, issued_at=AT, proof=ProofOfWork(NETWORK, key.peer_id, 0))


def test_a_full_disk_loses_nothing(disk):
    """Key, peers and lock survive; what cannot be written says so; with room again all works."""
    store = PeerStore(disk / "node" / "peers.cbor", network_id=NETWORK, pow_bits=0)
    with DataDir.open(disk / "node", create=True) as directory:
        key = directory.create_key()
        store.add(contact(1), AT)
        store.save()
    fill(disk)

    with DataDir.open(disk / "node") as directory:
        assert directory.load_key().peer_id == key.peer_id
        store.add(contact(2), AT)
        with pytest.raises(FileUnavailableError, match="No space left on device"):
            store.save()
        kept = PeerStore(directory.peers, network_id=NETWORK, pow_bits=0)
        assert kept.load(AT).kept == 1

        (disk / "ballast").unlink()
        assert store.save()
        assert kept.load(AT).kept == 2
    assert sorted(path.name for path in (disk / "node").iterdir()) == ["identity.key", "lock", "peers.cbor"]


def test_a_full_disk_leaves_no_half_key(disk):
    """A key that cannot be written leaves no file behind."""
    with DataDir.open(disk / "node", create=True) as directory:
        fill(disk)
        with pytest.raises(FileUnavailableError, match="No space left on device"):
            directory.create_key()

        assert [path.name for path in (disk / "node").iterdir()] == ["lock"]


def test_a_read_only_disk_is_a_clear_error(disk):
    """Opening says that the file system is read-only; nothing is changed."""
    with DataDir.open(disk / "node", create=True) as directory:
        directory.create_key()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    with pytest.raises(FileUnavailableError, match="Read-only file system"):
        DataDir.open(disk / "node")
    with pytest.raises(FileUnavailableError, match="Read-only file system"):
        DataDir.open(disk / "other", create=True)


def test_kill_9_frees_the_directory(tmp_path):
    """A second process names the first; when that is killed, the directory is free at once."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "node")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataDirLockedError, match=f"process {holder.pid}") as refused:
            DataDir.open(tmp_path / "node")
        assert refused.value.pid == holder.pid
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()

    with DataDir.open(tmp_path / "node") as directory:
        assert directory.holder() == os.getpid()
